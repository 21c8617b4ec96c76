"""Procedural subjects: licence-free faces made from a seed."""
