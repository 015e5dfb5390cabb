"""What code and which packages a run was started with."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

MAX_DIFF_BYTES = 1_000_000
SNAPSHOT_GIT = "git.json"
"""Beside the copy of the package that jobs run from, with git.diff."""
_MOST_UNTRACKED = 200


def snapshot(repo_dir: str | Path | None = None) -> dict[str, Any]:
    """Describe the code and the packages.

    Args:
        repo_dir: a directory in the repository to describe. By default that of segscape's source;
            when segscape is installed from a package, that of the working directory.

    Returns:
        `packages`, name to version, and `git`: None without git or repository, else `root`,
        `commit` (None before the first), `branch`, `dirty`, `untracked` (files, at most 200),
        `diff` (text against the commit, cut at 1 MB), `diff_sha256` (of the whole) and `diff_cut`.
    """
    return {"git": git_state(repo_dir), "packages": _packages()}


def git_state(repo_dir: str | Path | None = None) -> dict[str, Any] | None:
    """The part `git` of a snapshot.

    The jobs of a sweep run from a copy of the source (`segscape.sweep.memory.code_snapshot`), which
    is outside the repository or within one that has changed since: there it is the state from which
    the copy was made.
    """
    saved = _package_dir().parent / SNAPSHOT_GIT
    if repo_dir is None and saved.is_file():
        diff = saved.with_name("git.diff").read_bytes().decode()
        return {**json.loads(saved.read_text(encoding="utf-8")), "diff": diff}
    return _describe_git(Path(repo_dir or _source_dir()))


def _package_dir() -> Path:
    return Path(__file__).resolve().parents[1]


def _source_dir() -> Path:
    package = _package_dir()
    # A virtual environment is often inside of another repository: only a tracked file shows
    # that the repository is segscape's own.
    tracked = _git(package, "ls-files", "--error-unmatch", "__init__.py")
    return package if tracked is not None else Path.cwd()


def _describe_git(directory: Path) -> dict[str, Any] | None:
    root = _git(directory, "rev-parse", "--show-toplevel")
    if root is None:
        return None
    top = Path(root.strip())
    commit = _git(top, "rev-parse", "--verify", "HEAD")
    changes = (_git(top, "status", "--porcelain", "--untracked-files=normal") or "").splitlines()
    against = "HEAD" if commit is not None else "--cached"
    diff = _git(top, "diff", against, "--no-ext-diff", "--no-color", "--no-textconv") or ""
    whole = diff.encode(errors="replace")
    cut = len(whole) > MAX_DIFF_BYTES
    if cut:
        diff = whole[:MAX_DIFF_BYTES].decode(errors="ignore") + "\n[cut]\n"
    return {
        "root": str(top),
        "commit": commit.strip() if commit else None,
        "branch": (_git(top, "symbolic-ref", "--short", "-q", "HEAD") or "").strip() or None,
        "dirty": any(not line.startswith("??") for line in changes),
        "untracked": [line[3:] for line in changes if line.startswith("??")][:_MOST_UNTRACKED],
        "diff": diff,
        "diff_sha256": hashlib.sha256(whole).hexdigest(),
        "diff_cut": cut,
    }


def _git(directory: Path, *arguments: str) -> str | None:
    """Output of git, or None when git or the repository is missing, refuses or takes too long."""
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            capture_output=True,
            timeout=20,
            # Reading must not block a commit at the same time by taking the index lock.
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _packages() -> dict[str, str]:
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        # A half removed package has no metadata, and no name.
        if name := distribution.metadata["Name"]:
            found.setdefault(name.lower().replace("_", "-"), distribution.version)
    return dict(sorted(found.items()))
