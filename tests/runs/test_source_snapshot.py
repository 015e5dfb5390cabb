import json
import os
import subprocess

import pytest

from segscape.runs import source_snapshot as module
from segscape.runs.run_directory import RunDirectory
from segscape.runs.source_snapshot import snapshot


def git(directory, *arguments):
    who = {
        f"GIT_{role}_{what}": "a@b"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    return subprocess.run(
        ["git", "-C", str(directory), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **who},
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    directory = tmp_path / "repository"
    directory.mkdir()
    git(directory, "init", "-q", "-b", "main")
    (directory / "code.py").write_text("a = 1\n")
    git(directory, "add", "code.py")
    git(directory, "commit", "-q", "-m", "first")
    return directory


def test_a_clean_repository(repository):
    found = snapshot(repository)
    assert found["git"]["commit"] == git(repository, "rev-parse", "HEAD")
    assert found["git"]["branch"] == "main"
    assert found["git"]["dirty"] is False
    assert found["git"]["diff"] == ""
    assert found["packages"]["numpy"]


def test_the_diff_rebuilds_the_changed_code(repository):
    (repository / "code.py").write_text("a = 2\n")
    (repository / "new.py").write_text("b = 1\n")
    found = snapshot(repository)["git"]
    assert found["dirty"] is True
    assert found["untracked"] == ["new.py"]
    git(repository, "checkout", "-q", "code.py")
    patch = repository.parent / "patch"
    patch.write_text(found["diff"])
    git(repository, "apply", str(patch))
    assert (repository / "code.py").read_text() == "a = 2\n"


def test_a_huge_diff_is_cut(repository, monkeypatch):
    monkeypatch.setattr(module, "MAX_DIFF_BYTES", 1000)
    (repository / "code.py").write_text("ä = 1\n" * 1000)
    found = snapshot(repository)["git"]
    assert found["diff_cut"] is True
    assert 900 < len(found["diff"].encode()) <= 1010


def test_works_without_a_repository_and_without_git(tmp_path, monkeypatch):
    assert snapshot(tmp_path)["git"] is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert snapshot()["git"] is None


def test_each_start_on_other_code_has_its_record(repository, tmp_path):
    run = RunDirectory(tmp_path / "run")
    assert run.write_environment(repository).name == "environment.json"
    assert run.write_environment(repository).name == "environment.json"
    (repository / "code.py").write_text("a = 3\n")
    assert run.write_environment(repository).name == "environment.2.json"
    assert run.write_environment(repository).name == "environment.2.json"
    assert "+a = 3" in (run.path / "git.2.diff").read_text()
    (repository / "code.py").write_text("a = 4\n")
    assert run.write_environment(repository).name == "environment.3.json"
    assert "+a = 4" in (run.path / "git.3.diff").read_text()
    assert not (run.path / "git.diff").exists()
    first = json.loads(run.environment_path.read_text())
    assert first["git"]["dirty"] is False
    assert first["packages"]["torch"]
