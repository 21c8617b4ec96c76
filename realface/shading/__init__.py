"""Differentiable UV-space shading, linear inside."""
