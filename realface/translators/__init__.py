"""LightningModules: the generator/discriminator step, once, the four translators, the joint one."""

from realface.translators.base import Translator
from realface.translators.diffuse_albedo import DiffuseAlbedo
from realface.translators.diffuse_normals import DiffuseNormals
from realface.translators.joint import Joint
from realface.translators.specular_albedo import SpecularAlbedo
from realface.translators.specular_normals import SpecularNormals

__all__ = [
    "DiffuseAlbedo",
    "DiffuseNormals",
    "Joint",
    "SpecularAlbedo",
    "SpecularNormals",
    "Translator",
]
