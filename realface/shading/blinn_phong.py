r"""Blinn-Phong highlights: the papers' lobe, and the one that conserves energy.

Both are functions of cosines, in the units of `lights`: times a light's colour (irradiance / pi)
and an albedo they give what the surface returns.
"""

import math

from torch import Tensor

DEFAULT_EXPONENT = 27.0  # median over the central face of AvatarMe++'s shininess map


def exponent_from_shininess(shininess: Tensor) -> Tensor:
    """AvatarMe++'s shininess in [0, 1] to the exponent used: ``140 ** shininess``."""
    return 140.0**shininess


def shininess_from_exponent(exponent: Tensor) -> Tensor:
    """The inverse of `exponent_from_shininess`."""
    return exponent.log() / math.log(140.0)


def specular_lobe(cos_light: Tensor, cos_half: Tensor, exponent: Tensor) -> Tensor:
    r"""The un-normalised lobe :math:`(n \cdot h)^s`, before albedo and light colour.

    :math:`h = (l + v) / \|l + v\|`. Blinn, "Models of Light Reflection for Computer Synthesized
    Pictures", SIGGRAPH 1977, doi:10.1145/563858.563893, as AvatarMe++ and pytorch3d-me use it:
    the peak is 1 for every exponent and for every angle of the light.

    Args:
        cos_light: :math:`n \cdot l` with specular normals, ``(B, 1, H, W)``.
        cos_half: :math:`n \cdot h`, likewise.
        exponent: :math:`s > 0`, used as given, broadcastable to ``(B, 1, H, W)``.

    Returns:
        ``(B, 1, H, W)`` in ``[0, 1]``; zero where the light is below the horizon.
    """
    # The floor keeps the power's gradient finite; at exponent 1 it is below a 16-bit level.
    return (cos_light > 0) * cos_half.clamp(min=1e-6) ** exponent


def normalised_lobe(cos_light: Tensor, cos_half: Tensor, exponent: Tensor) -> Tensor:
    r"""The lobe that conserves energy, :math:`N(s)\,(n \cdot h)^s \max(0, n \cdot l)`.

    Times an albedo and the light's colour: the albedo is then what is reflected of a constant
    surround seen head-on, and less is at any other angle. Arguments as for `specular_lobe`;
    `normalisation` gives :math:`N`. Reciprocal, but for the cosine.
    """
    return normalisation(exponent) * cos_light.clamp(min=0) * cos_half.clamp(min=1e-6) ** exponent


def normalisation(exponent: Tensor) -> Tensor:
    r""":math:`N(s) = \frac{(s + 2)(s + 4)}{8 (s + 2^{-s/2})}`, the peak of `normalised_lobe`.

    From :math:`\frac{N}{\pi} \int \cos^s(\theta / 2) \cos\theta\,d\omega = 1` over the hemisphere
    at :math:`v = n` (Giesen, "Phong and Blinn-Phong normalization factors", 2009). Akenine-Moller
    et al., "Real-Time Rendering", approximate it by (s + 8) / 8, which reflects up to 8 % more.
    """
    return (exponent + 2) * (exponent + 4) / (8 * (exponent + 2.0 ** (-0.5 * exponent)))


def f0_from_specular_albedo(specular_albedo: Tensor, exponent: Tensor) -> Tensor:
    """The albedo of `normalised_lobe` with the head-on peak of the un-normalised lobe's.

    Also GGX's reflectance at normal incidence, which its lobe has in place of that albedo.
    """
    return specular_albedo / normalisation(exponent)


def specular_albedo_from_f0(f0: Tensor, exponent: Tensor) -> Tensor:
    """The inverse of `f0_from_specular_albedo`."""
    return f0 * normalisation(exponent)


def directional_albedo(cos_view: Tensor, exponent: Tensor) -> Tensor:
    r"""What the un-normalised lobe reflects of constant radiance 1 around, before the albedo.

    :math:`\frac{8}{s + 2} (1 - 2^{-(s + 2) / 2}) \max(0, n \cdot v)`: exact head-on; elsewhere
    the cosine is the lobe's change of solid angle, :math:`d\omega_l = 4 (v \cdot h) d\omega_h`.
    Within 5 % up to 50 degrees for exponents from 9; low at grazing views, and a quarter too
    low for an exponent of 1.
    """
    half = 0.5 * exponent + 1
    return 4 / half * (1 - 2.0**-half) * cos_view.clamp(min=0)


def normalised_directional_albedo(cos_view: Tensor, exponent: Tensor) -> Tensor:
    r"""The same of `normalised_lobe`: :math:`c^2 + 2 (1 - c^2) / (s + 1)`, :math:`c = n \cdot v`.

    1 head-on by definition. The second cosine is the light's, near the mirrored view; the other
    term, ours, is what a wide lobe gains from lights nearer to the normal. Within 0.04 up to 80
    degrees for exponents from 9, within 0.13 for an exponent of 1; zero where the view is below
    the horizon.
    """
    squared = cos_view.square()
    return (cos_view > 0) * (squared + 2 * (1 - squared) / (exponent + 1))
