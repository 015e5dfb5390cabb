"""Errors that are meant for the person at the keyboard."""

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

    def __init__(self, what: str, hint: str | None = None) -> None:
        self.what = what
        self.hint = hint
        super().__init__(what if hint is None else f"{what}\n{hint}")

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str | None]]:
        """Keep both arguments when an error crosses a process (a DataLoader worker)."""
        return type(self), (self.what, self.hint)


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that the user most likely meant, or None when nothing is close."""
    found = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return found[0] if found else None
