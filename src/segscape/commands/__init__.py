"""The commands beside training: each is a file and a line of the table."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from segscape.errors import unknown
from segscape.exit_codes import DONE

ENTRY_POINTS = "segscape.commands"
"""Installed packages add commands by entry points of this group: NAME = "module:function"."""


@dataclass(frozen=True)
class Command:
    """A command, imported when it is run.

    Attributes:
        text: what it does, in one line.
        target: "module:function"; the function takes the arguments and returns an exit code.
    """

    text: str
    target: str

    def run(self, arguments: Sequence[str]) -> int:
        """Run it.

        Args:
            arguments: what was typed after its name.

        Returns:
            The exit code.
        """
        module, _, name = self.target.partition(":")
        function: Callable[[Sequence[str]], int] = getattr(importlib.import_module(module), name)
        return function(arguments)


COMMANDS = {
    name: Command(text, f"segscape.commands.{target}")
    for name, target, text in (
        ("evaluate", "evaluate:evaluate", "score a run or imported weights over a split"),
        ("predict", "predict:predict", "segment images: class maps and overlays"),
        (
            *("import-weights", "import_weights:import_weights"),
            "turn an official checkpoint into a segscape weights file",
        ),
        ("list", "list:list_choices", "show the groups, or the options of one with their cost"),
        (
            *("data", "data:data"),
            "check a data set, look at augmented samples, prepare it for fast reading",
        ),
        (
            *("explain", "explain:explain"),
            "draw the parts of a network with shapes, parameters and MACs",
        ),
        ("report", "report:report", "compare runs: table, Pareto front, effects, page, pictures"),
        ("sweep", "sweep:sweep", "status of the jobs of a sweep; submit, retry or cancel them"),
    )
}


def of_packages() -> dict[str, Command]:
    """The commands of installed packages."""
    from importlib import metadata  # slow to import, and not needed by train.py

    found = {}
    for point in metadata.entry_points(group=ENTRY_POINTS):
        package = point.dist.name if point.dist is not None else point.module
        found[point.name] = Command(f"of the package {package}", point.value)
    return found


def dispatch(
    arguments: Sequence[str],
    commands: Mapping[str, Command],
    *,
    program: str,
    usage: str,
    more: str = "",
) -> int:
    """Run the command that the first argument names; list all where there is none.

    Args:
        arguments: of the command line.
        commands: by name.
        program: what is typed before the command.
        usage: what is typed after it.
        more: text at the end of the help.

    Returns:
        The exit code.

    Raises:
        UserError: there is no such command.
    """
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(f"usage: {program} COMMAND {usage}\n")
        for name, command in commands.items():
            print(f"  {name:<16}{command.text}")
        print(f"\n{program} COMMAND --help has more{more}")
        return DONE
    name = arguments[0]
    if name not in commands:
        what = f"there is no command '{program} {name}'"
        raise unknown(what, name, commands, typed=f"{program} {{}}", label="commands")
    return commands[name].run(arguments[1:])
