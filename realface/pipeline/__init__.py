"""One subject through its translators, in order, each stitched over the whole map."""

from realface.pipeline.job import Job, lay_windows
from realface.pipeline.results import check_output

__all__ = ["Job", "check_output", "lay_windows"]
