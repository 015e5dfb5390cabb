"""The commands beside training. Each takes its arguments and returns an exit code."""

from segscape.commands.data import data
from segscape.commands.explaining import explain
from segscape.commands.importing import import_weights
from segscape.commands.listing import list_choices
from segscape.commands.predicting import predict
from segscape.commands.reporting import report
from segscape.commands.scoring import evaluate
from segscape.commands.sweeping import sweep

__all__ = [
    "data",
    "evaluate",
    "explain",
    "import_weights",
    "list_choices",
    "predict",
    "report",
    "sweep",
]
