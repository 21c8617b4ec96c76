"""Which translator makes what, from what, in which order and by which windows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from realface.errors import InputError
from realface.maps.kinds import KINDS, REFLECTANCE
from realface.networks.channels import DELIT_TEXTURE, WHOLE_TEXTURE, source_kind
from realface.pipeline.chain import Chain
from realface.tiling.blend import Fade
from realface.tiling.plan import Plan, exact_plan
from realface.tiling.plan import plan as faded_plan
from realface.tiling.windows import Box, next_multiple
from realface.weights import TrainedTranslator

Blend = Literal["auto", "cut", "hann", "linear", "gaussian", "avatarme"]
"""How windows are joined. ``cut``: each texel is of one window, all the same to the whole image
where the network's statistics allow it. ``hann``, ``linear``, ``gaussian``: cross-fades.
``avatarme``: its windows of 1536 px, 768 px apart, with a linear fade over 384 px. ``auto``:
``cut`` where windows agree and no overlap is asked for, else ``hann``."""

Offsets = Literal["auto", "none", "solve"]
"""Whether each window of an albedo gets the constant with which neighbours agree best, which takes
a run of all windows before. ``auto``: where a texture is de-lit by windows that take their own
norms' statistics and see nothing of the rest of the face, so that each has a tone of its own."""

_WINDOW = 1536  # px, as AvatarMe


@dataclass(frozen=True)
class Stage:
    """One pass over the map.

    Attributes:
        chain: What runs on each window.
        plan: Its windows.
        inputs: The kinds that it reads, the mask first where there is one.
        agree: Whether windows agree but for their margins.
        seconds: Measured for a batch of its windows [s]; None: not measured.
        offsets: The albedos whose windows' offsets are solved before they are stitched.
    """

    chain: Chain
    plan: Plan
    inputs: tuple[str, ...]
    agree: bool
    seconds: float | None = None
    offsets: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The maps that are wanted of it."""
        return self.chain.outputs

    @property
    def exact(self) -> bool:
        """Whether the maps are as those of the whole image, but for rounding."""
        dropped = self.plan.margin
        return dropped is None or (
            self.agree and not self.plan.ramp and dropped >= self.chain.margin
        )

    @property
    def title(self) -> str:
        """The maps that it makes, for people."""
        return ", ".join(self.outputs)

    @property
    def total_seconds(self) -> float | None:
        """Of all its windows in the network [s]; None: not measured."""
        if self.seconds is None:
            return None
        return -(-self.plan.windows // self.plan.batch) * self.seconds * (2 if self.offsets else 1)

    def __str__(self) -> str:
        sources = ", ".join(map(str, self.chain.sources))
        lines = [f"{self.title} from {', '.join(self.inputs)}, by {sources}", str(self.plan)]
        if self.plan.windows > 1:
            lines.append(f"exactness   {self._exactness()}")
        if self.offsets:
            solved = f"solved for {', '.join(self.offsets)}: every window is computed twice"
            lines.append(f"offsets     {solved}")
        if self.total_seconds is not None:
            lines.append(f"time        about {self.total_seconds:.0f} s in the network")
        return "\n".join(lines)

    def _exactness(self) -> str:
        if not self.agree:
            return "windows differ in their norms' statistics; what they differ by is measured"
        dropped, margin = self.plan.margin or 0, self.chain.margin
        if dropped >= margin:
            one = ", with one set of statistics" if self.chain.spatial_statistics else ""
            reach = f"borders reach {margin} px in, {dropped} px are dropped"
            return f"as the whole image{one}: {reach}"
        return f"borders reach {margin} px in, and only {dropped} px are dropped"


def given_kinds(translators: Mapping[str, TrainedTranslator]) -> tuple[str, ...]:
    """The kinds, the mask aside, that a subject must hold: those that no translator before makes.

    Args:
        translators: By the map that they make.
    """
    return Chain(in_order(translators)).given


def in_order(
    translators: Mapping[str, TrainedTranslator],
) -> list[tuple[TrainedTranslator, tuple[str, ...]]]:
    """Each translator once, in the order in which they run, with the maps that are wanted of it."""
    outputs: dict[int, tuple[str, ...]] = {}
    for kind in REFLECTANCE:
        if kind in translators:
            one = id(translators[kind])
            outputs[one] = (*outputs.get(one, ()), kind)
    by_identity = {id(one): one for one in translators.values()}
    return [(by_identity[one], kinds) for one, kinds in outputs.items()]


def chains(translators: Mapping[str, TrainedTranslator], fused: bool) -> list[Chain]:
    """One chain of all translators, or one of each."""
    links = in_order(translators)
    return [Chain(links)] if fused else [Chain([link]) for link in links]


def offset_kinds(offsets: Offsets, chain: Chain, plan: Plan, agree: bool) -> tuple[str, ...]:
    """The albedos of a chain whose windows' offsets are to be solved.

    Args:
        offsets: What is asked for.
        chain: Of one translator; of several nothing is solved.
        plan: Its windows.
        agree: Whether they agree but for their margins.

    Raises:
        InputError: If they are to be solved for windows that share nothing.
    """
    albedos = tuple(kind for kind in chain.outputs if not KINDS[kind].is_vector)
    if offsets == "none" or not albedos or plan.windows == 1 or len(chain.links) > 1:
        return ()
    if offsets == "auto":
        whole = WHOLE_TEXTURE in chain.kinds or DELIT_TEXTURE in chain.kinds
        alone = not agree and "texture" in chain.kinds and not whole
        return albedos if alone and plan.ramp else ()
    if not plan.ramp:
        raise InputError(
            f"--offsets solve, and windows of {', '.join(albedos)} that are cut",
            "windows that are cross-faded: offsets follow from what neighbours differ by",
            "give an --overlap, or leave --offsets out",
        )
    return albedos


def check_choices(
    chains: Sequence[Chain], statistics: str, tolerance: str, offsets: Offsets = "none"
) -> None:
    """Refuse what cannot be gathered or measured for several translators at once.

    Raises:
        InputError: With what can.
    """
    if all(len(chain.links) == 1 for chain in chains):
        return
    remedy = "leave --fused out, or this"
    if offsets == "solve":
        raise InputError(
            "--offsets solve with --fused",
            "offsets that are solved for one translator after the other, since each reads the maps "
            "before it",
            remedy,
        )
    if tolerance != "exact":
        raise InputError(
            f"--tolerance {tolerance} with --fused", "margins that are measured singly", remedy
        )
    if statistics != "live" and any(chain.spatial_statistics for chain in chains):
        raise InputError(
            f"--statistics {statistics} with --fused, and translators with instance norm",
            "statistics that are gathered singly, since each needs the maps before it",
            remedy,
        )


def lay_windows(
    size: tuple[int, int],
    chain: Chain,
    inputs: tuple[str, ...],
    *,
    agree: bool,
    window: int | None = None,
    overlap: int | None = None,
    blend: Blend = "auto",
    margin: int | None = None,
    batch: int = 1,
    pad: bool = False,
    within: Box | None = None,
) -> Plan:
    """The windows of one pass over a map.

    Args:
        size: ``(height, width)`` of the map [px].
        chain: Its stride, margin and least size bind the windows.
        inputs: The maps that it reads.
        agree: Whether windows agree but for their margins.
        window: Largest side of a window; where windows are cut and agree, of a square of the
            largest area [px]; None: 1536.
        overlap: Least overlap of neighbouring windows [px]; None: a quarter of the window,
            or, where windows are cut and agree, twice the margin.
        blend: See `Blend`.
        margin: Dropped at windows' borders [px]; None: the chain's.
        batch: Windows computed at once.
        pad: Lay them over the map as padded to the network's stride.
        within: The part of the map that counts: windows that are cut and agree cover no more than
            it and the margin; None: all.

    Raises:
        InputError: If the size does not fit the network, or the windows do not fit the map, or
            ``avatarme`` is to have windows of another kind.
    """
    if blend == "avatarme" and not (window is overlap is None):
        raise InputError(
            "--blend avatarme with a --window or an --overlap",
            "its own: windows of 1536 px that share 768",
            "leave these out, or give --blend linear",
        )
    window = _WINDOW if window is None else window
    multiple = chain.multiple_of
    if pad:
        size = (next_multiple(size[0], multiple), next_multiple(size[1], multiple))
    read = sum(KINDS[source_kind(kind)].channels for kind in inputs)
    channels = (read, chain.out_channels)
    faded = partial(faded_plan, size, multiple_of=multiple, batch=batch, channels=channels)
    margin = chain.margin if margin is None else margin
    try:
        if blend == "avatarme":
            laid = faded(window=1536, overlap=768, ramp=384, fade="linear")
        elif agree and blend in ("auto", "cut") and overlap is None:
            laid = exact_plan(
                size,
                margin=margin,
                window=window,
                minimum=chain.minimum_size,
                multiple_of=multiple,
                batch=batch,
                channels=channels,
                within=within,
            )
        elif blend == "cut":
            laid = faded(window=window, overlap=window // 4 if overlap is None else overlap, ramp=0)
        else:
            fade: Fade = "hann" if blend == "auto" else blend
            overlap = window // 4 if overlap is None else overlap
            laid = faded(window=window, overlap=overlap, margin=margin if agree else 0, fade=fade)
    except InputError as error:
        given = f"{error.given}, for {', '.join(map(str, chain.sources))}"
        raise InputError(given, error.expected, error.remedy) from error
    if min(laid.window) < chain.minimum_size:
        raise InputError(
            f"windows of {laid.window[0]}x{laid.window[1]} on a map of {size[0]}x{size[1]} "
            f"(height x width), for {', '.join(map(str, chain.sources))}",
            f"at least {chain.minimum_size} px a side, which this network needs",
            "give a larger --window, or a larger map",
        )
    return laid
