"""Source snapshot: edits do not change what jobs import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from segscape.errors import UserError
from segscape.sweep.memory import code_snapshot
from segscape.sweep.memory.code_snapshot import python_path, take_snapshot

PRINT = "import my_parts, segscape, segscape.config as c; print(my_parts.VALUE, segscape.__file__)"


def config(target: str) -> dict[str, Any]:
    return {"fusion": {"_target_": target}, "optim": {"_target_": "torch.optim.SGD"}}


def run(code: str, path: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's own modules that is importable."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    for name in ("my_parts", "my_helpers", "spread"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return folder


def copied(sweep: Path, digest: str) -> set[str]:
    """The files beside segscape in a copy."""
    return {path.name for path in (sweep / "code" / digest).iterdir()} - {
        "segscape",
        "commit.txt",
        "git.diff",
        "git.json",
    }


def test_later_edits_change_nothing(own: Path, tmp_path: Path) -> None:
    module = own / "my_parts.py"
    module.write_text("VALUE = 'then'\n")
    sweep = tmp_path / "sweep"
    first = take_snapshot(sweep, [config("my_parts.Fusion")])
    module.write_text("VALUE = 'now, and longer'\n")
    assert run(PRINT, python_path(sweep, first), tmp_path).split()[0] == "then"
    second = take_snapshot(sweep, [config("my_parts.Fusion")])
    assert second != first
    assert run(PRINT, python_path(sweep, second), own).startswith("now, and longer")
    assert run(PRINT, python_path(sweep, first), own).split()[0] == "then"


def test_segscape_and_its_yaml_come_from_the_copy(own: Path, tmp_path: Path) -> None:
    (own / "my_parts.py").write_text("VALUE = 1\n")
    sweep = tmp_path / "sweep"
    digest = take_snapshot(sweep, [config("my_parts.Fusion")])
    code = sweep / "code" / digest
    found = run(
        "import segscape.config.files as c, segscape.config.identity as i\n"
        "print(c.config_dir()); print(i.__file__); print(len(c.groups()['fusion']))",
        python_path(sweep, digest),
        tmp_path,
    ).splitlines()
    assert found[0] == str(code / "segscape" / "conf")
    assert found[1] == str(code / "segscape" / "config" / "identity.py")
    from segscape.config.files import groups

    assert int(found[2]) == len(groups()["fusion"])


def test_a_copy_can_be_copied_again_as_an_installed_package_is(tmp_path: Path) -> None:
    """A wheel has its yaml inside the package, as a copy has: both give the same digest."""
    sweep = tmp_path / "first"
    digest = take_snapshot(sweep, [])
    again = run(
        "from pathlib import Path\nfrom segscape.sweep.memory.code_snapshot import take_snapshot\n"
        f"print(take_snapshot(Path({str(tmp_path / 'second')!r}), []))",
        python_path(sweep, digest),
        tmp_path,
    ).strip()
    assert again == digest
    names = {path.name for path in (sweep / "code" / digest).iterdir()}
    assert {path.name for path in (tmp_path / "second" / "code" / digest).iterdir()} == names


def test_a_job_records_the_commit_of_its_code_and_not_of_where_it_runs(tmp_path: Path) -> None:
    from segscape.runs.source_snapshot import git_state

    sweep = tmp_path / "sweep"
    digest = take_snapshot(sweep, [])
    code = sweep / "code" / digest
    state = git_state()
    if state is None:
        pytest.skip("these sources are in no git repository")
    assert (code / "commit.txt").read_text().strip() == (state["commit"] or "no commit yet")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=elsewhere, check=True)
    said = run(
        "from segscape.runs.source_snapshot import snapshot\n"
        "git = snapshot()['git']; print(git['commit']); print(git['diff_sha256'])",
        python_path(sweep, digest),
        elsewhere,
    ).split()
    assert said[0] == str(state["commit"])


def test_the_same_source_has_one_copy_without_caches(own: Path, tmp_path: Path) -> None:
    (own / "my_parts.py").write_text("VALUE = 1\n")
    sweep = tmp_path / "sweep"
    digest = take_snapshot(sweep, [config("my_parts.A"), config("my_parts.B")])
    run(PRINT, python_path(sweep, digest), tmp_path)  # writes __pycache__ into the copy
    assert take_snapshot(sweep, [config("my_parts.A")]) == digest
    assert [path.name for path in (sweep / "code").iterdir()] == [digest]
    other = take_snapshot(tmp_path / "other", [config("my_parts.A")])
    assert other == digest
    assert not list((tmp_path / "other").rglob("__pycache__"))


def test_neighbours_that_are_imported_come_along_and_packages_do_not(
    own: Path, tmp_path: Path
) -> None:
    (own / "my_parts.py").write_text("import torch, timm\nfrom my_helpers.deep import x\n")
    (own / "my_helpers").mkdir()
    (own / "my_helpers" / "__init__.py").write_text("")
    (own / "my_helpers" / "deep.py").write_text("import json\nx = 1\n")
    (own / "never_imported.py").write_text("")
    digest = take_snapshot(tmp_path, [config("my_parts.Fusion")])
    assert copied(tmp_path, digest) == {"my_parts.py", "my_helpers"}


def test_targets_are_found_at_any_depth(own: Path, tmp_path: Path) -> None:
    (own / "my_parts.py").write_text("")
    deep = {"model": {"auxiliary": {"decoder_16": [{"head": {"_target_": "my_parts.Head"}}]}}}
    assert copied(tmp_path, take_snapshot(tmp_path, [deep])) == {"my_parts.py"}


def test_a_package_without_init_is_copied_from_every_folder(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = tmp_path / "second"
    for folder, name in ((own, "one"), (second, "two")):
        (folder / "spread").mkdir(parents=True)
        (folder / "spread" / f"{name}.py").write_text(f"NAME = {name!r}\n")
    monkeypatch.syspath_prepend(str(second))
    digest = take_snapshot(tmp_path / "sweep", [config("spread.one.A")])
    code = "import spread.one, spread.two; print(spread.one.NAME, spread.two.NAME)"
    path = str(tmp_path / "sweep" / "code" / digest)
    assert run(code, path, tmp_path).split() == ["one", "two"]


def test_large_data_in_a_package_are_linked(own: Path, tmp_path: Path) -> None:
    package = own / "my_parts"
    (package / "images").mkdir(parents=True)
    (package / "__init__.py").write_text("VALUE = 1\n")
    (package / "names.json").write_text("[]")
    (package / "weights.bin").write_bytes(b"\0" * 1_500_000)
    for number in range(3):
        (package / "images" / f"{number}.png").write_bytes(b"\0" * 500_000)
    sweep = package / "runs" / "sweep"  # a sweep within the package does not copy itself
    digest = take_snapshot(sweep, [config("my_parts.Fusion")])
    copy = sweep / "code" / digest / "my_parts"
    assert (copy / "weights.bin").is_symlink() and (copy / "images").is_symlink()
    assert len(list((copy / "images").iterdir())) == 3
    assert not (copy / "names.json").is_symlink()
    assert take_snapshot(sweep, [config("my_parts.Fusion")]) == digest
    (package / "weights.bin").write_bytes(b"\0" * 1_600_000)
    assert take_snapshot(sweep, [config("my_parts.Fusion")]) != digest


def test_processes_that_start_together_make_one_copy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from segscape.sweep.memory.code_snapshot import take_snapshot\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"print(take_snapshot(Path({str(tmp_path)!r}), []))"
    )
    waiting = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in waiting:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    digests = [process.communicate("go\n")[0].strip() for process in waiting]
    assert [process.returncode for process in waiting] == [0] * 4
    assert len(set(digests)) == 1
    assert [path.name for path in (tmp_path / "code").iterdir()] == digests[:1]


def test_half_a_copy_is_never_used(tmp_path: Path) -> None:
    """A process that is killed while it copies makes nothing that is taken for a copy."""
    code = (
        "import os\nfrom pathlib import Path\n"
        "from segscape.sweep.memory import code_snapshot\n"
        "code_snapshot._write_git = lambda draft: os.kill(os.getpid(), 9)\n"
        f"code_snapshot.take_snapshot(Path({str(tmp_path)!r}), [])"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    left = [path.name for path in (tmp_path / "code").iterdir()]
    assert len(left) == 1 and left[0].startswith(".")
    digest = take_snapshot(tmp_path, [])
    assert (tmp_path / "code" / digest / "segscape" / "conf" / "train.yaml").is_file()


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(draft: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(code_snapshot, "_write_git", full)
    with pytest.raises(OSError, match="No space"):
        take_snapshot(tmp_path, [])
    assert list((tmp_path / "code").iterdir()) == []


@pytest.mark.parametrize("target", ["no_such_module_here.Fusion", "__main__.Fusion"])
def test_a_module_that_jobs_could_not_import_is_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(UserError, match=f"_target_={target}"):
        take_snapshot(tmp_path, [config(target)])
    assert not (tmp_path / "code").exists()


def test_paths_that_python_cannot_use(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is gone"):
        python_path(tmp_path, "0123456789ab")
    sweep = tmp_path / "at 12:30"
    digest = take_snapshot(sweep, [])
    with pytest.raises(UserError, match="cannot hold"):
        python_path(sweep, digest)


def test_what_was_importable_comes_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["mine", "", str(tmp_path / "other")]))
    monkeypatch.chdir(tmp_path)
    digest = take_snapshot(tmp_path / "sweep", [])
    paths = python_path(tmp_path / "sweep", digest).split(os.pathsep)
    assert paths[:3] == [
        str(tmp_path / "sweep" / "code" / digest),
        str(tmp_path / "mine"),
        str(tmp_path / "other"),
    ]
