"""Mitsuba's side of the comparison: scenes whose vertices are the texels, one ray for each texel.

A map is turned into a mesh with a vertex at every texel, the map's normals as shading normals and
its albedo as a vertex colour, and every ray ends a hundredth of a texel beside a vertex: Mitsuba's
value and ours belong to the same point, normal and albedo, and nothing is resampled. Units are
ours: a light of colour 1 makes a white diffuse surface that faces it return 1 (irradiance pi), a
sky of radiance 1 likewise.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

INSIDE = 0.01  # texels from a vertex to where its ray ends


def load_mitsuba():
    """The module, as ``scalar_rgb``: the only variant that needs neither LLVM nor a GPU."""
    try:
        import mitsuba
    except ImportError:
        sys.exit("mitsuba is not installed, and this command compares with it.\n"
                 "Install it with: pip install 'realface[render]'")  # fmt: skip
    mitsuba.set_variant("scalar_rgb")
    return mitsuba


def faces_of(mask):
    """Two triangles ``(F, 3)`` for every square of four valid texels; ``mask`` is (H, W) bool."""
    index = np.arange(mask.size, dtype=np.int32).reshape(mask.shape)
    whole = mask[:-1, :-1] & mask[1:, :-1] & mask[:-1, 1:] & mask[1:, 1:]
    upper_left, lower_left = index[:-1, :-1][whole], index[1:, :-1][whole]
    upper_right, lower_right = index[:-1, 1:][whole], index[1:, 1:][whole]
    first = np.stack((upper_left, lower_left, upper_right), 1)
    return np.concatenate((first, np.stack((upper_right, lower_left, lower_right), 1)))


def mesh(mi, positions, normals, colours, faces, bsdf, **inside):
    """Mesh with the texels as vertices; the arrays are (H, W, 3), ``bsdf`` may read vertex_color.

    ``inside`` may be ``interior``, a medium.
    """
    names = ("x", "y", "z", "nx", "ny", "nz", "r", "g", "b")
    vertices = np.zeros(positions[..., 0].size, dtype=[(name, "<f4") for name in names])
    values = np.concatenate((positions, normals, colours), axis=-1).reshape(-1, len(names))
    for name, column in zip(names, values.T, strict=True):
        vertices[name] = column
    corners = np.zeros(len(faces), dtype=[("count", "u1"), ("index", "<i4", 3)])
    corners["count"], corners["index"] = 3, faces
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property float {name}" for name in names]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texels.ply"
        head = ("\n".join(header) + "\n").encode()
        path.write_bytes(head + vertices.tobytes() + corners.tobytes())
        return mi.load_dict({"type": "ply", "filename": str(path), "bsdf": bsdf} | inside)


def closed(positions, faces, depth):
    """The sheet ``positions`` (H, W, 3) with a flat back ``depth`` mm behind it, and its faces.

    Returns:
        Vertices (2 H, W, 3) and faces (F, 3) of a solid, the sheet in front and first.
    """
    back = positions.copy()
    back[..., 2] = positions[..., 2].min() - depth
    count = positions[..., 0].size
    edges = np.concatenate((faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]])).astype(np.int64)
    keys, reversed_keys = edges @ (count, 1), edges @ (1, count)
    start, end = edges[~np.isin(keys, reversed_keys)].T
    walls = np.concatenate(
        (np.stack((end, start, start + count), 1), np.stack((end, start + count, end + count), 1))
    )
    solid = np.concatenate((faces, faces[:, ::-1] + count, walls)).astype(np.int32)
    return np.concatenate((positions, back)), solid


COLOURED = {"type": "mesh_attribute", "name": "vertex_color"}
DIFFUSE = {"type": "diffuse", "reflectance": COLOURED}


def mirror_bsdf(alpha):
    """GGX without Fresnel's term; the vertex colour is the reflectance."""
    conductor = {"type": "roughconductor", "material": "none", "distribution": "ggx"}
    return conductor | {"alpha": alpha, "specular_reflectance": COLOURED}


def schlick_bsdf(alpha):
    """GGX with Schlick's Fresnel term; the vertex colour is the reflectance at 0 degrees."""
    return {"type": "principled", "metallic": 1.0, "roughness": alpha**0.5, "base_color": COLOURED}


def _rgb(values):
    return {"type": "rgb", "value": [float(value) for value in values]}


def directional(towards, colour):
    """Light from the unit vector ``towards``."""
    irradiance = _rgb(np.pi * np.asarray(colour))
    direction = [-float(value) for value in towards]
    return {"type": "directional", "direction": direction, "irradiance": irradiance}


def point(position, colour):
    """Lamp that does ``colour`` at a distance of 1 mm; it falls off with the square of it."""
    place = [float(value) for value in position]
    return {"type": "point", "position": place, "intensity": _rgb(np.pi * np.asarray(colour))}


def sky(mi, radiance):
    """Our lat-long (h, w, 3), the middle column at +z and the right-hand half at +x.

    Mitsuba's middle column is +z too, but its right-hand half is -x: the columns are mirrored.
    """
    mirrored = np.ascontiguousarray(radiance[:, ::-1].astype(np.float32))
    return {"type": "envmap", "bitmap": mi.Bitmap(mirrored)}


def constant(radiance):
    return {"type": "constant", "radiance": _rgb(radiance)}


def scene(mi, shape, *emitters):
    named = {f"emitter_{index}": emitter for index, emitter in enumerate(emitters)}
    return mi.load_dict({"type": "scene", "shape": shape} | named)


def beside(positions):
    """Points (H, W, 3) just inside a triangle of each vertex: rays may slip through at vertices.

    A hundredth of the way to the neighbours on the right and below; the last row and column stay.
    """
    moved = positions.copy()
    moved[:-1, :-1] += INSIDE * (positions[:-1, 1:] + positions[1:, :-1] - 2 * positions[:-1, :-1])
    return moved


def rays(mi, starts, ends):
    """Rays from ``starts`` to ``ends``, (N, 3) or (3,) and (N, 3)."""
    towards = ends - starts
    towards = towards / np.linalg.norm(towards, axis=1, keepdims=True)
    starts = np.broadcast_to(starts, ends.shape)
    pairs = zip(starts.tolist(), towards.tolist(), strict=True)
    return [mi.RayDifferential3f(mi.Point3f(*o), mi.Vector3f(*d)) for o, d in pairs]


def directions(random, count):
    """Unit vectors (count, 3), evenly spread."""
    vectors = random.standard_normal((count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def arrives(stage, beams, distances):
    """Which rays reach their end, (N,) bool: nothing is in front of it, and it is there."""
    hits = [stage.ray_intersect(beam).t for beam in beams]
    return np.abs(np.asarray(hits) - distances) < 1e-3 * distances + 1e-3


def radiance(mi, stage, beams, *, depth=2, samples=1, seed=0, integrator="path"):
    """Radiance (N, 3) that comes back along the rays; depth 2 is direct light, -1 all of it."""
    tracer = mi.load_dict({"type": integrator, "max_depth": depth})
    sampler = mi.load_dict({"type": "independent", "sample_count": 1})
    sampler.seed(seed + 1)
    result = np.empty((len(beams), 3))
    for row, beam in enumerate(beams):
        total = mi.Color3f(0)
        for _ in range(samples):
            total += tracer.sample(stage, sampler, beam)[0]
        result[row] = total
    return result / samples
