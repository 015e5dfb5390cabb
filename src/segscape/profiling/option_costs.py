"""Parameters and multiply-adds of every option of a group, for `segscape list`.

A model is counted whole, an encoder only. Any other part is counted in the place of PP-LiteSeg-T's
own (all three fusions together, a decoder with its fusions), and where it does not fit there, in
the first system that chooses it, or else in the first that it fits. Everything at one image size
and one number of classes.

Counting takes seconds, so the costs are kept in the user's cache folder, under a digest of the
sources that they depend on. Options of a user's own folder are counted every time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segscape.config import files, systems
from segscape.config.targets import PARTS
from segscape.errors import UserError
from segscape.paths import cache_folder

if TYPE_CHECKING:
    from segscape.profiling.designs import DesignCosts

SIZE = (512, 1024)
CLASSES = 19
REFERENCE = "ppliteseg"
GROUPS = ("model", *PARTS)
"""The groups whose options cost something."""

_PACKAGES = ("torch", "torchvision", "timm", "segmentation-models-pytorch")
_KEPT = 5


def option_costs(
    group: str, before_counting: Callable[[int], None] = lambda count: None
) -> dict[str, dict[str, Any]]:
    """The costs of every option of a group.

    Args:
        group: one of `GROUPS`.
        before_counting: called with the number of options that must be counted first, if any.

    Returns:
        By option: `params`, `macs`, `flops`, `input_size` and `measured_in`; for one that cannot
        be counted `problem`.
    """
    file = _cache_file()
    kept = _read(file)
    known: dict[str, Any] = kept.get(group, {})
    options = files.groups()[group]
    own = [option for option in options if _is_own(group, option)]
    missing = [option for option in options if option not in known or option not in own]
    if missing:
        before_counting(len(missing))
        from segscape.profiling.designs import DesignCosts

        costs = DesignCosts(SIZE, CLASSES)
        counted = {option: _option_cost(group, option, costs) for option in missing}
        fresh = {option: counted[option] for option in missing if option in own}
        _write(file, {**kept, group: {**known, **fresh}})
        known = {**known, **counted}
    return {option: known[option] for option in options}


def _option_cost(group: str, option: str, costs: DesignCosts) -> dict[str, Any]:
    problem: UserError | None = None
    for measured_in, settings in _designs_with(group, option):
        try:
            cost = costs.part(group, settings)
        except UserError as error:
            problem = problem or error
            continue
        return {
            "params": cost.params,
            "macs": cost.macs,
            "flops": 2 * cost.macs,
            "input_size": list(SIZE),
            "measured_in": measured_in,
        }
    return {"problem": str(problem.what) if problem else "no system uses it"}


def _designs_with(group: str, option: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where an option can be counted: the name of the system, and the design with the option."""
    if group == "model":
        yield option, systems.read(option).settings
        return
    node = files.option(group, option)
    if group == "encoder":
        yield "alone", {"encoder": node}
        return
    yield REFERENCE, {**systems.read(REFERENCE).settings, group: node}
    found = []
    for name in systems.names():
        with suppress(UserError):  # a model of the user's that names what does not exist
            found.append(systems.read(name))
    for system in found:
        if system.choices[group] == option:
            yield system.name, system.settings
    for system in found:
        yield system.name, {**system.settings, group: node}


def _is_own(group: str, option: str) -> bool:
    return files.file_of(group, option).is_relative_to(files.config_dir())


def _cache_file() -> Path:
    return cache_folder() / f"option_costs-{_digest()}.json"


def _digest() -> str:
    """Of the configuration, of the code of the parts and of the counting, and of the packages."""
    package = Path(__file__).resolve().parents[1]
    found = [*(package / "models").rglob("*.py"), *(package / "profiling").glob("*.py")]
    found += [package / "build.py", *(package / "config").glob("*.py")]
    for group in GROUPS:
        found += (files.config_dir() / group).glob("*.yaml")
    digest = hashlib.sha256()
    for file in sorted(found):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            digest.update(f"{name} {version(name)}".encode())
    return digest.hexdigest()[:16]


def _read(file: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads(file.read_text())
        if isinstance(found, dict):
            return found
    return {}


def _write(file: Path, content: Mapping[str, Any]) -> None:
    """Keep the costs; without a folder that can be written they are counted every time."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_text(json.dumps(content))
        temporary.replace(file)
        files = sorted(file.parent.glob("option_costs-*.json"), key=lambda f: f.stat().st_mtime)
        for old in files[:-_KEPT]:
            old.unlink()
