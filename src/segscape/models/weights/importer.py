"""Official tensors into our models, with every tensor accounted for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from segscape.errors import UserError, nearest
from segscape.models.weights.sources import Source, detect, infer_choices, recognise

__all__ = ["ImportReport", "detect", "infer_choices", "load_official", "load_own"]

_SHOWN = 5
_AUXILIARY = "auxiliary."
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class ImportReport:
    """What became of the tensors of a file.

    Attributes:
        loaded: names in the file of the tensors that are now in the model.
        ignored: the rule for each tensor that was left out.
        reasons: why, by rule.
        source: the implementation whose names these are; "segscape" for our own.
    """

    loaded: tuple[str, ...]
    ignored: Mapping[str, str] = field(default_factory=dict)
    source: str = "segscape"
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        rules = sorted(set(self.ignored.values()))
        counts = [
            f"{sum(rule == other for other in self.ignored.values())} {rule}" for rule in rules
        ]
        left_out = f", {len(self.ignored)} ignored ({', '.join(counts)})" if counts else ""
        return f"{self.source}: {len(self.loaded)} tensors loaded{left_out}"


@dataclass
class _Plan:
    """Where each tensor goes, and what is wrong with it."""

    assigned: dict[str, tuple[str, Tensor]] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)


def load_official(
    model: nn.Module, tensors: Mapping[str, Tensor], system: str | None = None
) -> ImportReport:
    """Fill a model with the tensors of an official checkpoint.

    Every tensor is loaded, ignored by a named rule, or an error; every parameter and persistent
    buffer of the model is filled (BatchNorm's `num_batches_tracked`, which other frameworks do
    not have, keeps its value). On an error the model is left as it was.

    Args:
        model: filled in place; its devices and types are kept.
        tensors: as `read_tensors` returns them.
        system: the system of the literature; None accepts any known source.

    Raises:
        UserError: no known source, or the file and the model do not fit.
    """
    source, tensors = recognise(tensors, system)
    targets = _targets(model)
    plan = _Plan()
    for name, tensor in tensors.items():
        _place_official(plan, source, name, tensor, tensors, targets)
    report = _fill(model, plan, targets, source.name, lambda: _choice_hint(source, tensors))
    return replace(report, reasons={rule.rule: rule.reason for rule in source.ignored})


def load_own(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    outside: tuple[str, ...] = (),
    hint: Callable[[], str | None] = lambda: None,
) -> ImportReport:
    """Fill a model with tensors that have our names, as strictly as `load_official`.

    Args:
        model: filled in place; its devices and types are kept.
        tensors: by the names of `model.state_dict()`. Those of auxiliary heads may be left over.
        outside: further names that were found and belong to the training, for the report.
        hint: what the file records of its network, for errors.

    Raises:
        UserError: the file and the model do not fit.
    """
    targets = _targets(model)
    plan = _Plan(ignored=dict.fromkeys(outside, "state of the training"))
    for name, tensor in tensors.items():
        _place(plan, name, name, tensor, targets)
    return _fill(model, plan, targets, "segscape", hint)


def _targets(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, as the live tensors."""
    return {name: value.detach() for name, value in model.state_dict(keep_vars=True).items()}


def _place_official(
    plan: _Plan,
    source: Source,
    name: str,
    tensor: Tensor,
    tensors: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
) -> None:
    rule = source.ignore_rule(name)
    if rule is not None:
        objection = rule.check(name, tensors) if rule.check else None
        if objection is None:
            plan.ignored[name] = rule.rule
        else:
            plan.problems.append(f"'{name}' cannot be ignored as '{rule.rule}': {objection}")
        return
    ours = source.rename(name)
    if ours is None:
        plan.problems.append(f"unexpected '{name}' {_size(tensor)}: no rule for it")
        return
    _place(plan, name, ours, source.converted(name, tensor), targets)


def _place(
    plan: _Plan, name: str, ours: str, tensor: Tensor, targets: Mapping[str, Tensor]
) -> None:
    if ours in targets:
        if ours in plan.assigned:
            twin = plan.assigned[ours][0]
            plan.problems.append(f"'{name}' and '{twin}' both stand for '{ours}'")
        plan.assigned[ours] = (name, tensor)
    elif ours.startswith(_AUXILIARY) and not any(t.startswith(_AUXILIARY) for t in targets):
        plan.ignored[name] = "auxiliary head"
    else:
        stands = "" if ours == name else f" (here '{ours}')"
        close = nearest(ours, [target for target in targets if target not in plan.assigned])
        like = f"; the model has '{close}'" if close else ""
        plan.problems.append(f"unexpected '{name}' {_size(tensor)}{stands}{like}")


def _check_shapes(plan: _Plan, targets: Mapping[str, Tensor]) -> None:
    for ours, (name, tensor) in plan.assigned.items():
        target = targets[ours]
        stands = "" if ours == name else f" (here '{ours}')"
        if tensor.shape != target.shape:
            plan.problems.append(
                f"mismatched '{name}'{stands}: {_size(tensor)} in the file, "
                f"{_size(target)} in the model"
            )
        elif tensor.is_floating_point() != target.is_floating_point():
            plan.problems.append(
                f"mismatched '{name}'{stands}: {tensor.dtype} in the file, "
                f"{target.dtype} in the model"
            )
        elif not torch.isfinite(tensor).all():
            plan.problems.append(f"'{name}'{stands} holds values that are not finite")


def _check_filled(plan: _Plan, targets: Mapping[str, Tensor]) -> None:
    missing = [
        name
        for name in targets
        if name not in plan.assigned and not name.endswith(f".{_COUNTER}") and name != _COUNTER
    ]
    plan.problems += [
        f"missing '{name}' {_size(targets[name])}: the file has nothing for it" for name in missing
    ]
    if missing and all(name.startswith(_AUXILIARY) for name in missing):
        plan.hints.append(
            "the file has no such auxiliary heads: build the model without them, "
            "or call strip_auxiliary() before loading"
        )


def _class_hint(model: nn.Module, plan: _Plan, targets: Mapping[str, Tensor]) -> list[str]:
    """A mismatch of nothing but the first size of some layers is one of the classes."""
    classes = getattr(model, "num_classes", None)
    found = set()
    for ours, (_, tensor) in plan.assigned.items():
        if tensor.shape != targets[ours].shape:
            same_rest = tensor.ndim and tensor.shape[1:] == targets[ours].shape[1:]
            if not same_rest or targets[ours].shape[0] != classes:
                return []
            found.add(tensor.shape[0])
    if len(found) != 1:
        return []
    count = found.pop()
    return [f"the classifier has {classes} classes, the file has {count}: pass num_classes={count}"]


def _choice_hint(source: Source, tensors: Mapping[str, Tensor]) -> str:
    """The choices that the file was made with, as they are written on the command line."""
    try:
        choices: dict[str, Any] = source.infer(tensors)
    except UserError as error:
        return str(error)
    words = {"variant": "model", **{key: key for key in choices if key != "variant"}}
    text = " ".join(f"{words[key]}={value}" for key, value in choices.items())
    return f"the file was made with {text}: build the model with these"


def _fill(
    model: nn.Module,
    plan: _Plan,
    targets: Mapping[str, Tensor],
    source: str,
    hint: Callable[[], str | None],
) -> ImportReport:
    """Carry out a plan, or raise its problems with its hints, or else with `hint`."""
    _check_shapes(plan, targets)
    _check_filled(plan, targets)
    if plan.problems:
        shown = [f"  {problem}" for problem in plan.problems[:_SHOWN]]
        if len(plan.problems) > _SHOWN:
            shown.append(f"  and {len(plan.problems) - _SHOWN} more")
        hints = plan.hints + _class_hint(model, plan, targets)
        raise UserError(
            f"the weights ({source}) do not fit the model:\n" + "\n".join(shown),
            "; ".join(hints) or hint(),
        )
    with torch.no_grad():
        for ours, (_, tensor) in plan.assigned.items():
            targets[ours].copy_(tensor)
    loaded = tuple(name for name, _ in plan.assigned.values())
    return ImportReport(loaded, plan.ignored, source)


def _size(tensor: Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "scalar"
