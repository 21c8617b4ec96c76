"""Grey diffuse albedo and shape normals to specular normals."""

from realface.translators.base import Translator


class SpecularNormals(Translator):
    """AvatarMe's rho: GXYZ to XYZ, in object space."""

    output = "specular_normals"
    residual_base = "shape_normals"
