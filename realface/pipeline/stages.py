"""Which translator makes what, from what, in which order and by which windows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from realface.errors import InputError
from realface.maps.kinds import KINDS, REFLECTANCE
from realface.networks.channels import source_kind
from realface.tiling.plan import Plan
from realface.tiling.plan import plan as plan_windows
from realface.tiling.windows import next_multiple
from realface.weights import TrainedTranslator


@dataclass(frozen=True)
class Stage:
    """One translator's part of the job.

    Attributes:
        translator: The trained translator.
        outputs: The maps that are wanted of it.
        plan: Its windows.
        inputs: The kinds that it reads, the mask first where there is one.
    """

    translator: TrainedTranslator
    outputs: tuple[str, ...]
    plan: Plan
    inputs: tuple[str, ...]

    @property
    def title(self) -> str:
        """The maps that it makes, for people."""
        return ", ".join(self.outputs)


def given_kinds(translators: Mapping[str, TrainedTranslator]) -> tuple[str, ...]:
    """The kinds, the mask aside, that a subject must hold: those that no translator before makes.

    Args:
        translators: By the map that they make.
    """
    made: set[str] = set()
    given: dict[str, None] = {}
    for translator, outputs in in_order(translators):
        read = map(source_kind, translator.kinds)
        given |= dict.fromkeys(kind for kind in read if kind not in made)
        made.update(outputs)
    return tuple(given)


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


def lay_windows(
    size: tuple[int, int],
    translator: TrainedTranslator,
    kinds: Sequence[str],
    *,
    window: int,
    overlap: int,
    batch: int,
    pad: bool,
) -> Plan:
    """The windows of one translator over a map.

    Args:
        size: ``(height, width)`` of the map [px].
        translator: Its stride and least size bind the windows.
        kinds: The maps that it reads.
        window: Largest side of a window [px].
        overlap: Least overlap of neighbouring windows [px].
        batch: Windows computed at once.
        pad: Lay them over the map as padded to the network's stride.

    Raises:
        InputError: If the size does not fit the network, or the windows do not fit the map.
    """
    descriptor = translator.descriptor
    multiple = descriptor.multiple_of
    channels = sum(KINDS[source_kind(kind)].channels for kind in kinds)
    try:
        laid = plan_windows(
            (next_multiple(size[0], multiple), next_multiple(size[1], multiple)) if pad else size,
            window=window,
            overlap=overlap,
            multiple_of=multiple,
            batch=batch,
            channels=(channels, descriptor.interface.out_channels),
        )
    except InputError as error:
        given = f"{error.given}, for {translator.source}"
        raise InputError(given, error.expected, error.remedy) from error
    if min(laid.window) < translator.minimum_size:
        raise InputError(
            f"windows of {laid.window[0]}x{laid.window[1]} on a map of {size[0]}x{size[1]} "
            f"(height x width), for {translator.source}",
            f"at least {translator.minimum_size} px a side, which this network needs",
            "give a larger --window, or a larger map",
        )
    return laid
