"""The configuration: where it lives, how it is composed, and what to say when it cannot be.

No torch here: `python train.py --help` and every mistake on the command line answer at once.
"""

from __future__ import annotations

import copy
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from segscape.build import SUPPLIED
from segscape.errors import UserError, nearest

CONFIG_NAME = "train"


def config_dir() -> Path:
    """The folder of the yaml files: inside an installed wheel, or beside src/ in a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / f"{CONFIG_NAME}.yaml").is_file():
            return folder
    raise UserError(
        f"the configuration folder is missing beside {package}",
        "reinstall the package: pip install --force-reinstall segscape",
    )


_own_folders: list[Path] = []
"""Folders given with --config-dir, while a command runs."""


@contextmanager
def own_folder(folder: str | Path | None) -> Iterator[None]:
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
    _own_folders.append(place)
    try:
        yield
    finally:
        _own_folders.remove(place)


def _folders(extra: str | Path | None = None) -> list[Path]:
    """Where yaml files are looked for, first found first used."""
    return [config_dir(), *_own_folders, *([Path(extra)] if extra else [])]


def groups(extra: str | Path | None = None) -> dict[str, list[str]]:
    """Every group and its options, in alphabetical order.

    Args:
        extra: a folder of the user's own, as given with --config-dir.
    """
    found: dict[str, list[str]] = {}
    for root in _folders(extra):
        for file in sorted(root.rglob("*.yaml")):
            if file.parent != root:
                options = found.setdefault(file.parent.relative_to(root).as_posix(), [])
                if file.stem not in options:
                    options.append(file.stem)
    return dict(sorted(found.items()))


def file_of(group: str, option: str) -> Path:
    """The yaml of an option."""
    files = [folder / group / f"{option}.yaml" for folder in _folders()]
    return next((file for file in files if file.is_file()), files[0])


def option(group: str, name: str) -> dict[str, Any]:
    """What the yaml of an option says, as plain data.

    Raises:
        UserError: there is no such option.
    """
    file = file_of(group, name)
    if not file.is_file():
        raise UserError(
            f"{group}={name}: there is no such {group} ({file} is missing)",
            f"choices: {', '.join(groups().get(group, []))}",
        )
    return copy.deepcopy(_loaded(file))


def root() -> dict[str, Any]:
    """What train.yaml says, as plain data."""
    return copy.deepcopy(_loaded(config_dir() / f"{CONFIG_NAME}.yaml"))


def _loaded(file: Path) -> dict[str, Any]:
    return _load_yaml(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=1024)
def _load_yaml(file: Path, changed: int) -> dict[str, Any]:
    node: Any = OmegaConf.to_container(OmegaConf.load(file))
    return node


def describe(group: str, option: str) -> str:
    """The one-line description of an option: its yaml's first comment."""
    for line in file_of(group, option).read_text().splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").rstrip()
    return ""


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Compose without disturbing a Hydra application that is running around us."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.initialize import initialize_config_dir

    state = dict(GlobalHydra.instance().__dict__)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().__dict__.update(state)


# An argument of a group whose options are a class or function.
_ARGUMENT = re.compile(rf"^({'|'.join(SUPPLIED)})\.[\w.]+=")
# A mapping of the user's own keys.
_MAPPING = re.compile(r"^sweep\.(when|grid)=\s*\{")


def admit(overrides: Sequence[str]) -> list[str]:
    """Let an override give any argument of a part, also one that its yaml leaves at the default.

    Hydra takes `optim.momentum=0.8` only when the yaml has that key; `++` lifts this. Whether the
    part has such an argument is checked against its signature before the run; so are the keys of
    `sweep.when` and `sweep.grid` by the sweep. A condition of a sweep (`sweep.where=macs<15e9`) is
    put into the quotes that the shell has taken away.
    """
    quoted = [_with_quotes(text) for text in overrides]
    added = [_ARGUMENT.match(text) or _MAPPING.match(text) for text in quoted]
    return [f"++{text}" if add else text for add, text in zip(added, quoted, strict=True)]


def _with_quotes(text: str) -> str:
    key, sign, value = text.partition("=")
    if not sign or key.lstrip("+") not in ("sweep.where", "sweep.constraints"):
        return text
    value = value.strip()
    listed = value.startswith("[") and value.endswith("]")
    parts = value[1:-1].split(",") if listed else [value]
    if any(part.strip()[:1] in ("'", '"', "") or part.strip() == "null" for part in parts):
        return text
    escaped = ['"' + part.strip().replace('"', '\\"') + '"' for part in parts]
    return f"{key}=[{','.join(escaped)}]" if listed else f"{key}={escaped[0]}"


# Options of Hydra's command line that are followed by a value.
_WITH_VALUE = (
    *("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"),
    *("--package", "-p", "--cfg", "-c"),
)


def flags_first(arguments: Sequence[str]) -> list[str]:
    """The same command line with Hydra's own options before the overrides, as argparse needs it."""
    flags: list[str] = []
    overrides: list[str] = []
    waiting = iter(arguments)
    for text in waiting:
        if not text.startswith("-"):
            overrides.append(text)
            continue
        flags.append(text)
        if text in _WITH_VALUE:
            flags += [value for value in [next(waiting, None)] if value is not None]
    return [*flags, *overrides]


_OF_SWEEPS = re.compile(r"^[+~]*(hydra/(launcher|sweeper)=|hydra\.(launcher|sweeper)\.|sweep[.=])")


def refuse_sweep_words(arguments: Sequence[str]) -> None:
    """Hydra ignores a launcher when it runs a single job: here that is an error.

    Args:
        arguments: of the command line.

    Raises:
        UserError: a launcher, a sweeper or a key of the sweep without -m.
    """
    if {"-m", "--multirun", "--help", "-h", "--cfg", "-c", "--info", "-i"} & {
        text.split("=", 1)[0] for text in arguments
    }:
        return
    if "hydra.mode=MULTIRUN" in arguments:
        return
    for text in arguments:
        if _OF_SWEEPS.match(text):
            raise UserError(
                f"{text} is for sweeps, and this is a single run",
                f"for a sweep type: python train.py -m {shlex.join(arguments)}",
            )


def as_typed(overrides: Sequence[str]) -> list[str]:
    """Take back what `admit` added."""
    return [text.removeprefix("++") for text in overrides]


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration that `python train.py OVERRIDES` would run.

    Raises:
        UserError: an override names no group, option or key, or cannot be parsed.
    """
    return compose_with_choices(overrides)[0]


def compose_with_choices(overrides: Sequence[str] = ()) -> tuple[DictConfig, dict[str, str]]:
    """Like `compose`, with the option that each group has in the end."""
    from hydra.compose import compose as hydra_compose

    wanted = [*_search_path(), *admit(overrides)]
    try:
        with _own_hydra():
            composed = hydra_compose(CONFIG_NAME, overrides=wanted, return_hydra_config=True)
        choices = {str(k): str(v) for k, v in composed.hydra.runtime.choices.items()}
        with open_dict(composed):
            del composed["hydra"]
            # Of many runs, not of one.
            composed.pop("sweep", None)
        return composed, choices
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(overrides, error) from error


def _search_path() -> list[str]:
    if not _own_folders:
        return []
    escaped = [str(folder).replace("\\", "\\\\").replace("'", "\\'") for folder in _own_folders]
    listed = ",".join(f"'file://{folder}'" for folder in escaped)
    return [f"hydra.searchpath=[{listed}]"]


@lru_cache
def _known_keys(choices: tuple[str, ...]) -> tuple[str, ...]:
    """Dotted keys of the configuration under these group choices."""
    try:
        with _own_hydra():
            from hydra.compose import compose as hydra_compose

            config = hydra_compose(CONFIG_NAME, overrides=list(choices))
    except (HydraException, OmegaConfBaseException):
        return ()
    return tuple(dotted(OmegaConf.to_container(config, resolve=False)))


def dotted(node: Any, prefix: str = "") -> Iterator[str]:
    """Every key of a nested mapping, as a dotted path."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield f"{prefix}{key}"
            yield from dotted(value, f"{prefix}{key}.")


def explain(
    overrides: Sequence[str], error: BaseException, extra: str | Path | None = None
) -> UserError:
    """Turn an error of Hydra or OmegaConf into one that says what to type instead.

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
    if str(error).startswith("Ambiguous value"):
        several = next(o.input_line or "" for o in parsed if o.is_sweep_override())
        return UserError(
            f"{several} lists several values, and this is a single run",
            f"for a sweep type: python train.py -m {shlex.join(overrides)}",
        )
    choices = (
        *_search_path(),
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
    return UserError(_first_lines(error), "python train.py --cfg job shows every key and value")


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
            close = nearest(name, keys)
            hint = f"did you mean {prefix}{close}? " if close else ""
            return UserError(
                f"{prefix}{name}: {group}={chosen} has no such key",
                f"{hint}it takes: {', '.join(keys) or 'none'}",
            )
    return None


def _explain_group(override: Override, known: Mapping[str, list[str]]) -> UserError | None:
    from segscape.sweep.foreign import of_plugins, package_of

    group = override.key_or_group
    if group not in known or override.is_delete():
        return None
    if override.is_sweep_override():
        wanted: list[Any] = list(override.sweep_string_iterator())
    else:
        value = override.value()
        wanted = value if isinstance(value, list) else [value]
    choices = [*known[group], *of_plugins(group)]
    for option in [str(w) for w in wanted if isinstance(w, str)]:
        if option not in choices and option != "null":
            close = nearest(option, choices)
            hint = f"did you mean {group}={close}? " if close else ""
            hint = package_of(group, option) or hint
            return UserError(
                f"{group}={option}: there is no such {group}",
                f"{hint}choices: {', '.join(choices)} (segscape list {group})",
            )
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


def _first_lines(error: BaseException, count: int = 3) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"\s+", " ", "; ".join(lines[:count]))
