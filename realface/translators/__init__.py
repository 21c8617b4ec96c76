"""LightningModules: the generator/discriminator step, once, and the four translators."""

from realface.translators.base import Translator
from realface.translators.diffuse_albedo import DiffuseAlbedo
from realface.translators.diffuse_normals import DiffuseNormals
from realface.translators.specular_albedo import SpecularAlbedo
from realface.translators.specular_normals import SpecularNormals

__all__ = ["DiffuseAlbedo", "DiffuseNormals", "SpecularAlbedo", "SpecularNormals", "Translator"]
