"""Subjects, lent patches and procedural faces to shards."""
