"""Grey diffuse albedo and shape normals to diffuse normals."""

from realface.translators.base import Translator


class DiffuseNormals(Translator):
    """AvatarMe's sigma: GXYZ to XYZ, object space in and out."""

    name = "diffuse_normals"
    outputs = (name,)
