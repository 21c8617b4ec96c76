"""A face in UV, path-traced by Mitsuba and shaded by us, and how far they are apart."""

from dataclasses import dataclass

import mitsuba_scene as scenes
import mitsuba_skin as skin
import numpy as np
import torch
from torch import Tensor

from realface.maps.encoding import srgb_to_linear
from realface.shading.shade import CAMERA_DISTANCE, shade
from realface.shading.subsurface import texel_size
from realface.shading.visibility import ambient_occlusion, visibility
from realface.synthetic.subject import ProceduralSubject

ROUGHNESS = 0.5  # GGX; alpha is its square
_GRAZING = 75.0  # degrees; highlights are compared where the camera looks in more steeply
_ABOVE = 0.05  # mm; diffuse light is measured by rays this long, so that no texel is hidden
_BACK = 60.0  # mm from the lowest texel to the back of the solid head
_NULL = {"type": "null"}


@dataclass(frozen=True)
class Face:
    """Maps of one subject, (1, C, H, W), and which texels are compared, (H, W) bool."""

    maps: dict[str, Tensor]
    compared: np.ndarray

    def image(self, kind):
        """One map as an array (H, W, C)."""
        return self.maps[kind][0].permute(1, 2, 0).numpy()


@dataclass(frozen=True)
class Truth:
    """Mitsuba's radiance at some texels: two independent halves of the samples, (N, 3) each."""

    texels: np.ndarray
    halves: tuple[np.ndarray, np.ndarray]

    @property
    def mean(self):
        """Of all samples, (N, 3)."""
        return (self.halves[0] + self.halves[1]) / 2

    @property
    def noise(self):
        """Relative to the mean; of the mean of both halves."""
        difference = self.halves[0] - self.halves[1]
        return float(np.sqrt(np.mean(difference**2)) / 2 / self.mean.mean())

    def error(self, ours):
        """Relative root mean square error and PSNR [dB] of ``ours``, a (1, 3, H, W) tensor."""
        ours = ours[0].permute(1, 2, 0).numpy()[self.texels]
        squared = np.mean((ours - self.halves[0]) * (ours - self.halves[1]))
        squared = max(float(squared), 1e-12)
        peak = np.quantile(self.mean, 0.99)
        return np.sqrt(squared) / self.mean.mean(), 10 * np.log10(peak**2 / squared)


def procedural_face(seed, height):
    """A procedural subject; texels whose neighbours are valid too are compared."""
    maps = {
        kind: m[None] for kind, m in ProceduralSubject(seed).maps(height, height * 3 // 2).items()
    }
    valid = maps["mask"][0, 0] > 0.5
    middle = maps["shape"][0][:, valid].median(dim=1).values
    maps["shape"] = maps["shape"] - middle.view(1, 3, 1, 1)
    inner = -torch.nn.functional.max_pool2d(-maps["mask"], 3, stride=1, padding=1)
    compared = (inner[0, 0] > 0.5).numpy()
    compared[[0, -1]] = compared[:, [0, -1]] = False
    return Face(maps, compared)


class Tracer:
    """Path-traces the face's texels."""

    def __init__(self, face, samples):
        self.mi = scenes.load_mitsuba()
        self.face, self.samples = face, samples
        self.faces = scenes.faces_of(face.maps["mask"][0, 0].numpy() > 0.5)
        ends = scenes.beside(face.image("shape").astype(np.float64))
        above = ends + _ABOVE * face.image("shape_normals")
        self.near = self._reached(above[face.compared], ends[face.compared], face.compared)
        eye = np.array((0.0, 0.0, CAMERA_DISTANCE))
        towards = eye - ends
        towards = towards / np.linalg.norm(towards, axis=2, keepdims=True)
        facing = np.ones_like(face.compared)
        for kind in ("shape_normals", "specular_normals"):
            cosine = (towards * face.image(kind)).sum(2)
            facing &= cosine > np.cos(np.radians(_GRAZING))
        facing &= face.compared
        self.far = self._reached(eye, ends[facing], facing)

    def _reached(self, starts, ends, texels):
        """The rays that nothing stops, and their texels."""
        stage = self._stage("diffuse_normals", "diffuse_albedo", scenes.DIFFUSE)
        beams = scenes.rays(self.mi, starts, ends)
        reached = scenes.arrives(stage, beams, np.linalg.norm(ends - starts, axis=1))
        kept = texels.copy()
        kept[texels] = reached
        return kept, [beam for beam, good in zip(beams, reached, strict=True) if good]

    def _stage(self, normals, colour, bsdf, *emitters):
        colours = self.face.image(colour)
        if colour == "diffuse_albedo":
            colours = srgb_to_linear(self.face.maps[colour])[0].permute(1, 2, 0).numpy()
        colours = np.broadcast_to(colours, (*colours.shape[:2], 3))
        shape = scenes.mesh(
            self.mi, self.face.image("shape"), self.face.image(normals), colours, self.faces, bsdf
        )
        return scenes.scene(self.mi, shape, *emitters)

    def diffuse(self, emitters, depth, samples=None):
        """Diffuse light; depth 2 is direct light, -1 all of it."""
        stage = self._stage("diffuse_normals", "diffuse_albedo", scenes.DIFFUSE, *emitters)
        return self._trace(stage, self.near, depth, samples or self.samples)

    def highlights(self, emitters, bsdf, depth=2, samples=None):
        """Light mirrored to the camera by a surface of ``bsdf``, coloured by specular_albedo."""
        stage = self._stage("specular_normals", "specular_albedo", bsdf, *emitters)
        return self._trace(stage, self.far, depth, samples or self.samples)

    def skin(self, emitters, samples):
        """What leaves the head in all directions, as a solid of skin1 without a boundary."""
        face, texels = self.face, self.near[0]
        positions, faces = scenes.closed(face.image("shape"), self.faces, _BACK)
        shape = scenes.mesh(
            self.mi, positions, positions, positions, faces, _NULL, interior=skin.skin1()
        )
        stage = scenes.scene(self.mi, shape, *emitters)
        ends = scenes.beside(face.image("shape").astype(np.float64))[texels]
        normals, random = face.image("shape_normals")[texels], np.random.default_rng(0)
        halves = []
        for seed in (0, 1):
            total = np.zeros_like(ends)
            for number in range(samples // 2):
                away = normals + scenes.directions(random, len(ends))  # follows the cosine
                beams = scenes.rays(self.mi, ends + _ABOVE * away, ends)
                settings = {"depth": -1, "seed": 2 * number + seed, "integrator": "volpath"}
                total += scenes.radiance(self.mi, stage, beams, **settings)
            halves.append(total / (samples // 2))
        return Truth(texels, tuple(halves))

    def _trace(self, stage, reached, depth, samples, integrator="path"):
        texels, beams = reached
        settings = {"depth": depth, "samples": max(samples // 2, 1), "integrator": integrator}
        halves = [scenes.radiance(self.mi, stage, beams, seed=s, **settings) for s in (0, 1)]
        return Truth(texels, tuple(halves))


def summed(truths):
    """The light of several lamps, each traced by itself: without noise where nothing is drawn."""
    halves = tuple(sum(truth.halves[half] for truth in truths) for half in (0, 1))
    return Truth(truths[0].texels, halves)


class Ours:
    """Our shading of the face, with the parts switched on one by one."""

    def __init__(self, face):
        self.face = face
        maps = face.maps
        self.geometry = maps["shape"], maps["shape_normals"], maps["mask"]
        self.occlusion = ambient_occlusion(*self.geometry)

    def seen(self, lights):
        """Our shadows, (1, L, H, W)."""
        return visibility(*self.geometry, lights)

    def diffuse(self, lights, **parts):
        """Diffuse light; ``parts`` are arguments of `shade`."""
        albedo = srgb_to_linear(self.face.maps["diffuse_albedo"])
        return self._shade(lights, albedo, torch.zeros_like(albedo[:, :1]), **parts)

    def irradiance(self, lights, **parts):
        """On the shape without micro-relief."""
        white = torch.ones_like(self.face.maps["shape"])
        return self._shade(lights, white, 0 * white[:, :1], "shape_normals", **parts)

    def scattered(self, light):
        """Light after it has spread under the skin."""
        positions, mask = self.face.maps["shape"], self.face.maps["mask"]
        return skin.scatter(light, mask, texel_size(positions, mask), skin.SKIN_RADII)

    def highlights(self, lights, specular_albedo, **parts):
        """GGX highlights."""
        black = torch.zeros_like(self.face.maps["diffuse_albedo"])
        return self._shade(
            lights, black, specular_albedo, specular="ggx", roughness=ROUGHNESS, **parts
        )

    def _shade(self, lights, albedo, specular_albedo, diffuse="diffuse_normals", **parts):
        maps = self.face.maps
        normals = maps[diffuse], maps["specular_normals"]
        return shade(
            albedo, specular_albedo, *normals, maps["shape"], lights, mask=maps["mask"], **parts
        )
