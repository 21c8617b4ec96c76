"""Predicted reflectance maps against true ones: scores, baselines, tables, pictures."""
