"""A copy of the source that the jobs of a sweep run from: later edits change nothing in the queue.

A copy is named by its content, so that submitting twice from the same source gives the same one.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import shutil
import sys
import sysconfig
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path, PurePosixPath
from typing import Any

from segscape.config.files import config_dir
from segscape.errors import UserError
from segscape.runs.files import write_json
from segscape.runs.source_snapshot import SNAPSHOT_GIT, git_state

FOLDER = "code"
_DIGITS = 12
_CODE = (".py", ".pyi", ".so", ".pyd")
# Above this, what is not code is linked: data within a user's package are not copied.
_LARGEST = 1_000_000
# A folder with one of these is no part of a package: an environment, a sweep.
_MARKS = ("pyvenv.cfg", "sweep.json")


@dataclass(frozen=True)
class _Entry:
    """A file to copy, or a file or folder to link, and where it goes."""

    target: PurePosixPath
    source: Path
    link: bool = False


def take_snapshot(sweep_path: Path, configs: Iterable[Mapping[str, Any]]) -> str:
    """Copy segscape, its yaml files and the user's own modules into `code/<digest>/`.

    The user's own modules are those that a `_target_` names and that no package index gave, and
    what these import from beside themselves. A copy appears whole or not at all, also when several
    processes make it at the same time.

    Args:
        sweep_path: the directory of the sweep.
        configs: of the jobs, resolved.

    Returns:
        The digest of the copied content, which is the name of the copy.

    Raises:
        UserError: a `_target_` names a module that cannot be found.
    """
    place = Path(sweep_path).absolute() / FOLDER
    entries = [*_own_source(), *_modules_of_user(configs, Path(sweep_path).resolve())]
    contents = {
        entry.target: _described(entry.source) if entry.link else entry.source.read_bytes()
        for entry in entries
    }
    digest = _digest(contents)
    final = place / digest
    if final.is_dir():
        return digest
    # Other processes may do the same now: each has a folder of its own, the first one stays.
    draft = place / f".{digest}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    try:
        _write(draft, entries, contents)
        _write_git(draft)
        try:
            draft.rename(final)
        except OSError:
            if not final.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return digest


def python_path(sweep_path: Path, digest: str) -> str:
    """The value of PYTHONPATH with which a process imports the copied code, and nothing newer.

    What was importable by way of PYTHONPATH or the folder of the script comes after it.

    Raises:
        UserError: the copy is gone, or is at a path that PYTHONPATH cannot hold.
    """
    code = Path(sweep_path).absolute() / FOLDER / digest
    if not code.is_dir():
        raise UserError(
            f"the copied source of the jobs is gone: {code}",
            "run the command of the sweep again: it makes a new one",
        )
    if os.pathsep in str(code):
        raise UserError(
            f"the sweep's path has a {os.pathsep!r}, which PYTHONPATH cannot hold: {code}",
            "choose another sweep.name, or start in another directory",
        )
    before = [text for text in os.environ.get("PYTHONPATH", "").split(os.pathsep) if text]
    # python train.py finds the modules beside train.py by the first entry; -P takes it away.
    script = [] if sys.flags.safe_path or not sys.path else [sys.path[0]]
    wanted = [code, *(Path(text).absolute() for text in (*before, *script))]
    return os.pathsep.join(dict.fromkeys(str(path) for path in wanted))


def targets(node: Any) -> Iterator[str]:
    """Every `_target_` in a nested configuration."""
    if isinstance(node, Mapping):
        if isinstance(found := node.get("_target_"), str):
            yield found
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for value in node:
            yield from targets(value)


def _own_source() -> list[_Entry]:
    package, conf = Path(__file__).resolve().parents[2], config_dir()
    entries = list(_files(package, PurePosixPath("segscape")))
    if not conf.is_relative_to(package):  # a checkout keeps its yaml files beside src/
        entries += _files(conf, PurePosixPath("segscape/conf"))
    return entries


def _modules_of_user(configs: Iterable[Mapping[str, Any]], avoid: Path) -> Iterator[_Entry]:
    """Files of the modules that the targets name, and of their neighbours that they import."""
    named = dict.fromkeys(text for config in configs for text in targets(config))
    waiting: list[tuple[str, Path | None]] = []
    for target in named:
        name = target.split(".", 1)[0]
        if name == "__main__":
            raise UserError(
                f"_target_={target} is in the script itself: jobs cannot import it",
                "put it into a module of its own",
            )
        if _spec(name) is None:
            raise UserError(
                f"_target_={target}: module {name!r} cannot be found",
                "is it installed, or on PYTHONPATH?",
            )
        waiting.append((name, None))
    done: set[str] = set()
    while waiting:
        name, beside = waiting.pop()
        if name in done or name == "segscape":
            continue
        for source in _sources(name):
            if beside not in (None, source.parent):
                continue
            done.add(name)
            entries = list(_package(source, avoid))
            yield from entries
            waiting += [(each, source.parent) for each in _imported(entries) if each not in done]


def _package(source: Path, avoid: Path) -> Iterator[_Entry]:
    if source.is_dir():
        yield from _files(source, PurePosixPath(source.name), avoid, links=True)
    else:
        yield _Entry(PurePosixPath(source.name), source)


def _spec(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):  # ValueError: a module without a file, made by hand
        return None


def _sources(name: str) -> list[Path]:
    """The folders or the file of a top-level module, when it is the user's own."""
    spec = _spec(name) if name not in sys.stdlib_module_names else None
    if spec is None:
        return []
    # A package without __init__.py may be spread over several folders.
    places = list(spec.submodule_search_locations or ())
    if not places and spec.has_location and spec.origin:
        places = [spec.origin]
    return [path for path in (Path(text).resolve() for text in places) if _is_users(path)]


def _is_users(path: Path) -> bool:
    if {"site-packages", "dist-packages"} & set(path.parts):
        return False
    standard = (Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib"))
    return path.exists() and not any(path.is_relative_to(folder) for folder in standard)


def _imported(entries: Iterable[_Entry]) -> set[str]:
    """Top-level names that the Python files among `entries` import."""
    found: set[str] = set()
    for entry in entries:
        if entry.source.suffix != ".py":
            continue
        try:
            tree = ast.parse(entry.source.read_bytes())
        except SyntaxError:  # nothing imports it either: some template, or for another Python
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found.update(alias.name.split(".", 1)[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".", 1)[0])
    return found


def _files(
    folder: Path, target: PurePosixPath, avoid: Path | None = None, links: bool = False
) -> list[_Entry]:
    """The files of a package.

    Args:
        folder: of the package, or within it.
        target: where it goes.
        avoid: a folder that is left out: the sweep itself may be within the package.
        links: whether large data are linked.
    """
    found, size = [], 0
    for each in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(each.path)
        if each.name.startswith(".") or each.name == "__pycache__" or path.suffix == ".pyc":
            continue
        if each.is_dir():
            # A link back up would never end; a folder that is linked from elsewhere is followed.
            endless = each.is_symlink() and folder.resolve().is_relative_to(path.resolve())
            if endless or path.resolve() == avoid or any((path / m).is_file() for m in _MARKS):
                continue
            found += _files(path, target / each.name, avoid, links)
        elif each.is_file():
            large = links and path.suffix not in _CODE and each.stat().st_size > _LARGEST
            found.append(_Entry(target / each.name, path, link=large))
            size += each.stat().st_size
    if links and size > _LARGEST and not any(e.source.suffix in _CODE for e in found):
        return [_Entry(target, folder, link=True)]
    return found


def _described(source: Path) -> bytes:
    """The text of a link in the digest."""
    status = source.stat()
    return f"{source} {status.st_size} {status.st_mtime_ns}".encode()


def _digest(contents: Mapping[PurePosixPath, bytes]) -> str:
    whole = hashlib.sha256()
    for target in sorted(contents):
        whole.update(f"{target}\0{len(contents[target])}\0".encode())
        whole.update(contents[target])
    return whole.hexdigest()[:_DIGITS]


def _write(draft: Path, entries: Iterable[_Entry], contents: Mapping[PurePosixPath, bytes]) -> None:
    made: set[Path] = set()
    for entry in entries:
        path = draft / entry.target
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        if entry.link:
            path.symlink_to(entry.source)
            continue
        path.write_bytes(contents[entry.target])
        # For people who open the copy in an editor instead of the original.
        path.chmod(0o444)


def _write_git(draft: Path) -> None:
    """Record the commit, and the difference from it."""
    git = git_state()
    if git is None:
        return
    diff = git.pop("diff")
    (draft / "commit.txt").write_text(f"{git['commit'] or 'no commit yet'}\n")
    (draft / "git.diff").write_bytes(diff.encode())
    write_json(draft / SNAPSHOT_GIT, git)
