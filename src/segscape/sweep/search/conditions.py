"""Which parameters exist at a point: what the decoder uses, and the conditions of `sweep.when`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf

from segscape.config import composing, files, targets
from segscape.config.override_text import plain, typed
from segscape.errors import UserError, unknown
from segscape.sweep.plan.where import Condition, read
from segscape.sweep.search.space import OPTIONAL_PARTS, Parameter, Space

Compose = Callable[[Sequence[str]], tuple[Any, Mapping[str, str]]]


@dataclass(frozen=True)
class _Base:
    """What the choices of a point bring with them."""

    uses: frozenset[str]
    values: Mapping[str, Any]


class Conditions:
    """Decides whether a parameter exists, given the values of those before it.

    Args:
        parameters: of the search.
        common: overrides that all jobs share.
        when: `sweep.when`, a condition by key.
        compose: composes overrides; gives the configuration and the option of each group.

    Raises:
        UserError: a condition cannot be read, or is for a key that is not searched.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        common: Sequence[str],
        when: Mapping[str, str],
        compose: Compose = composing.compose_with_choices,
    ) -> None:
        self._common, self._compose = list(common), compose
        self._keys = {plain(each.key): each.key for each in parameters}
        self._groups = files.groups()
        self._bases: dict[tuple[str, ...], _Base] = {}
        for key in when:
            if key not in self._keys:
                what = f"sweep.when: {key} is no parameter of this search"
                raise unknown(what, key, self._keys, label="parameters")
        known = [*self._base({}).values, *self._keys] if when else []
        self._when: dict[str, Condition] = {
            self._keys[key]: read(str(text), known, f"sweep.when.{key}")
            for key, text in when.items()
        }

    def after(self) -> dict[str, set[str]]:
        """By key, the keys that its existence depends on."""
        choosing = {key for key in self._keys.values() if self._brings(key)}
        found: dict[str, set[str]] = {}
        for key in self._keys.values():
            if _part(key) in OPTIONAL_PARTS:
                found[key] = set(choosing)
        for key, condition in self._when.items():
            named = {self._keys[name] for name in condition.names if name in self._keys}
            found[key] = found.get(key, set()) | named | (choosing - {*self._when})
        return found

    def exists(self, key: str, point: Mapping[str, str]) -> bool:
        """Whether a parameter exists.

        One whose condition uses a parameter that does not exist, does not exist either.

        Args:
            key: of the parameter.
            point: the values drawn so far.
        """
        part = _part(key)
        if part in OPTIONAL_PARTS and part not in self._base(point).uses:
            return False
        condition = self._when.get(key)
        if condition is None:
            return True
        drawn = {plain(name): typed(text) for name, text in point.items()}
        if any(name in self._keys and name not in drawn for name in condition.names):
            return False
        return condition.holds({**self._base(point).values, **drawn})

    def space(self, parameters: Sequence[Parameter]) -> Space:
        """The space whose parameters exist where they have an effect.

        Raises:
            UserError: two parameters depend on each other.
        """
        return Space(parameters, self.exists, self.after())

    def _brings(self, key: str) -> bool:
        """Whether a choice may change the choice of a decoder."""
        own = key == "decoder" or key not in targets.SUPPLIED
        return own and key in self._groups and key != "head"

    def _base(self, point: Mapping[str, str]) -> _Base:
        chosen = tuple(f"{key}={point[key]}" for key in point if self._brings(key))
        if chosen not in self._bases:
            self._bases[chosen] = self._composed(chosen)
        return self._bases[chosen]

    def _composed(self, chosen: Sequence[str]) -> _Base:
        try:
            composed, choices = self._compose([*self._common, *chosen])
            node: Any = OmegaConf.to_container(composed, resolve=True)
            target = targets.locate(str(node["decoder"]["_target_"]), "decoder")
        except UserError:
            if not chosen:
                raise
            # The plan of the point raises what is wrong with it.
            return _Base(frozenset(OPTIONAL_PARTS), {})
        values = {key: value for key, value in _leaves(node) if not isinstance(value, list)}
        return _Base(getattr(target, "uses", frozenset()), {**values, **choices})


def _part(key: str) -> str:
    return plain(key).split(".")[0]


def _leaves(node: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(node, Mapping):
        return [(prefix[:-1], node)]
    return [pair for key, value in node.items() for pair in _leaves(value, f"{prefix}{key}.")]
