"""`segscape data`: check data sets, look at them, prepare them."""

from __future__ import annotations

from collections.abc import Sequence

from segscape.commands import Command, dispatch

COMMANDS = {
    name: Command(text, f"segscape.commands.data_{name}:data_{name}")
    for name, text in (
        ("check", "find all that is wrong with a data set"),
        ("prepare", "decode into a fast local store, or pack into shards"),
        ("sample", "a picture of augmented samples with their labels"),
    )
}


def data(rest: Sequence[str]) -> int:
    """`segscape data COMMAND ...`: run one of COMMANDS."""
    return dispatch(rest, COMMANDS, program="segscape data", usage="data=NAME [KEY=VALUE ...]")
