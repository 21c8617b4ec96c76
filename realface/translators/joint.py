"""AvatarMe++: one generator from texture and shape normals to all four maps."""

from realface.maps.kinds import REFLECTANCE
from realface.translators.base import Translator


class Joint(Translator):
    """All four maps at once, held together by how they look when they are relit.

    Lattas et al., "AvatarMe++", TPAMI 2021, doi:10.1109/TPAMI.2021.3125598: L_GAN + L_FM + L_R,
    the last one by ``rendering_weight``.
    """

    name = "joint"
    outputs = REFLECTANCE
