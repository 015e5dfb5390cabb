"""Errors of Hydra and OmegaConf in terms of the user's command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segscape.config.files import groups, option, unknown_option
from segscape.config.hydra_session import raw_compose, search_path
from segscape.config.moved import option_today
from segscape.config.plugins import of_plugins, package_of
from segscape.config.targets import PARTS
from segscape.errors import UserError, nearest, unknown


def explain(
    overrides: Sequence[str], error: BaseException, extra: str | Path | None = None
) -> UserError:
    """Turn an error of Hydra or OmegaConf into one that shows what to type instead.

    Args:
        overrides: the overrides as typed.
        error: what Hydra or OmegaConf raised for them.
        extra: the folder given with --config-dir.
    """
    for text in overrides:
        if "=" not in text and not text.startswith("~"):
            return UserError(f"'{text}' is not an override", "write key=value, e.g. fusion=add")
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as problem:
        return UserError(_first_lines(problem), "quote values with special signs: 'key=\"a b\"'")
    known = groups(extra)
    for override in parsed:
        found = _explain_group(override, known)
        if found is not None:
            return found
        if override.is_delete() and override.key_or_group in ("model", *PARTS):
            return taken_out(override.key_or_group)
    if str(error).startswith("Ambiguous value"):
        several = next(o.input_line or "" for o in parsed if o.is_sweep_override())
        return UserError(
            f"{several} lists several values, and this is a single run",
            f"for a sweep type: python train.py -m {shlex.join(overrides)}",
        )
    choices = (
        *search_path(),
        *(_one_choice(o) for o in parsed if o.key_or_group in known),
    )
    keys = _known_keys(choices)
    for override in parsed:
        found = _explain_plugin(override, parsed)
        if found is not None:
            return found
        if override.key_or_group in known or override.key_or_group.startswith("hydra"):
            continue
        added = override.is_add() or override.is_force_add()
        if keys and override.key_or_group not in keys and not added:
            return _unknown_key(override.key_or_group, keys, known)
    gone = re.search(r"Could not load '([\w/]+)/(\w+)'", str(error))
    if gone is not None and option_today(*gone.groups()):  # named in a yaml of the user's
        return UserError(_first_lines(error, 1), unknown_option(*gone.groups()).hint)
    return UserError(_first_lines(error), "python train.py --cfg job shows every key and value")


def taken_out(group: str) -> UserError:
    """The error for a group without an option (`~fusion`)."""
    return UserError(f"{group} was taken out", f"choose one: segscape list {group}")


def _one_choice(override: Override) -> str:
    """The override of a group; of a sweep over it, the one with its first option."""
    if override.is_sweep_override():
        return f"{override.key_or_group}={next(iter(override.sweep_string_iterator()))}"
    return override.input_line or ""


def _explain_plugin(override: Override, parsed: Sequence[Override]) -> UserError | None:
    """A key that the chosen launcher or sweeper does not have."""
    for group, default in (("hydra/launcher", "local"), ("hydra/sweeper", "grid")):
        prefix = group.replace("/", ".") + "."
        if not override.key_or_group.startswith(prefix) or override.is_add():
            continue
        chosen = next((str(o.value()) for o in parsed if o.key_or_group == group), default)
        if chosen not in groups().get(group, []):  # of a package
            return None
        keys = [key for key in option(group, chosen) if key != "_target_"]
        name = override.key_or_group.removeprefix(prefix)
        if name.split(".")[0] not in keys:
            what = f"{prefix}{name}: {group}={chosen} has no such key"
            return unknown(what, name, keys, typed=f"{prefix}{{}}", label="it takes")
    return None


def _explain_group(override: Override, known: Mapping[str, list[str]]) -> UserError | None:
    group = override.key_or_group
    if group not in known or override.is_delete():
        return None
    if override.is_sweep_override():
        wanted: list[Any] = list(override.sweep_string_iterator())
    else:
        value = override.value()
        wanted = value if isinstance(value, list) else [value]
    choices = [*known[group], *of_plugins(group)]
    for name in [str(w) for w in wanted if isinstance(w, str)]:
        if name not in choices and name != "null":
            error = unknown_option(group, name, choices)
            needed = package_of(group, name)
            return UserError(error.what, f"{needed}{error.hint}") if needed else error
    return None


def _unknown_key(key: str, keys: Sequence[str], known: Mapping[str, list[str]]) -> UserError:
    # A right name in the wrong place first: trainer.lr -> optim.lr
    leaf = key.rsplit(".", 1)[-1]
    close = next((k for k in keys if k.rsplit(".", 1)[-1] == leaf), None)
    close = close or nearest(key, [*keys, *known])
    hint = f"did you mean {close}? " if close else ""
    return UserError(
        f"{key}: there is no such key or group", f"{hint}python train.py --cfg job lists every key"
    )


@lru_cache
def _known_keys(choices: tuple[str, ...]) -> tuple[str, ...]:
    """Dotted keys of the configuration under these group choices."""
    try:
        config = raw_compose(choices)
    except (HydraException, OmegaConfBaseException):
        return ()
    return tuple(dotted(OmegaConf.to_container(config, resolve=False)))


def dotted(node: Any, prefix: str = "") -> Iterator[str]:
    """Every key of a nested mapping, as a dotted path."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield f"{prefix}{key}"
            yield from dotted(value, f"{prefix}{key}.")


def _first_lines(error: BaseException, count: int = 3) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"\s+", " ", "; ".join(lines[:count]))
