"""The doctor of data sets: finds all that is wrong with one before a training does.

`examine` looks at every file of the splits once and reports; `quick_check` does what can be done
of this in a few seconds, before a training starts.
"""

from segscape.data.checks.inspection import examine, quick_check
from segscape.data.checks.report import Problem, Report, SplitReport

__all__ = ["Problem", "Report", "SplitReport", "examine", "quick_check"]
