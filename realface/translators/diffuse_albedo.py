"""De-lighting: texture and depth to diffuse albedo."""

from realface.translators.base import Translator


class DiffuseAlbedo(Translator):
    """AvatarMe's delta: RGBZ to RGB."""

    name = "diffuse_albedo"
    outputs = (name,)
