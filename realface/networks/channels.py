"""What networks read and write: maps to channels in [-1, 1], and back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from realface.errors import InputError
from realface.maps.kinds import KINDS
from realface.shading.whole_light import LIGHT_CHANNELS

DEPTH_SCALE = 100.0
"""Millimetres of depth, or of a position, that become 1 in a network's input."""

WHOLE_TEXTURE = "whole_texture"
"""What a patch network may see of the rest of the face: its whole texture, squeezed to the size of
the patch or window. It is no kind of map: it is made from ``texture`` where it is wanted."""

DELIT_TEXTURE = "delit_texture"
"""The texture with the shading divided out that the whole-face stage has found: what makes the
windows of a map agree in tone. No kind of map either."""

WHOLE_LIGHT = "whole_light"
"""What the whole-face stage makes: coefficients of `realface.shading.whole_light`."""

FITTED_LIGHT = "fitted_light"
"""The same by arithmetic, from which it starts: `realface.shading.light_fit`."""

SHORTEST_NORMAL = 1e-4
"""Below this length a predicted normal has no direction."""


@dataclass(frozen=True)
class NetworkInput:
    """One word of a translator's list of inputs.

    Attributes:
        name: The word in the config.
        kind: The kind of map that it is made from, or `WHOLE_TEXTURE`, `DELIT_TEXTURE`
            or `FITTED_LIGHT`.
        channels: Channels in the network's input.
        convert: From the map ``(B, C, H, W)`` to channels in about [-1, 1].
        meaning: One line for people.
    """

    name: str
    kind: str
    channels: int
    convert: Callable[[Tensor], Tensor]
    meaning: str


def assemble(maps: Mapping[str, Tensor], inputs: Sequence[str]) -> Tensor:
    """A network's input from a subject's maps.

    Args:
        maps: By kind, each ``(B, C, H, W)``: albedos in [0, 1] as encoded, normals as unit
            vectors, ``shape`` in millimetres relative to the subject's median position.
        inputs: Words of :data:`INPUTS`, in the order of the network's channels.

    Returns:
        ``(B, input_channels(inputs), H, W)`` in about [-1, 1].

    Raises:
        InputError: If a word is unknown, or a map is missing or has another size.
    """
    words = _words(inputs)
    missing = sorted({word.kind for word in words} - maps.keys())
    if missing:
        raise InputError(
            f"maps {', '.join(sorted(maps)) or '(none)'}",
            f"also {', '.join(missing)}, for the inputs {', '.join(inputs)}",
            "add the missing map to the subject, or use a translator without that input",
        )
    for word in words:
        _check_map(maps[word.kind], word.kind)
    sizes = {word.kind: tuple(maps[word.kind].shape[-2:]) for word in words}
    if len(set(sizes.values())) > 1:
        raise InputError(
            ", ".join(f"{kind} {h}x{w}" for kind, (h, w) in sizes.items()),
            "maps of one size (height x width)",
            "resample them to the same UV grid",
        )
    return torch.cat([word.convert(maps[word.kind]) for word in words], dim=1)


def input_kinds(inputs: Sequence[str]) -> tuple[str, ...]:
    """The kinds of map that the inputs are made from, each once, in order.

    Raises:
        InputError: If a word is unknown or repeated, or there is none.
    """
    return tuple(dict.fromkeys(word.kind for word in _words(inputs)))


def source_kind(kind: str) -> str:
    """The kind of map in a subject's folder that a network's map is made from."""
    return "texture" if kind in (WHOLE_TEXTURE, DELIT_TEXTURE, FITTED_LIGHT) else kind


def output_channels(kind: str) -> int:
    """Channels that a network writes for a kind of map, or for `WHOLE_LIGHT`."""
    return LIGHT_CHANNELS if kind == WHOLE_LIGHT else KINDS[kind].channels


def input_channels(inputs: Sequence[str]) -> int:
    """Channels of the assembled input.

    Raises:
        InputError: If a word is unknown or repeated, or there is none.
    """
    return sum(word.channels for word in _words(inputs))


def residual_channels(inputs: Sequence[str], base: str) -> list[int]:
    """Where one input lies in the assembled tensor: what a residual generator starts from.

    Args:
        inputs: Words of :data:`INPUTS`, in the order of the network's channels.
        base: The word whose channels the output starts from; one of ``inputs``.

    Returns:
        The index of each channel of ``base``.

    Raises:
        InputError: If ``base`` is not among the inputs.
    """
    words = _words(inputs)
    if base not in inputs:
        raise InputError(
            f"residual base {base!r}",
            f"one of the inputs: {', '.join(inputs)}",
            f"add {base} to the inputs, or make the output anew: residual false",
        )
    place = list(inputs).index(base)
    start = sum(word.channels for word in words[:place])
    return list(range(start, start + words[place].channels))


def output_to_map(raw: Tensor, kind: str) -> Tensor:
    """The map that a generator's output means.

    Albedos become ``(x + 1) / 2`` and are not clamped: a clamp would cut the gradient of
    values out of range, so whoever writes files clamps. Vectors are normalised; one shorter
    than 1e-4 is pulled to +z first, so the result is of unit length up to inputs of 1e18 and the
    gradient is bounded by 1e4.

    Args:
        raw: ``(B, C, H, W)``, any floating type.
        kind: The kind of map: an albedo or normals.

    Returns:
        ``(B, C, H, W)``, float32 or wider.

    Raises:
        InputError: If no network writes this kind, or the channels are not the kind's.
    """
    wide = raw.to(torch.promote_types(raw.dtype, torch.float32))
    if kind == WHOLE_LIGHT:
        return wide
    _check_output(raw, kind)
    if KINDS[kind].encoding != "unit_vector":
        return (wide + 1) / 2
    # Squares are summed by hand: torch's own norm over the channels takes 40 ms for 512x512 on CPU.
    x, y, z = wide.unbind(dim=1)
    with torch.no_grad():
        short = (x * x).addcmul(y, y).addcmul(z, z) < SHORTEST_NORMAL**2
    z = z + short.to(z)
    inverse = (x * x).addcmul(y, y).addcmul(z, z).rsqrt()
    return torch.stack((x * inverse, y * inverse, z * inverse), dim=1)


def map_to_output(truth: Tensor, kind: str) -> Tensor:
    """What a generator should have written for this map: the inverse of ``output_to_map``.

    Args:
        truth: ``(B, C, H, W)``: albedo in [0, 1], or unit vectors.
        kind: The kind of map: an albedo or normals.

    Returns:
        ``(B, C, H, W)`` in [-1, 1].

    Raises:
        InputError: If no network writes this kind, or the channels are not the kind's.
    """
    _check_output(truth, kind)
    return truth if KINDS[kind].encoding == "unit_vector" else _centred(truth)


def _words(inputs: Sequence[str]) -> list[NetworkInput]:
    unknown = [word for word in inputs if word not in INPUTS]
    if unknown:
        raise InputError(
            f"inputs {', '.join(unknown)}",
            f"words among {', '.join(INPUTS)}",
            "correct the translator's list of inputs",
        )
    if not inputs or len(set(inputs)) < len(inputs):
        raise InputError(
            f"inputs [{', '.join(inputs)}]",
            "at least one word, each once",
            "correct the translator's list of inputs",
        )
    return [INPUTS[word] for word in inputs]


def _check_map(tensor: Tensor, kind: str) -> None:
    light = kind == FITTED_LIGHT
    channels = LIGHT_CHANNELS if light else KINDS[source_kind(kind)].channels
    if tensor.ndim != 4 or tensor.shape[1] != channels:
        raise InputError(
            f"{kind} of shape {tuple(tensor.shape)}",
            f"(batch, {channels}, height, width)",
            f"give {kind} with {channels} channels",
        )


def _check_output(tensor: Tensor, kind: str) -> None:
    writable = [k.name for k in KINDS.values() if k.encoding != "position"]
    if kind not in writable:
        raise InputError(
            f"output kind {kind!r}",
            f"one of {', '.join(writable)}",
            "correct the translator's output",
        )
    _check_map(tensor, kind)


def _centred(albedo: Tensor) -> Tensor:
    return 2 * albedo - 1


def _unchanged(vectors: Tensor) -> Tensor:
    return vectors


def _grey(albedo: Tensor) -> Tensor:
    """Luma of the encoded albedo (0.299, 0.587, 0.114), as AvatarMe's inputs have it."""
    from kornia.color import rgb_to_grayscale  # 1.4 s to import

    return _centred(rgb_to_grayscale(albedo))


def _depth(shape: Tensor) -> Tensor:
    return shape[:, 2:3] / DEPTH_SCALE


def _position(shape: Tensor) -> Tensor:
    return shape / DEPTH_SCALE


_ALL = (
    NetworkInput("texture", "texture", 3, _centred, "captured texture, light baked in"),
    NetworkInput(WHOLE_TEXTURE, WHOLE_TEXTURE, 3, _centred, "whole texture, squeezed to the patch"),
    NetworkInput(DELIT_TEXTURE, DELIT_TEXTURE, 3, _centred, "texture by the whole face's shading"),
    NetworkInput("diffuse_albedo", "diffuse_albedo", 3, _centred, "diffuse albedo as encoded"),
    NetworkInput("grey_albedo", "diffuse_albedo", 1, _grey, "luma of the diffuse albedo"),
    NetworkInput("depth", "shape", 1, _depth, "z in millimetres from the median, over 100"),
    NetworkInput("position", "shape", 3, _position, "millimetres from the median, over 100"),
    NetworkInput("shape_normals", "shape_normals", 3, _unchanged, "normals of the shape"),
    NetworkInput("specular_albedo", "specular_albedo", 1, _centred, "specular albedo"),
    NetworkInput("diffuse_normals", "diffuse_normals", 3, _unchanged, "diffuse normals"),
    NetworkInput("specular_normals", "specular_normals", 3, _unchanged, "specular normals"),
    NetworkInput(FITTED_LIGHT, FITTED_LIGHT, LIGHT_CHANNELS, _unchanged, "light by least squares"),
    NetworkInput("mask", "mask", 1, _unchanged, "1 on the face, 0 beside it"),
)

INPUTS: dict[str, NetworkInput] = {word.name: word for word in _ALL}
"""Every word that a translator's list of inputs may hold."""
