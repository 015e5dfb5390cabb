"""Errors for the user: wrong input, not defects."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A request that cannot be carried out.

    The command line prints it without a traceback and ends with exit code 2.

    Args:
        what: what is wrong, naming the key, the file or the part.
        hint: the nearest valid thing, and the command that lists the choices.
    """

    exit_code = 2

    def __init__(self, what: str, hint: str | None = None) -> None:
        self.what = what
        self.hint = hint
        super().__init__(what if hint is None else f"{what}\n{hint}")

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str | None]]:
        """Keep both arguments when an error crosses a process (a DataLoader worker)."""
        return type(self), (self.what, self.hint)


class JobsFailed(UserError):
    """The request was right, and jobs of it failed: the command ends with exit code 1."""

    exit_code = 1


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that the user most likely meant, or None when nothing is close."""
    found = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return found[0] if found else None


def unknown(
    what: str,
    word: str,
    choices: Iterable[str],
    *,
    typed: str = "{}",
    label: str = "choices",
    shown: Iterable[str] | None = None,
) -> UserError:
    """The error for a name that does not exist: the nearest one that does, then all of them.

    Args:
        what: what is wrong, e.g. `fusion=ad: there is no such fusion`.
        word: the name as typed.
        choices: the names that exist.
        typed: how a name is typed, e.g. `fusion={}`.
        label: what the list of names is called; empty: no list.
        shown: the names of the list, where there are too many; None: all.
    """
    names = list(choices)
    close = nearest(word, names)
    hint = [f"did you mean {typed.format(close)}?"] if close else []
    if label:
        hint.append(f"{label}: {', '.join(names if shown is None else shown) or 'none'}")
    return UserError(what, " ".join(hint) or None)


def choice(key: str, value: object, choices: Iterable[object]) -> None:
    """Check that a value is one of the choices of a key.

    Raises:
        UserError: it is not.
    """
    names = list(choices)
    if value not in names:
        raise unknown(
            f"{key}={value} is not a choice", str(value), map(str, names), typed=f"{key}={{}}"
        )
