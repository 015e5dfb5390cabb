"""The overrides of a command line: made acceptable to Hydra, and given back as they were typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from segscape.config.targets import SUPPLIED
from segscape.errors import UserError

# An argument of a group whose options are a class or function, or of a named entry of a group.
_ARGUMENT = re.compile(rf"^(({'|'.join(SUPPLIED)})\.[\w.]+|(metrics|callbacks)\.\w+\.[\w.]+)=")


# A mapping of the user's own keys.
_MAPPING = re.compile(r"^sweep\.(when|grid)=\s*\{")


def admit(overrides: Sequence[str]) -> list[str]:
    """Let an override give any argument of a part, also one that its yaml leaves at the default.

    Hydra takes `optim.momentum=0.8` only when the yaml has that key; `++` lifts this. Whether the
    part has such an argument is checked against its signature before the run; so are the keys of
    `sweep.when` and `sweep.grid` by the sweep. A condition of a sweep (`sweep.where=macs<15e9`) is
    put into the quotes that the shell has taken away.
    """
    quoted = [_with_quotes(text) for text in overrides]
    added = [_ARGUMENT.match(text) or _MAPPING.match(text) for text in quoted]
    return [f"++{text}" if add else text for add, text in zip(added, quoted, strict=True)]


def _with_quotes(text: str) -> str:
    key, sign, value = text.partition("=")
    if not sign or key.lstrip("+") not in ("sweep.where", "sweep.constraints"):
        return text
    value = value.strip()
    listed = value.startswith("[") and value.endswith("]")
    parts = value[1:-1].split(",") if listed else [value]
    if any(part.strip()[:1] in ("'", '"', "") or part.strip() == "null" for part in parts):
        return text
    escaped = ['"' + part.strip().replace('"', '\\"') + '"' for part in parts]
    return f"{key}=[{','.join(escaped)}]" if listed else f"{key}={escaped[0]}"


# Options of Hydra's command line that are followed by a value.
_WITH_VALUE = (
    *("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"),
    *("--package", "-p", "--cfg", "-c"),
)


def flags_first(arguments: Sequence[str]) -> list[str]:
    """The same command line with Hydra's own options before the overrides, as argparse needs it."""
    flags: list[str] = []
    overrides: list[str] = []
    waiting = iter(arguments)
    for text in waiting:
        if not text.startswith("-"):
            overrides.append(text)
            continue
        flags.append(text)
        if text in _WITH_VALUE:
            flags += [value for value in [next(waiting, None)] if value is not None]
    return [*flags, *overrides]


_OF_SWEEPS = re.compile(r"^[+~]*(hydra/(launcher|sweeper)=|hydra\.(launcher|sweeper)\.|sweep[.=])")


def refuse_sweep_words(arguments: Sequence[str]) -> None:
    """Hydra ignores a launcher when it runs a single job: here that is an error.

    Args:
        arguments: of the command line.

    Raises:
        UserError: a launcher, a sweeper or a key of the sweep without -m.
    """
    if {"-m", "--multirun", "--help", "-h", "--cfg", "-c", "--info", "-i"} & {
        text.split("=", 1)[0] for text in arguments
    }:
        return
    if "hydra.mode=MULTIRUN" in arguments:
        return
    for text in arguments:
        if _OF_SWEEPS.match(text):
            raise UserError(
                f"{text} is for sweeps, and this is a single run",
                f"for a sweep type: python train.py -m {shlex.join(arguments)}",
            )


def as_typed(overrides: Sequence[str]) -> list[str]:
    """Take back what `admit` added."""
    return [text.removeprefix("++") for text in overrides]


def keys_of(overrides: Sequence[str]) -> set[str]:
    """The keys and groups that overrides set, add or take out."""
    return {text.split("=", 1)[0].lstrip("+~") for text in overrides}
