"""Faces of known albedo under eight lights, as subject folders: what `delight_real.py` runs on."""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from realface.geometry.face_box import face_box
from realface.geometry.placement import place
from realface.geometry.subject_maps import add_map, bake_subject
from realface.maps.encoding import linear_to_srgb, srgb_to_linear
from realface.maps.files import whole_folder
from realface.maps.record import SubjectRecord, write_record
from realface.maps.subject import Subject, save_map
from realface.shading import harmonics, latlong
from realface.shading.environment import Environment, read_environment
from realface.shading.exposure import exposed, scaled
from realface.shading.occlusion import derive_occlusion
from realface.shading.random_lights import planckian
from realface.shading.relight import shade_subject
from realface.synthetic.folder import write_subject

VERSION = 1
"""Of the protocol: raise it, and cached subjects are made anew."""

PANORAMAS = ("potsdamer_platz_1k.hdr", "studio_small_03_1k.hdr")
YAWS = (0.0, 90.0, 180.0, 270.0)  # degrees; what lay straight behind the camera goes to +x, and on

GIVEN = ("shape", "shape_normals", "mask")
"""What a network may read beside the texture."""

SPECULAR = 0.2
"""Peak of the Blinn-Phong lobe everywhere, the median of procedural skin: the scan's own map is
painted, with white lips."""

LAMPS, EXPONENTS = 24, (1.0, 3.0, 9.0, 27.0, 81.0, 243.0)  # as `realface derive texture` has them

WINDOW = (1.0, *3 * (0.75,), *5 * (0.25,))
"""Hann's, of the bands: Sloan, "Stupid spherical harmonics tricks", GDC 2008."""

CLIPPED = {"harmonics": 0.001, "captured": 0.01}
"""Share of valid texels with a clipped channel, at most, by family."""

HEADROOM = -4.0  # stops under white card at which light is computed, so that nothing clips yet


@dataclass(frozen=True)
class Light:
    """A named surround; ``make`` reads or draws it."""

    name: str
    make: Callable[[], Environment]


def scan_lights(folder: Path) -> list[Light]:
    """Both panoramas of a folder, each turned to four sides."""

    def turned(file: str, yaw: float) -> Environment:
        return read_environment(folder / file).rotated(yaw_matrix(yaw))

    return [
        Light(f"{file.split('_')[0]}-{yaw:03.0f}", lambda file=file, yaw=yaw: turned(file, yaw))
        for file in PANORAMAS
        for yaw in YAWS
    ]


def drawn_lights(seed: int, count: int = 8) -> list[Light]:
    """Surrounds of lobes, windows and lamps by seed, of no photograph."""
    return [
        Light(f"drawn-{seed}-{number}", lambda number=number: drawn_surround(8 * seed + number))
        for number in range(count)
    ]


def yaw_matrix(degrees: float) -> Tensor:
    """Rotation ``(3, 3)`` about y: +z goes to +x at 90."""
    angle = math.radians(degrees)
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor(((c, 0, s), (0, 1, 0), (-s, 0, c)))


def drawn_surround(seed: int, height: int = 256) -> Environment:
    """A panorama in the manner of `random_lights.varied_lights`: sky or walls, windows, lamps."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    def colour(count: int) -> Tensor:  # sources of one place are alike, but for some
        mired = (usual + 60 * torch.randn(count, generator=generator)).clamp(100, 450)
        tint = torch.exp(0.08 * torch.randn(count, 3, generator=generator))
        return (planckian(1e6 / mired) * tint).T[..., None, None]  # (3, count, 1, 1)

    usual = 130 + 220 * uniform(1)
    towards = latlong.directions(height, 2 * height, torch.zeros(()))
    ground = torch.lerp(colour(1)[:, 0], colour(1)[:, 0] * (0.2 + 0.8 * uniform(1)), 0.5)
    radiance = torch.where(towards[1] > 0, colour(1)[:, 0], ground) * (0.1 + 0.6 * uniform(1))
    count = 7  # four broad, three small
    places = torch.randn(count, 3, generator=generator) + torch.tensor((0.0, 0.45, 0.3))
    places = places / places.norm(dim=1, keepdim=True)
    concentration = torch.cat((1.5 * 15 ** uniform(4), 100 * 20 ** uniform(3)))
    on = torch.cat((uniform(4) < 0.75, uniform(3) < 0.6))
    strength = on * torch.exp(0.7 * torch.randn(count, generator=generator))
    cosine = torch.einsum("kc,chw->khw", places, towards)
    k = concentration[:, None, None]
    lobes = k * torch.exp(k * (cosine - 1)) * strength[:, None, None]  # of equal energies
    radiance = radiance + (colour(count) * lobes).sum(1)
    mean = (radiance * latlong.solid_angles(height, 2 * height, radiance)).sum((1, 2), keepdim=True)
    balance = (mean.mean() / mean) ** (0.55 + 0.45 * uniform(1))  # a camera's, in part
    return Environment(radiance * balance)


def filled(light: Light, fill: float) -> Light:
    """The light with its own mean radiance, ``fill`` times, added from everywhere."""
    if fill == 0:
        return light

    def make() -> Environment:
        radiance = light.make().radiance
        weights = latlong.solid_angles(*radiance.shape[1:], radiance) / (4 * math.pi)
        return Environment(radiance + fill * (radiance * weights).sum((1, 2), keepdim=True))

    return Light(f"{light.name}-fill{fill:g}", make)


# --- folders ---


def prepare_scan(data: Path, folder: Path, size: int) -> None:
    """The Lee Perry-Smith head: colour as albedo, detail normals, constant gloss."""
    scan = data / "lee-perry-smith"
    mesh = scan / "LeePerrySmith.obj"
    about = SubjectRecord(source="Lee Perry-Smith / Infinite-Realities", licence="CC-BY 3.0")
    with whole_folder(folder) as partial:
        shutil.rmtree(partial)
        bake_subject(mesh, partial, size, size, about=about)
        add_map(partial, "diffuse_albedo", scan / "Map-COL.jpg", resample=True)
        tangent = scan / "Infinite-Level_02_Tangent_SmoothUV.jpg"
        add_map(partial, "specular_normals", tangent, space="tangent", mesh=mesh, resample=True)
        complete(partial)


def prepare_procedural(seed: int, folder: Path, size: int) -> None:
    """A procedural face of ``size`` columns, its diffuse normals and gloss as the scan's."""
    with whole_folder(folder) as partial:
        shutil.rmtree(partial)
        write_subject(seed, partial, round(size * 2 / 3), size)
        complete(partial)


def complete(folder: Path) -> None:
    """Diffuse normals as sharp as the specular ones, since light is diffused itself; occlusion."""
    subject = Subject(folder)
    normals, mask = subject.open("specular_normals").whole(), subject.open("mask").whole()
    save_map(folder, "diffuse_normals", normals, derived=True)
    save_map(folder, "specular_albedo", SPECULAR * mask, derived=True)
    if "occlusion" not in subject:
        derive_occlusion(folder)


def face_region(subject: Subject) -> Tensor:
    """Texels ``(1, 1, H, W)`` of a box about the tip of the nose: from chin to hairline."""
    shape, mask = subject.open("shape"), subject.open("mask")
    placement = place(shape, mask, subject.record.millimetres_per_unit)
    normals, valid = subject.open("shape_normals").whole(), mask.whole() > 0.5
    return face_box(placement.apply(shape.whole()), normals, valid)[None]


def lit_subjects(
    truth: Path, lights: list[Light], family: str, folder: Path
) -> Iterator[tuple[str, Subject]]:
    """The subject under each light, lit now or in an earlier run, by the light's name."""
    subject = Subject(truth)
    for light in lights:
        place = folder / f"{family}-{light.name}"
        if not place.is_dir():
            write_lit(subject, captured(subject, light.make(), family), place)
        yield light.name, Subject(place)


def write_lit(subject: Subject, texture: Tensor, folder: Path) -> None:
    """What a network is given: texture, shape, its normals and the mask."""
    kept = {kind: subject.record.maps[kind] for kind in GIVEN}
    with whole_folder(folder) as partial:
        for record in kept.values():
            os.link(subject.folder / record.file, partial / record.file)
        write_record(partial, replace(subject.record, maps=kept))
        save_map(partial, "texture", texture, derived=True)


def captured(subject: Subject, surround: Environment, family: str) -> Tensor:
    """The texture ``(3, H, W)`` under a surround, exposed, clipped and sRGB-encoded."""
    mask = subject.open("mask").whole() > 0.5
    if family == "harmonics":
        albedo = srgb_to_linear(subject.open("diffuse_albedo").whole())
        normals = subject.open("diffuse_normals").whole()[None]
        windowed = surround.harmonics() * torch.tensor(WINDOW)[:, None]
        light = harmonics.irradiance(windowed, normals)[0]
        linear = albedo * light.clamp(min=0) * mask
    else:
        dim = scaled(
            exposed(surround.surroundings(LAMPS, EXPONENTS)), torch.full((1, 1), 2**HEADROOM)
        )
        linear = srgb_to_linear(shade_subject(subject, dim))
    return linear_to_srgb((linear * exposure(linear, mask, CLIPPED[family])).clamp(0, 1))


def exposure(linear: Tensor, mask: Tensor, clipped: float) -> float:
    """Gain with which a share of the valid texels has a channel above white."""
    brightest = linear.amax(0)[mask[0]].sort().values
    return float(1 / brightest[round((1 - clipped) * (len(brightest) - 1))])


def cached(folder: Path, about: dict, prepare: Callable[[Path], None]) -> Path:
    """The folder of a subject, made anew where it was made by another protocol."""
    stamp, text = folder / "protocol.json", json.dumps(about, sort_keys=True)
    if not stamp.is_file() or stamp.read_text() != text:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        prepare(folder / "truth")
        stamp.write_text(text)
    return folder
