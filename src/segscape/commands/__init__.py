"""The commands beside training. Each takes its arguments and returns an exit code."""

from segscape.commands.data import data
from segscape.commands.evaluate import evaluate
from segscape.commands.explain import explain
from segscape.commands.import_weights import import_weights
from segscape.commands.list import list_choices
from segscape.commands.predict import predict
from segscape.commands.report import report
from segscape.commands.sweep import sweep

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
