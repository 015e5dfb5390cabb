"""`segscape data check`: whether a data set is complete and valid, and what is in it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from segscape import build
from segscape.config import composing, files, targets
from segscape.config.annotations import check_types
from segscape.errors import UserError, unknown

if TYPE_CHECKING:
    from segscape.data.checks.inspection import Progress
    from segscape.data.module import SegmentationDataModule

SPLITS = ("train", "val", "test")


def data_check(rest: Sequence[str]) -> int:
    """`segscape data check data=NAME data.root=DIR [split=train,val] [--json] [--sample N]`.

    Reads every file once and reports missing and damaged ones, sizes, unknown ids, classes and
    their weights, samples in two splits, and how long an epoch takes. Exit code 2 if a training
    would fail.
    """
    parser = argparse.ArgumentParser("segscape data check", description=data_check.__doc__)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for train.py")
    parser.add_argument("--json", action="store_true", help="machine-readable, with all problems")
    parser.add_argument(
        "--sample", type=int, metavar="N", help="inspect N samples of each split only"
    )
    given = parser.parse_intermixed_args(rest)
    if given.sample is not None and given.sample < 1:
        raise UserError(f"--sample {given.sample} cannot be used", "give 1 or more")
    splits, overrides = split_choice(given.overrides, ("train", "val"))
    data, _ = data_module(overrides)
    from segscape.data.checks import inspect_data

    with _progress() as progress:
        report = inspect_data(data, splits, given.sample, progress)
    if given.json:
        print(json.dumps(report.as_data(), indent=2))
    else:
        from rich.console import Console

        from segscape.data.checks.console import show

        show(report, Console(highlight=False))
    return 0 if report.ok else 2


def data_module(overrides: Sequence[str]) -> tuple[SegmentationDataModule, dict[str, str]]:
    """The data module that a training with these overrides would use, with its augmentation.

    Returns:
        The module, and the option that each group has.

    Raises:
        UserError: an unknown key, option or argument.
    """
    if not any(text.startswith(("data=", "experiment=")) for text in overrides):
        raise UserError(
            "which data set? data=NAME is needed",
            f"choices: {', '.join(files.groups()['data'])}",
        )
    from omegaconf import OmegaConf

    composed, choices = composing.compose_with_choices(overrides)
    settings: Any = OmegaConf.to_container(composed, resolve=True)
    for key in ("data", "augment"):
        node = settings.get(key)
        if node and node.get("_target_"):
            target, given = targets.arguments(node, key, targets.SUPPLIED[key])
            check_types(target, given, key)
    return build.data(settings), choices


def split_choice(
    texts: Sequence[str], default: tuple[str, ...]
) -> tuple[tuple[str, ...], list[str]]:
    """Take `split=` out of the arguments; it may name several with commas between.

    Raises:
        UserError: there is no such split.
    """
    splits, rest = default, []
    for text in texts:
        key, _, value = text.partition("=")
        if key != "split":
            rest.append(text)
            continue
        splits = tuple(dict.fromkeys(name.strip() for name in value.split(",")))
        for name in splits:
            if name not in SPLITS:
                what = f"split={value}: there is no split {name!r}"
                raise unknown(what, name, SPLITS, label="splits (several with commas between)")
    return splits, rest


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """A bar on the terminal, if there is one; standard output is for the report."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        *progress.Progress.get_default_columns()[:2],
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show_progress(split: str, done: int, total: int) -> None:
            if split not in tasks:
                tasks[split] = bar.add_task(split, total=total)
            bar.update(tasks[split], completed=done)

        yield show_progress
