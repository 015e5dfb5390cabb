"""`segscape data`: looking after data sets."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from segscape.errors import UserError, nearest

# name: (module, function, what it does); imported when asked for
COMMANDS = {
    "check": ("data_check", "data_check", "find all that is wrong with a data set"),
    "prepare": ("preparing", "prepare", "decode into a fast local store, or pack into shards"),
    "sample": ("data_sample", "data_sample", "a picture of augmented samples with their labels"),
}


def data(rest: Sequence[str]) -> int:
    """`segscape data COMMAND ...`: run one of COMMANDS."""
    if not rest or rest[0] in ("-h", "--help", "help"):
        print("usage: segscape data COMMAND data=NAME [KEY=VALUE ...]\n")
        for name, (_, _, text) in COMMANDS.items():
            print(f"  {name:<10}{text}")
        print("\nsegscape data COMMAND --help says more")
        return 0
    if rest[0] not in COMMANDS:
        close = nearest(rest[0], COMMANDS)
        hint = f"did you mean segscape data {close}? " if close else ""
        raise UserError(
            f"there is no command 'data {rest[0]}'", f"{hint}commands: {', '.join(COMMANDS)}"
        )
    module, function, _ = COMMANDS[rest[0]]
    run = getattr(importlib.import_module(f"segscape.commands.{module}"), function)
    code: int = run(rest[1:])
    return code
