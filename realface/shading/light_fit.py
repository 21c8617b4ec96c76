r"""The light on a whole face of known shape, by least squares: its shadows tell where lamps are.

The face is taken for one of one albedo under distant lamps all around, none of them negative. Each
lamp lights it in one of three ways, and the texture decides between them, by least squares
reweighted as `harmonics_fit` does it:

.. math:: s(x) = \sum_d a_d V_d(x) \langle n(x), d \rangle_+
    + o(x) \sum_e b_e \langle n(x), e \rangle_+ + \sum_e c_e \langle n(x), e \rangle_+

with V the shadows that the shape casts and o its ambient occlusion: as a photograph is lit, as
much of what is rendered, and as nothing is in truth but a texture may be whose shadows are filled.
Sato, Sato and Ikeuchi, "Illumination from shadows", TPAMI 2003, doi:10.1109/TPAMI.2003.1182093.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from realface.maps.encoding import srgb_to_linear, unit
from realface.shading import harmonics
from realface.shading.harmonics_fit import reweighted
from realface.shading.occlusion import enlarge_in_mask, reduce_in_mask
from realface.shading.visibility import seen_from, sphere
from realface.shading.whole_light import DARKEST, log_shading

_LAMPS, _BROAD = 96, 32
"""Directions of lamps with shadows, 20 degrees apart, and of those without."""

_TEXELS = 1 << 15
"""Of the map that shadows are cast on, at most: those of a lamp among 96 are no sharper."""

_FITTED = 4096
"""Texels that lamps are fitted to, evenly spaced among those that count."""

_RIDGE = 1e-3
"""Of the mean diagonal of the normal equations."""

_ROUNDS, _STEPS = 6, 150
"""Of reweighting, and of descent in each."""

_VARIES = 0.2
"""Deviation of the logarithm of a skin's albedo over a face."""

_MOST_DOUBT = 0.1
"""Of the mean shading: a larger error of the fit is not the lamps', but hair's and cloth's."""

_HAIR = (0.4, 1.0)
"""What is darker than skin by these logarithms is taken for skin still, and for hair."""

_LEAST = 0.02
"""Of the mean irradiance, which reaches every place: what no lamp lights is not quite black."""

_SKIN = (0.42, 0.26, 0.19)
"""A usual albedo, linear: which of albedo and light is how strong, no texture tells."""


@dataclass(frozen=True)
class Openings:
    """Which distant lamps each place on a batch of faces sees past the face itself.

    Attributes:
        seen: ``(B, lamps, h, w)`` bool; on a map that is ``factor`` times smaller.
        factor: Texels of the face's maps along the side of one of these.
    """

    seen: Tensor
    factor: int


def openings(positions: Tensor, normals: Tensor, mask: Tensor) -> Openings:
    """Cast the shadows of all lamps.

    Args:
        positions: Of whole faces, object space [mm], ``(B, 3, H, W)``.
        normals: Of the shape, unit, object space, ``(B, 3, H, W)``.
        mask: Valid above 0.5, ``(B, 1, H, W)``.
    """
    height, width = mask.shape[-2:]
    factor = 1
    while -(-height // factor) * -(-width // factor) > _TEXELS:
        factor += 1
    places, valid = reduce_in_mask(positions, mask, factor)
    facing = unit(reduce_in_mask(normals, mask, factor)[0])
    return Openings(seen_from(places, facing, valid, sphere(_LAMPS, positions)) > 0.5, factor)


@torch.no_grad()
def fitted_light(
    texture: Tensor,
    normals: Tensor,
    mask: Tensor,
    openings: Openings,
    turns: Tensor | None = None,
) -> Tensor:
    """The light ``(B, 27, H, W)`` that would have made the texture of a face of usual skin.

    Clipped and black texels are left out, those that no lamps explain, such as hair and
    highlights, count for less.

    Args:
        texture: SRGB in [0, 1], ``(B, 3, H, W)``.
        normals: Unit, object space, ``(B, 3, H, W)``.
        mask: Valid above 0.5, ``(B, 1, H, W)``.
        openings: Of the faces.
        turns: Rotations ``(B, 3, 3)`` that the faces have made since these were found; None: none.

    Returns:
        As `realface.shading.whole_light` has it; beside the faces it means nothing.
    """
    clear = mask * ((texture > 0.02) & (texture < 0.99)).all(1, keepdim=True)
    linear = srgb_to_linear(texture)
    returned, usable = reduce_in_mask(linear, clear, openings.factor)
    facing, valid = reduce_in_mask(normals, mask, openings.factor)
    facing = unit(facing)
    lamps, broad = (_turned(sphere(count, texture), turns) for count in (_LAMPS, _BROAD))
    seen = openings.seen.to(texture)
    cosines, flat = (_cosines(one, facing) for one in (lamps, broad))
    shadowed = seen * cosines
    open_share = shadowed.sum(1, keepdim=True) / cosines.sum(1, keepdim=True).clamp(min=1e-6)
    functions = torch.cat((shadowed, open_share * flat, flat), dim=1)
    strengths, error = _strengths(functions, returned, usable)
    light = _harmonics(strengths, seen, open_share, lamps, broad)
    exact = torch.einsum("bcd,bdhw->bchw", strengths, functions)
    everywhere, _ = reduce_in_mask(linear, mask, openings.factor)
    exact = exact * _doubt(exact, everywhere, valid, error)
    light = _made_exact(light, exact, facing) / light.new_tensor(_SKIN).view(3, 1, 1, 1)
    size = texture.shape[-2], texture.shape[-1]
    return enlarge_in_mask(light.flatten(1, 2), valid, openings.factor, size)


def _turned(directions: Tensor, turns: Tensor | None) -> Tensor:
    """Directions ``(N, 3)`` as ``(B or 1, N, 3)``, each head's own."""
    return directions[None] if turns is None else torch.einsum("bij,nj->bni", turns, directions)


def _cosines(directions: Tensor, normals: Tensor) -> Tensor:
    """``(B, N, h, w)``, not negative."""
    return torch.einsum("bnc,bchw->bnhw", directions.expand(len(normals), -1, -1), normals).relu()


def _strengths(functions: Tensor, returned: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
    """How strong each lamp is, ``(B, 3, lamps)``, and what is left: its deviation ``(B, 1, 1)``."""
    places = torch.stack([_evenly(one[0]) for one in usable])
    chosen = _at(functions, places)
    wanted = _at(returned, places)
    counts = (_at(usable, places) > 0.5).to(wanted)
    trust = counts
    for _ in range(_ROUNDS):
        strengths = _not_negative(chosen, wanted, trust)
        gap = (wanted - strengths @ chosen).square().sum(1, keepdim=True).sqrt()
        trust, spread = reweighted(gap, counts)
    return strengths, spread


def _evenly(usable: Tensor) -> Tensor:
    """Numbers ``(_FITTED,)`` of texels that count, some of them twice where there are few."""
    found = (usable.flatten() > 0.5).nonzero()[:, 0]
    if not len(found):
        return torch.zeros(_FITTED, dtype=torch.long, device=usable.device)
    steps = torch.linspace(0, len(found) - 1, _FITTED, device=usable.device)
    return found[steps.round().long()]


def _at(maps: Tensor, places: Tensor) -> Tensor:
    """Values ``(B, C, N)`` at the texels of numbers ``(B, N)``."""
    return maps.flatten(2).gather(2, places[:, None].expand(-1, maps.shape[1], -1))


def _not_negative(functions: Tensor, wanted: Tensor, trust: Tensor) -> Tensor:
    """Least squares under weights with no unknown below 0, ``(B, 3, lamps)``.

    Nesterov's projected descent; Beck and Teboulle, "A fast iterative shrinkage-thresholding
    algorithm", 2009, doi:10.1137/080716542.

    Args:
        functions: ``(B, lamps, N)``.
        wanted: ``(B, 3, N)``.
        trust: ``(B, 1, N)``.
    """
    share = trust / trust.sum(-1, keepdim=True).clamp(min=1e-6)
    squares = (functions * share) @ functions.mT
    mean = squares.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-12)[:, None, None]
    squares = squares + _RIDGE * mean * torch.eye(squares.shape[-1]).to(squares)
    right = (wanted * share) @ functions.mT
    steepest = squares.sum(-1).amax(-1)[:, None, None]  # at least the norm: no entry is negative
    found = ahead = torch.zeros_like(right)
    pace = 1.0
    for _ in range(_STEPS):
        after = (ahead - (ahead @ squares - right) / steepest).relu()
        pace, before = (1 + (1 + 4 * pace**2) ** 0.5) / 2, pace
        ahead = after + (before - 1) / pace * (after - found)
        found = after
    return found


def _harmonics(
    strengths: Tensor, seen: Tensor, open_share: Tensor, lamps: Tensor, broad: Tensor
) -> Tensor:
    """Harmonics of the irradiance at each place, ``(B, 3, 9, h, w)``."""
    first, second, third = strengths.split((_LAMPS, _BROAD, _BROAD), dim=2)
    of_lamps, of_broad = (_band_limited(one).expand(len(seen), -1, -1) for one in (lamps, broad))
    occluded, even = (
        torch.einsum("bcd,bkd->bck", one, of_broad)[..., None, None] for one in (second, third)
    )
    light = torch.einsum("bcd,bkd,bdhw->bckhw", first, of_lamps, seen)
    light = light + occluded * open_share[:, :, None] + even
    least = _LEAST * light[:, :, 0].mean(dim=(2, 3), keepdim=True).clamp(min=DARKEST)
    return torch.cat(((light[:, :, :1] + least[:, :, None]), light[:, :, 1:]), dim=2)


def _band_limited(directions: Tensor) -> Tensor:
    """Harmonics ``(B, 9, N)`` of the clamped cosine about each direction ``(B, N, 3)``."""
    functions = harmonics.basis(directions.mT[..., None])[..., 0]
    return torch.pi * functions.new_tensor(harmonics.KEPT)[:, None] * functions


def _doubt(shading: Tensor, returned: Tensor, valid: Tensor, error: Tensor) -> Tensor:
    r"""A gain ``(B, 3, h, w)`` for places where lamps explain less than skin's own variation would.

    Where the logarithm of albedo deviates by :math:`\tau` and a shading s is off by
    :math:`\sigma`, its likeliest value is :math:`w \log(r / s)` with
    :math:`w = \tau^2 / (\tau^2 + (\sigma / s)^2)`: in the dark, where little is known, albedo is
    the mean's. Not of hair, which no error explains.
    """
    count = valid.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    mean = (shading.mean(1, keepdim=True) * valid).sum(dim=(2, 3), keepdim=True) / count
    spread = torch.minimum(error[..., None] / 3**0.5, _MOST_DOUBT * mean)
    relative = spread / shading.clamp(min=1e-6)
    share = 1 / (1 + (relative / _VARIES).square())
    ratio = (returned.clamp(min=DARKEST / 4) / shading.clamp(min=DARKEST / 4)).clamp(0.1, 10)
    off = ratio.log()
    skin, hair = (one * (1 + 2 * relative) for one in _HAIR)
    off = off * ((off + hair) / (hair - skin)).clamp(0, 1)
    return torch.where(valid > 0.5, (off * (1 - share)).exp(), 1)


def _made_exact(light: Tensor, exact: Tensor, normals: Tensor) -> Tensor:
    """Light whose shading of the face's own normals is what the lamps give, by a gain.

    Nine harmonics of a lamp are off by a tenth of it, and further where half of the sky is hidden.
    """
    found = log_shading(light.flatten(1, 2), normals).exp()
    return light * (exact / found).clamp(0.1, 10)[:, :, None]
