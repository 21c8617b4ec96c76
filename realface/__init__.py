"""realface: train face-reflectance translators on UV patches, stitch full UV maps."""

__version__ = "0.1.0"
