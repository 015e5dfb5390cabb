"""What a search is about: a study that was begun with something else is refused, in words.

Results of other spaces, budgets, seeds or training settings do not belong into one comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from segscape.config.identity import differences, essence, identity
from segscape.config.override_text import plain
from segscape.errors import UserError
from segscape.sweep.search.space import Parameter
from segscape.sweep.settings import SweepSettings

_SHOWN = 4


def terms_of(
    parameters: Sequence[Parameter],
    settings: SweepSettings,
    base: Mapping[str, Any],
    options: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """What must stay the same for as long as a search lasts, as plain data.

    Args:
        parameters: of the space.
        settings: seeds, budget, constraints, conditions.
        base: configuration that all designs have in common, or empty.
        options: what each option of the space makes of it.
    """
    return {
        "space": {plain(each.key): list(each.choices) or str(each) for each in parameters},
        "sweep": {
            "seeds": list(settings.seeds),
            "where": settings.where,
            "constraints": sorted(map(str, settings.constraints)),
            "when": {str(key): str(text) for key, text in settings.when.items()},
        },
        "config": essence(base) if base else {},
        "options": {text: identity(each) for text, each in options.items() if each},
    }


def refuse_other_terms(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """A search goes on as it was begun, or another one is begun.

    Args:
        name: of the sweep.
        before: terms that the study was begun with.
        now: those of this command.

    Raises:
        UserError: they differ; what was, and what is.
    """
    found = _differences(before, now)
    if found:
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UserError(
            f"the search {name} was begun with something else: {'; '.join(found[:_SHOWN])}{more}",
            "sweep.name=NAME begins another search; trials, workers, sampler, pruner and launcher "
            "may change",
        )


def in_known_order(parameters: Sequence[Parameter], before: Mapping[str, Any]) -> list[Parameter]:
    """The parameters with their choices in the order of the study, which Optuna requires."""
    known = before.get("space", {})
    return [
        replace(each, choices=tuple(known[plain(each.key)]))
        if each.choices and plain(each.key) in known
        else each
        for each in parameters
    ]


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for part, prefix in (("space", ""), ("sweep", "sweep."), ("config", "")):
        old, new = before.get(part) or {}, now.get(part) or {}
        if part == "config" and not (old and new):
            continue
        if part == "space":
            old, new = _unordered(old), _unordered(new)
        found += [
            f"{prefix}{key} was {_words(was)}, is {_words(is_)}"
            for key, was, is_ in differences(old, new)
        ]
    if not found:
        known = now.get("options") or {}
        found = [
            f"{text} stands for another configuration now"
            for text, digest in (before.get("options") or {}).items()
            if known.get(text, digest) != digest
        ]
    return found


def _unordered(space: Mapping[str, Any]) -> dict[str, Any]:
    return {key: sorted(each) if isinstance(each, list) else each for key, each in space.items()}


def _words(value: Any) -> str:
    if value is None or value == []:
        return "not given"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    return str(value)
