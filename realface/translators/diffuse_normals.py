"""Grey diffuse albedo and shape normals to diffuse normals."""

from realface.translators.base import Translator


class DiffuseNormals(Translator):
    """AvatarMe's sigma: GXYZ to XYZ, object space in and out."""

    output = "diffuse_normals"
    residual_base = "shape_normals"
