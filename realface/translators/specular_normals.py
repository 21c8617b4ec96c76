"""Grey diffuse albedo and shape normals to specular normals."""

from realface.translators.base import Translator


class SpecularNormals(Translator):
    """AvatarMe's rho: GXYZ to XYZ, in tangent space (``space: tangent``) or in object space."""

    name = "specular_normals"
    outputs = (name,)
