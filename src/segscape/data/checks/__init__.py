"""Checks of a data set: everything that would make a training fail, found before it starts.

`inspect_data` reads every file of the splits once and reports; `quick_check` does the part of this
that takes a few seconds, before a training.
"""

from segscape.data.checks.inspection import inspect_data, quick_check
from segscape.data.checks.report import Problem, Report, SplitReport

__all__ = ["Problem", "Report", "SplitReport", "inspect_data", "quick_check"]
