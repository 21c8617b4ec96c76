"""One subject through its translators, in order, each stitched over the whole map."""

from realface.pipeline.job import Job, check_format
from realface.pipeline.results import check_output
from realface.pipeline.stages import chains, given_kinds, in_order, lay_windows, offset_kinds
from realface.pipeline.tuning import first_plan

__all__ = [
    "Job",
    "chains",
    "check_format",
    "check_output",
    "first_plan",
    "given_kinds",
    "in_order",
    "lay_windows",
    "offset_kinds",
]
