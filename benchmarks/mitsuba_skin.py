"""A shadow's edge through skin: a path-traced block of skin against our scattering.

A half-space of skin1 (Jensen et al., "A Practical Model for Subsurface Light Transport", SIGGRAPH
2001, doi:10.1145/383259.383319) is lit from all around on one side of a sharp edge and black on the
other. What leaves it at a distance from the edge, over what leaves it far inside the light, is the
edge-spread function. The path tracer (volpath) follows light through the medium; we scatter a step.
"""

import numpy as np
import torch

from realface.shading.subsurface import SKIN_RADII, one_kernel_scatter, scatter

REDUCED_SCATTERING = np.array((0.74, 0.88, 1.01))  # skin1 [1/mm], isotropic phase function
ABSORPTION = np.array((0.032, 0.17, 0.48))  # skin1 [1/mm]
INDEX = 1.3  # of refraction, Jensen's
DISTANCES = np.concatenate((-np.geomspace(0.1, 14, 12)[::-1], np.geomspace(0.1, 14, 12)))  # mm
FAR = 60.0  # mm within the light: an edge is out of reach
TEXEL = 0.1  # mm, of our map
_SIZE, _GAP = 400.0, 0.03  # mm: half the block's side; from surface to light, above ray epsilons


def skin1():
    """The medium, millimetres to the scene's unit."""
    extinction = REDUCED_SCATTERING + ABSORPTION
    scale = float(extinction.max())  # Mitsuba's colours end at 1
    colours = extinction / scale, REDUCED_SCATTERING / extinction
    shares = [{"type": "rgb", "value": values.tolist()} for values in colours]
    return {"type": "homogeneous", "scale": scale, "sigma_t": shares[0], "albedo": shares[1]}


def block(mi, index):
    """Half-space z < 0 of skin, lit where x > 0; ``index`` 1 has no boundary, or a smooth one."""
    boundary = {"type": "dielectric", "int_ior": index, "ext_ior": 1.0}
    transform = mi.ScalarTransform4f
    place = transform().translate([0, 0, -_SIZE]).scale([_SIZE, _SIZE, _SIZE])
    cube = {"type": "cube", "to_world": place, "interior": skin1()}
    cube["bsdf"] = {"type": "null"} if index == 1 else boundary
    half = transform().rotate([1, 0, 0], 180).scale([_SIZE / 2, _SIZE, 1])
    light = {"type": "rectangle", "bsdf": {"type": "diffuse", "reflectance": _black()}}
    dark = light | {"to_world": transform().translate([-_SIZE / 2, 0, _GAP]) @ half}
    light["to_world"] = transform().translate([_SIZE / 2, 0, _GAP]) @ half
    light["emitter"] = {"type": "area", "radiance": {"type": "rgb", "value": [1.0] * 3}}
    return mi.load_dict({"type": "scene", "block": cube, "light": light, "dark": dark})


def _black():
    return {"type": "rgb", "value": [0.0] * 3}


def leaving(mi, stage, index, distance, samples, seed):
    """What leaves the skin at x = ``distance`` by scattering, (3,); irradiance pi comes in.

    Directions follow the cosine. The rays start under the surface, refracted by hand, so that what
    the surface itself reflects is not counted.
    """
    tracer = mi.load_dict({"type": "volpath", "max_depth": -1, "rr_depth": 50})
    sampler = mi.load_dict({"type": "independent", "sample_count": 1})
    sampler.seed(seed + 1)
    inside = next(shape.interior_medium() for shape in stage.shapes() if shape.interior_medium())
    random = np.random.default_rng(seed)
    total = np.zeros(3)
    for share, angle in random.random((samples, 2)):
        outer = np.sqrt(share)  # sine of a cosine-weighted direction
        passed = 1 - fresnel(np.sqrt(1 - share), index)
        sine = outer / index
        towards = sine * np.cos(2 * np.pi * angle), sine * np.sin(2 * np.pi * angle)
        beam = mi.RayDifferential3f(
            mi.Point3f(distance, 0, -1e-3), mi.Vector3f(*towards, -np.sqrt(1 - sine * sine))
        )
        found = tracer.sample(stage, sampler, beam, inside)[0]
        total += passed / index**2 * np.array((found.x, found.y, found.z))
    return total / samples


def fresnel(cosine, index):
    """Unpolarised reflectance of a smooth surface met from outside."""
    within = np.sqrt(1 - (1 - cosine**2) / index**2)
    parallel = (index * cosine - within) / (index * cosine + within)
    across = (cosine - index * within) / (cosine + index * within)
    return (parallel**2 + across**2) / 2


def traced(mi, index, samples):
    """Two independent edge-spread functions (distances, 3), and the reflectance (3,)."""
    stage = block(mi, index)
    far = leaving(mi, stage, index, FAR, 8 * samples, 0)
    halves = [
        np.array([leaving(mi, stage, index, x, samples // 2, seed) / far for x in DISTANCES])
        for seed in (1, 2)
    ]
    return halves, far


def ours(spread):
    """The edge-spread function of a scattering function, (distances, 3)."""
    width = 2 * round(40 / TEXEL)
    x = (torch.arange(width) + 0.5 - width / 2) * TEXEL
    light = (x > 0).float().expand(1, 3, width // 2, -1)
    size = torch.full_like(light[:, :1], TEXEL)
    row = spread(light, torch.ones_like(size), size)[0, :, width // 4].numpy()
    return np.stack([np.interp(DISTANCES, x.numpy(), channel) for channel in row], axis=1)


def width(function):
    """Distance from 10 to 90 % of each channel's edge-spread function [mm]."""
    fine = np.linspace(DISTANCES[0], DISTANCES[-1], 2801)
    spans = []
    for channel in function.T:
        rising = np.maximum.accumulate(np.interp(fine, DISTANCES, channel))
        spans.append(np.interp(0.9, rising, fine) - np.interp(0.1, rising, fine))
    return spans


def report(mi, samples):
    """Print the errors of the edge-spread functions, root mean square over the distances."""
    functions = {
        "no scattering": ours(lambda light, mask, size: light),
        "one_kernel_scatter": ours(one_kernel_scatter),
        "scatter, SKIN_RADII": ours(lambda *given: scatter(*given, SKIN_RADII)),
    }
    for index, boundary in ((INDEX, f"smooth boundary, index {INDEX}"), (1.0, "no boundary")):
        (first, second), reflectance = traced(mi, index, samples)
        print(f"\n### A shadow's edge on skin1, {boundary}\n")
        print("| edge-spread function | error red | green | blue | 10-90 % red | green | blue |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        for name, function in functions.items():
            squared = np.mean((function - first) * (function - second), 0).clip(min=0)
            cells = [f"{100 * error:.1f} %" for error in np.sqrt(squared)]
            cells += [f"{span:.1f} mm" for span in width(function)]
            print("| " + " | ".join([f"{name:20}", *cells]) + " |")
        noise = np.sqrt(np.mean((first - second) ** 2, 0)) / 2
        cells = [f"{100 * value:.1f} %" for value in noise]
        cells += [f"{span:.1f} mm" for span in width((first + second) / 2)]
        print("| " + " | ".join([f"{'Mitsuba (its noise)':20}", *cells]) + " |")
        print(f"\nReflectance {' '.join(f'{value:.2f}' for value in reflectance)}", flush=True)
