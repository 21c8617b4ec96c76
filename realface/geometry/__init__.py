"""Mesh with UVs to maps of its shape; what a shape map tells of scale and normals."""
