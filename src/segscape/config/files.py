"""Where the yaml files of the groups are, and what they contain."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from segscape.config.moved import option_today
from segscape.errors import UserError, unknown

CONFIG_NAME = "train"


def config_dir() -> Path:
    """The folder of the yaml files: inside an installed wheel, or beside src/ in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / f"{CONFIG_NAME}.yaml").is_file():
            return folder
    raise UserError(
        f"the configuration folder is missing beside {package}",
        "reinstall the package: pip install --force-reinstall segscape",
    )


_extra_folders: list[Path] = []
"""Folders given with --config-dir, while a command runs."""


@contextmanager
def extra_config_dir(folder: str | Path | None) -> Iterator[None]:
    """Offer the options of a folder of the user's own too, as --config-dir does for a training.

    Raises:
        UserError: there is no such folder.
    """
    if folder is None:
        yield
        return
    place = Path(folder).resolve()
    if not place.is_dir():
        raise UserError(f"--config-dir {folder}: there is no such directory")
    _extra_folders.append(place)
    try:
        yield
    finally:
        _extra_folders.remove(place)


def extra_folders() -> tuple[Path, ...]:
    """Folders given with --config-dir."""
    return tuple(_extra_folders)


def folders(extra: str | Path | None = None) -> list[Path]:
    """Where yaml files are looked for, first found first used."""
    return [config_dir(), *_extra_folders, *([Path(extra)] if extra else [])]


def groups(extra: str | Path | None = None) -> dict[str, list[str]]:
    """Every group and its options, in alphabetical order.

    Args:
        extra: a folder of the user's own, as given with --config-dir.
    """
    found: dict[str, list[str]] = {}
    for root in folders(extra):
        for file in sorted(root.rglob("*.yaml")):
            if file.parent != root:
                options = found.setdefault(file.parent.relative_to(root).as_posix(), [])
                if file.stem not in options:
                    options.append(file.stem)
    return dict(sorted(found.items()))


def file_of(group: str, option: str) -> Path:
    """The yaml of an option."""
    files = [folder / group / f"{option}.yaml" for folder in folders()]
    return next((file for file in files if file.is_file()), files[0])


@dataclass(frozen=True)
class Yaml:
    """The content of a yaml file.

    Attributes:
        content: its keys, with `defaults`; they must not be changed.
        package: the dotted key at which Hydra puts it (`# @package _global_`), None for its group.
    """

    content: dict[str, Any]
    package: str | None


def read(group: str, option: str) -> Yaml | None:
    """The yaml of an option; None where there is none."""
    file = file_of(group, option)
    return _load_yaml(file, file.stat().st_mtime_ns) if file.is_file() else None


def option(group: str, name: str) -> dict[str, Any]:
    """The yaml of an option, as plain data.

    Raises:
        UserError: there is no such option.
    """
    yaml = read(group, name)
    if yaml is None:
        raise unknown_option(group, name)
    return copy.deepcopy(yaml.content)


def unknown_option(group: str, name: object, choices: Sequence[str] | None = None) -> UserError:
    """The error for an option that a group does not have.

    Args:
        group: one that exists.
        name: the option as typed.
        choices: the options that there are; None: those of the yaml files.
    """
    known = groups()
    options = list(known.get(group, ()) if choices is None else choices)
    what = f"{group}={name}: there is no such {group}"
    today = option_today(group, str(name))
    named = [text.split("=", 1) for text in today]
    if today and all(key not in known or value in known[key] for key, value in named):
        return UserError(what, f"it is {' '.join(today)} today")
    error = unknown(what, str(name), options, typed=f"{group}={{}}")
    return UserError(what, f"{error.hint} (segscape list {group})")


def root_yaml() -> Yaml:
    """The content of train.yaml."""
    file = config_dir() / f"{CONFIG_NAME}.yaml"
    return _load_yaml(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=1024)
def _load_yaml(file: Path, changed: int) -> Yaml:
    text = file.read_text()
    content: Any = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    package = _PACKAGE.match(text)
    return Yaml(content, package[1] if package else None)


# Among the comments `# @KEY VALUE` at the beginning of a yaml.
_PACKAGE = re.compile(r"(?:\s*#\s*@(?!package)[^\n]*\n|\s*\n)*\s*#\s*@package\s+(\S+)")


def describe(group: str, option: str) -> str:
    """The one-line description of an option: its yaml's first comment."""
    for line in file_of(group, option).read_text().splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").rstrip()
    return ""
