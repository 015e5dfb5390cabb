"""Errors for combinations that cannot work."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from segscape.config.override_text import written
from segscape.errors import UserError
from segscape.sweep.plan.check import Plan, Rejection

Varied = Mapping[str, Any]


def explain_rejections(plan: Plan) -> UserError:
    """One error for all combinations that cannot work, and what would leave them out.

    Args:
        plan: with at least one rejection.
    """
    assert plan.rejected, "nothing to explain"
    total = len(plan.planned) + len(plan.rejected) + len(plan.unfit)
    lines = [f"{len(plan.rejected)} of {total} combinations cannot work"]
    lines += listed(plan.rejected)
    good = [*(one.varied for one in plan.planned), *(one.varied for one in plan.unfit)]
    if not good:
        return UserError("\n".join(lines), "change what they share")
    found = exclusions([one.varied for one in plan.rejected], good)
    if not found:
        return UserError("\n".join(lines), "sweep.invalid=skip leaves them out")
    pasted = shlex.quote(f"sweep.exclude={written(found)}")
    return UserError("\n".join(lines), f"leave them out with {pasted} or with sweep.invalid=skip")


def listed(rejected: Sequence[Rejection], most: int | None = None) -> list[str]:
    """Lines that name each reason once and its combinations below it.

    Args:
        rejected: what cannot work.
        most: so many combinations of one reason are named, the others counted; None: all.
    """
    lines = []
    for reason, group in _by_reason(rejected).items():
        lines.append(f"  {reason}")
        if group[0].hint:
            lines.append(f"    ({group[0].hint})")
        lines += [f"    {' '.join(one.overrides) or 'the only one'}" for one in group[:most]]
        if most is not None and len(group) > most:
            lines.append(f"    and {len(group) - most} more")
    return lines


def exclusions(bad: Sequence[Varied], good: Sequence[Varied]) -> list[dict[str, Any]]:
    """Patterns for `sweep.exclude` that match all of the bad and none of the good.

    Each has as few keys as will do. Empty if no pattern separates the two.
    """
    found: list[dict[str, Any]] = []
    for one in bad:
        if any(_matches(one, pattern) for pattern in found):
            continue
        pattern = dict(one)
        if any(_matches(other, pattern) for other in good):
            return []
        # The last axes are the least likely cause: they are the seeds.
        for key in reversed([*one]):
            fewer = {name: value for name, value in pattern.items() if name != key}
            if fewer and not any(_matches(other, fewer) for other in good):
                pattern = fewer
        found.append(pattern)
    return found


def _matches(varied: Varied, pattern: Varied) -> bool:
    return all(key in varied and varied[key] == value for key, value in pattern.items())


def _by_reason(rejected: Sequence[Rejection]) -> dict[str, list[Rejection]]:
    groups: dict[str, list[Rejection]] = {}
    for one in rejected:
        groups.setdefault(one.reason, []).append(one)
    return groups
