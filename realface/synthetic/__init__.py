"""Procedural subjects: licence-free faces made from a seed."""

from realface.synthetic.subject import ProceduralSubject, subject_windows

__all__ = ["ProceduralSubject", "subject_windows"]
