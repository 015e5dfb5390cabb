"""The arguments that every data set takes, declared once.

A data set's `__init__` lists its own arguments and passes the others on:

    def __init__(self, root: Path, **options: Unpack[LoaderOptions]) -> None:
        super().__init__(**options)

Type checkers understand this directly. At run time, the checks of the configuration and `help()`
see every argument by its name and type, because `SegmentationDataModule` calls `spell_out` for its
subclasses.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from segscape.data.transforms import Transform


class LoaderOptions(TypedDict, total=False):
    """The keyword arguments of `SegmentationDataModule`, which documents them."""

    batch_size: int
    eval_batch_size: int
    num_workers: int | None
    augment: Transform | None
    seed: int
    crop: Sequence[int] | None
    cache: str
    cache_dir: str | Path | None
    source: str | Path | None


def spell_out(init: Any, base: Any) -> None:
    """Make the options that an `__init__` passes on visible as arguments of its own.

    Args:
        init: if it ends with `**options: Unpack[LoaderOptions]`, its signature and annotations
            are changed to name every option; otherwise it is unchanged.
        base: the `__init__` whose keyword-only arguments these are.
    """
    own = inspect.signature(init).parameters
    rest = next((p for p in own.values() if p.kind is p.VAR_KEYWORD), None)
    if rest is None or LoaderOptions.__name__ not in str(rest.annotation):
        return
    types = typing.get_type_hints(LoaderOptions)
    options = [
        parameter.replace(annotation=types[name])
        for name, parameter in inspect.signature(base).parameters.items()
        if name in types and name not in own
    ]
    init.__signature__ = inspect.Signature([*(p for p in own.values() if p is not rest), *options])
    named = {name: hint for name, hint in init.__annotations__.items() if name != rest.name}
    init.__annotations__ = named | {option.name: option.annotation for option in options}
