"""What official implementations call their tensors.

A `Source` describes one implementation of one system: how to recognise its checkpoints, how
its names become ours, which of its tensors have no place in our networks and why. A module of
this package that defines `SOURCES` adds to the list; there is no other registration.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from segscape.errors import UserError, unknown

Tensors = Mapping[str, Tensor]

PREFIXES = (
    *("module.", "_orig_mod.", "model.", "net.", "network.", "student.", "segmentor."),
    *("ema.", "model_ema.", "ema_model.", "module_ema.", "averaged_model."),
)
"""What trainers put before every name."""


@dataclass(frozen=True)
class Ignore:
    """A rule for tensors of a source that have no place in our network.

    Attributes:
        rule: short name, for reports.
        pattern: what the whole name must match.
        reason: why leaving it out changes nothing.
        check: given the name and all tensors, what would make leaving it out wrong, or None.
    """

    rule: str
    pattern: str
    reason: str
    check: Callable[[str, Tensors], str | None] | None = None

    def applies(self, name: str) -> bool:
        """Whether the rule covers the tensor of this name."""
        return re.fullmatch(self.pattern, name) is not None


@dataclass(frozen=True)
class Source:
    """The names of one official implementation.

    Attributes:
        name: how reports and errors call it.
        system: the system of the literature, as in `segscape import-weights --system`.
        signature: patterns (searched) of which each occurs in every checkpoint of this source.
        places: ordered (pattern, replacement) for the beginning of a name; the first match
            counts, and a name without a match is unknown.
        infer: the choices that rebuild the network of a checkpoint, see `infer_choices`.
        leaves: ordered (pattern, replacement) for the end of a name; the first match counts.
        ignored: the rules for tensors that have no place in our network.
        linear_io: patterns (searched) of linear weights that are stored `[in, out]`.
        variants: names of the models of the system, where there are several.
    """

    name: str
    system: str
    signature: tuple[str, ...]
    places: tuple[tuple[str, str], ...]
    infer: Callable[[Tensors], dict[str, Any]]
    leaves: tuple[tuple[str, str], ...] = ()
    ignored: tuple[Ignore, ...] = ()
    linear_io: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()

    def serves(self, system: str | None) -> bool:
        """Whether this is a source of the system, given by its name or by one of our models'."""
        return system is None or system in (self.system, *self.variants)

    def recognises(self, names: Iterable[str]) -> bool:
        """Whether every pattern of the signature occurs among the names."""
        listed = list(names)
        return all(any(re.search(p, name) for name in listed) for p in self.signature)

    def knows(self, names: Iterable[str]) -> bool:
        """Whether it has a place or a rule for every name."""
        return all(self.ignore_rule(name) or self.rename(name) is not None for name in names)

    def rename(self, name: str) -> str | None:
        """The name here of a tensor of this source, or None when there is no place for it."""
        for pattern, replacement in self.places:
            renamed, hits = re.subn(rf"^(?:{pattern})", replacement, name, count=1)
            if hits:
                break
        else:
            return None
        for pattern, replacement in self.leaves:
            finished, hits = re.subn(rf"(?:{pattern})$", replacement, renamed, count=1)
            if hits:
                return finished
        return renamed

    def ignore_rule(self, name: str) -> Ignore | None:
        """The rule that leaves this tensor out, if there is one."""
        return next((rule for rule in self.ignored if rule.applies(name)), None)

    def converted(self, name: str, tensor: Tensor) -> Tensor:
        """The tensor in our layout: linear weights as `[out, in]`."""
        if any(re.search(pattern, name) for pattern in self.linear_io):
            return transpose_linear(name, tensor)
        return tensor


def transpose_linear(name: str, weight: Tensor) -> Tensor:
    """A linear weight `[in, out]`, as Paddle and TensorFlow store it, as `[out, in]`."""
    if weight.ndim != 2:
        raise UserError(
            f"the linear weight '{name}' has the shape {tuple(weight.shape)} instead of (in, out)"
        )
    return weight.t().contiguous()


def listed() -> list[Source]:
    """All sources, from the modules of this package that define `SOURCES`."""
    package = __name__.rpartition(".")[0]
    found: list[Source] = []
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        found += getattr(importlib.import_module(f"{package}.{module.name}"), "SOURCES", ())
    return found


def detect(names: Iterable[str], system: str | None = None) -> Source:
    """The source whose checkpoints have such names.

    Where several have the names (a ResNet's are also those of most networks built on one), the
    one that has a place or a rule for every name is taken, and then the most specific one.

    Args:
        names: the tensors' names in the file.
        system: name of a published system, or an option of the group model; only its sources are
            compared.

    Raises:
        UserError: none recognises the names, or several do equally well; the message lists them.
    """
    names = list(names)
    candidates = [source for source in listed() if source.serves(system)]
    if not candidates:
        raise _unknown_system(str(system))
    matching = [source for source in candidates if source.recognises(names)]
    if not matching:
        raise _unknown_names(names, system)
    knowing = [source for source in matching if source.knows(names)] or matching
    most = max(len(source.signature) for source in knowing)
    best = [source for source in knowing if len(source.signature) == most]
    if len(best) > 1:
        listing = "; ".join(f"{source.name} (system {source.system})" for source in best)
        raise UserError(
            f"the file's names are those of several sources: {listing}",
            f"say which one: --system {best[0].system}",
        )
    return best[0]


def _unknown_system(system: str) -> UserError:
    names = {name for source in listed() for name in (source.system, *source.variants)}
    return unknown(f"no import is known for the system '{system}'", system, sorted(names))


def _unknown_names(names: list[str], system: str | None) -> UserError:
    known = "; ".join(f"{source.name} (system {source.system})" for source in listed())
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    of = f" of the system '{system}'" if system else ""
    return UserError(
        f"the file is of no known source{of}; its tensors are called {shown}",
        f"known sources: {known}",
    )


def recognise(tensors: Tensors, system: str | None = None) -> tuple[Source, dict[str, Tensor]]:
    """The source of a checkpoint, and its tensors by that source's own names.

    Trainers put prefixes before all names. One is taken off only where every name has it and the
    names as they are belong to no source.

    Args:
        tensors: as `read_tensors` returns them.
        system: look only among the sources of this system.

    Raises:
        UserError: no known source, or several.
    """
    found, error = dict(tensors), None
    while True:
        try:
            return detect(found, system), found
        except UserError as problem:
            error = error or problem
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in found)), None)
        if prefix is None:
            raise error
        found = {name.removeprefix(prefix): value for name, value in found.items()}


def infer_choices(tensors: Tensors, system: str | None = None) -> dict[str, Any]:
    """The choices that rebuild the network that an official checkpoint was made with.

    Args:
        tensors: as `read_tensors` returns them.
        system: look only among the sources of this system.

    Returns:
        `variant` (the name of our model), `num_classes`, and the name of each group's option
        that the tensors show (`encoder`, `fusion`, ...).

    Raises:
        UserError: no known source, or a variant that no model here has.
    """
    source, named = recognise(tensors, system)
    return source.infer(named)
