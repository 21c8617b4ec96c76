"""Procedural subjects: licence-free faces made from a seed."""

from realface.synthetic.subject import ProceduralSubject

__all__ = ["ProceduralSubject"]
