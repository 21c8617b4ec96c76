"""The model card: what a translator reads and makes, what it was trained on, on what terms."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from realface.maps.kinds import KINDS
from realface.networks.channels import INPUTS, WHOLE_LIGHT
from realface.networks.generator import Generator
from realface.weights import NETWORKS, Descriptor

_UNKNOWN = "not stated by whoever trained it"
_UNITS = {"psnr": "dB, more is better", "angle": "degrees, less is better",
          "ssim": "1 at best"}  # fmt: skip
_READ = {
    "srgb": "sRGB as encoded, in [0, 1], times 2 minus 1",
    "linear": "linear, in [0, 1], times 2 minus 1",
    "unit_vector": "unit vectors in [-1, 1], +Y up, {space} space",
    "position": "object space",
}
_READ_WORDS = {
    "grey_albedo": "0.299 R + 0.587 G + 0.114 B of sRGB as encoded, in [0, 1], times 2 minus 1",
    "depth": "towards the viewer, 1 is 100 mm; unbounded",
    "position": "object space, from the face's median, 1 is 100 mm; unbounded",
    "whole_texture": _READ["srgb"],
    "delit_texture": _READ["srgb"],
    "fitted_light": "coefficients as the output's, for skin of a usual albedo",
    "mask": "1 on the face, 0 beside it",
}
"""Of inputs that are not a map as it is."""

_MADE = {
    "srgb": "sRGB as encoded, in [0, 1]: (x + 1) / 2, clamped",
    "linear": "linear, in [0, 1]: (x + 1) / 2, clamped",
    "unit_vector": "unit vectors, +Y up, {space} space: x / length of x",
}
_LIGHT = """\
Channels 0 to 26: of red, green and blue, nine coefficients of the harmonics of the normal; their \
sum, bent to stay positive, is what the light multiplies the linear albedo by \
(`realface.shading.whole_light`)."""

_HUB_LICENCES = (
    "agpl-3.0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0",
    "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-4.0", "cc0-1.0", "gpl-3.0",
    "lgpl-3.0", "mit", "mpl-2.0", "unlicense",
)  # fmt: skip
"""Those that model hubs know by their identifier, as far as data and weights come under them."""

_TANGENT = """\
Tangent space here is relative to the low-passed `shape_normals` (Gaussian, sigma \
{millimetres:g} mm), not to the mesh: (0, 0, 1) is a normal along the smooth surface. \
`realface.networks.interface.Interface` turns normals into it and back; the maps that realface \
reads and writes are in object space."""


def model_card(descriptor: Descriptor, note: str | None = None) -> str:
    """The Markdown page that goes with shared weights.

    It begins with a header for model hubs where the licence is known.

    Args:
        descriptor: What they are.
        note: Markdown of the trainer's own, at the end: what they are good and bad at.
    """
    names = ", ".join(descriptor.inputs), ", ".join(descriptor.outputs)
    parts = [
        *_hub_header(descriptor.licence),
        f"# {descriptor.translator}",
        f"A realface translator: {names[0]} to {names[1]}.",
        "\n".join(_facts(descriptor)),
        "## Use",
        "```\npython infer.py --input SUBJECT --output OUT --weights DIR\n```",
        "`DIR` is the folder of this file. The `.json` beside it says the same to programs.",
        "## What it reads",
        *_inputs(descriptor),
        "## What it makes",
        _outputs(descriptor),
        *([_TANGENT.format(millimetres=descriptor.frame_millimetres)] * _is_tangent(descriptor)),
        "## What it was trained on",
        *_data(descriptor),
        "## How well it does",
        _metrics(descriptor),
    ]
    if note:
        parts += ["## Notes", note.strip()]
    return "\n\n".join(parts) + "\n"


def _hub_header(licence: str | None) -> Iterator[str]:
    if not licence:
        return
    identifier = licence.lower().replace(" ", "-")
    known = identifier in _HUB_LICENCES
    named = f"license_name: {json.dumps(' '.join(licence.split()))}"  # which is YAML too
    terms = [f"license: {identifier}"] if known else ["license: other", named]
    tags = ["tags:", "- face-reflectance", "- image-to-image", "- uv-maps"]
    yield "\n".join(("---", *terms, "library_name: realface", *tags, "---"))


def _facts(descriptor: Descriptor) -> Iterator[str]:
    generator, scale = _unfilled(descriptor), descriptor.millimetres_per_texel
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    yield f"- generator: {descriptor.generator}, {parameters / 1e6:.1f} M parameters"
    yield (
        f"- sizes: multiples of {descriptor.multiple_of} px, at least {generator.minimum_size} px, "
        "height and width"
    )
    whole = "; its norms see the whole window" if descriptor.spatial_statistics else ""
    yield f"- receptive margin: {descriptor.receptive_margin} px{whole}"
    yield f"- trained at: {'unknown' if scale is None else f'{scale:.3g}'} millimetres per texel"
    yield f"- epochs: {descriptor.epochs}"
    yield f"- licence: {_line(descriptor.licence or _UNKNOWN)}"


def _unfilled(descriptor: Descriptor) -> Generator:
    """The generator without memory for its tensors."""
    with torch.device("meta"):
        return NETWORKS[descriptor.generator](**descriptor.arguments)


def _inputs(descriptor: Descriptor) -> Iterator[str]:
    rows, first = [], 0
    for word in (INPUTS[name] for name in descriptor.inputs):
        encoding = _READ_WORDS.get(word.name) or _READ[KINDS[word.kind].encoding]
        encoding = encoding.format(space=descriptor.space)
        rows.append((_range(first, word.channels), word.name, word.kind, word.meaning, encoding))
        first += word.channels
    yield _table(("channels", "word", "from map", "meaning", "values"), rows)
    yield "In this order, `(B, C, H, W)` float32, all 0 where the subject's `mask` is 0."


def _outputs(descriptor: Descriptor) -> str:
    if descriptor.outputs == (WHOLE_LIGHT,):
        return _LIGHT
    rows, first = [], 0
    for kind in (KINDS[name] for name in descriptor.outputs):
        values = _MADE[kind.encoding].format(space=descriptor.space)
        rows.append((_range(first, kind.channels), kind.name, kind.meaning, values))
        first += kind.channels
    return _table(("channels", "map", "meaning", "values, from the network's x"), rows)


def _range(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first} to {first + count - 1}"


def _is_tangent(descriptor: Descriptor) -> bool:
    kinds = {INPUTS[word].kind for word in descriptor.inputs} | set(descriptor.outputs)
    vectors = {kind.name for kind in KINDS.values() if kind.encoding == "unit_vector"}
    return descriptor.space == "tangent" and bool(kinds & vectors)


def _data(descriptor: Descriptor) -> Iterator[str]:
    data = descriptor.data
    counts = [f"- {name}: {_line(data[name])}" for name in ("subjects", "samples") if name in data]
    terms = data.get("terms", ())
    lines = counts + [_terms(one) for one in terms]
    yield "\n".join(lines) if lines else "Not recorded."
    dates = sorted({_line(one["expires"]) for one in terms if one.get("expires")})
    for date in dates:
        yield (
            f"> **To be destroyed by {date}:** some of this data, by its licence, and perhaps "
            "these weights with it. Ask whoever licensed the data before you keep or share them "
            "longer."
        )


def _terms(terms: Mapping[str, Any]) -> str:
    source, licence = (_line(terms.get(name) or "not stated") for name in ("source", "licence"))
    expires = f"; to be destroyed by {_line(terms['expires'])}" if terms.get("expires") else ""
    return f"- source: {source}; licence: {licence}{expires}"


def _metrics(descriptor: Descriptor) -> str:
    if not descriptor.metrics:
        return "Not measured."
    rows = [
        (_line(name), f"{value:.4g}", _UNITS.get(name.rpartition("/")[2], ""))
        for name, value in descriptor.metrics.items()
    ]
    return "On validation data:\n\n" + _table(("metric", "value", "unit"), rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _line(text: object) -> str:
    """What a descriptor says, as one line that is no markup, also within a table."""
    return " ".join(str(text).split()).replace("<", "&lt;").replace("|", "\\|")
