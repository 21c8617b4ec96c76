"""LightningModules: the step of all of them, the four translators, the joint one, the face."""

from realface.translators.base import Translator
from realface.translators.diffuse_albedo import DiffuseAlbedo
from realface.translators.diffuse_normals import DiffuseNormals
from realface.translators.joint import Joint
from realface.translators.specular_albedo import SpecularAlbedo
from realface.translators.specular_normals import SpecularNormals
from realface.translators.whole_face import WholeFace

__all__ = [
    "DiffuseAlbedo",
    "DiffuseNormals",
    "Joint",
    "SpecularAlbedo",
    "SpecularNormals",
    "Translator",
    "WholeFace",
]
