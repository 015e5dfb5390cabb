import json
import os
import signal
import subprocess
import sys
import time

import made_runs
import pytest

from segscape.commands.report import report
from segscape.errors import UserError
from segscape.runs.files import write_json


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    place = tmp_path_factory.mktemp("s") / "abl"
    made_runs.write_sweep(place)
    return place


def test_the_table_is_shown_by_default(sweep, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert report([str(sweep), "--group-seeds"]) == 0
    out = capsys.readouterr().out
    assert "abl: 12 runs" in out and "65.30 ± 0.14" in out
    assert "effect of each choice" in out
    assert max(len(line) for line in out.splitlines()) <= 80


def test_files_are_written_in_the_place_of_the_table(sweep, tmp_path, capsys):
    pytest.importorskip("vl_convert")
    names = {
        "--csv": "new/t.csv",
        "--markdown": "t.md",
        "--latex": "t.tex",
        "--json": "t.json",
        "--png": "t.png",
        "--svg": "t.svg",
    }
    arguments = [text for flag, name in names.items() for text in (flag, str(tmp_path / name))]
    assert report([str(sweep), *arguments]) == 0
    out = capsys.readouterr().out
    for name in names.values():
        assert (tmp_path / name).stat().st_size > 300
        assert f"wrote {tmp_path / name}" in out
    assert "abl: 12 runs" not in out


def test_a_table_on_standard_output_is_nothing_but_the_table(sweep, tmp_path, capsys):
    assert report([str(sweep), "--json", "-", "--csv", str(tmp_path / "t.csv")]) == 0
    seen = capsys.readouterr()
    assert len(json.loads(seen.out)["runs"]) == 12
    assert "wrote" in seen.err


def test_the_page_of_runs_that_have_ended_is_written_without_refresh(sweep, tmp_path, monkeypatch):
    written = []

    def write_page(collection, path, refresh_s):
        written.append((len(collection.runs), path, refresh_s))

    monkeypatch.setattr("segscape.report.page.write_page", write_page)
    assert report([str(sweep), "--html", str(tmp_path / "p.html")]) == 0
    assert written == [(12, tmp_path / "p.html", None)]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--csv", "-", "--json", "-"], "only one table"),
        (["--html", "-"], "cannot be shown"),
        (["--sort", "fusiom"], "did you mean fusion"),
        (["--x", "model/mac"], "did you mean model/macs"),
        (["--y", "miu"], "no run has 'miu'"),
        (["--x", "miou", "--y", "val/miou"], "both val/miou"),
        (["--sort", "macs", "--png", "f.png"], "--sort has no effect on --png"),
        (["--columns", "macs", "--csv", "f.csv"], "--columns has no effect on --csv"),
        (["--csv", "f", "--json", "./f"], "named twice"),
        (["--watch", "0"], "--watch 0"),
        (["--watch", "--csv", "-"], "too"),
    ],
)
def test_wrong_requests_say_what_is_right(sweep, arguments, match):
    with pytest.raises(UserError, match=match):
        report([str(sweep), *arguments])


def test_a_file_that_cannot_be_written_is_said(sweep, tmp_path):
    with pytest.raises(UserError, match="is a directory"):
        report([str(sweep), "--csv", str(tmp_path)])
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        report([str(sweep), "--csv", str(tmp_path / "file/t.csv")])


def test_watching_shows_changes_and_ends_with_the_last_run(tmp_path):
    place = made_runs.write_run(tmp_path / "a", state="running", status={"pid": os.getpid()})
    csv = tmp_path / "t.csv"
    command = [
        sys.executable,
        "-c",
        "from segscape.cli import main; main()",
        *("report", "--watch", str(tmp_path), "--watch", "0.1", "--csv", str(csv)),
    ]
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: csv.is_file() and "running" in csv.read_text())
        made_runs.write_run(place)  # finished
        out, err = watcher.communicate(timeout=60)
    finally:
        watcher.kill()
    assert watcher.returncode == 0, err
    assert "1 of 1 runs is not finished: 1 running" in out
    assert out.rstrip().endswith("all runs have ended")
    assert "finished" in csv.read_text()


def test_a_watch_is_left_with_ctrl_c(tmp_path):
    made_runs.write_run(tmp_path / "a", state="running", status={"pid": os.getpid()})
    csv = tmp_path / "t.csv"
    # a shell that starts the tests in the background lets its children ignore Ctrl-C
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", heard + "from segscape.cli import main; main()", "report"]
    watcher = subprocess.Popen(
        [*command, str(tmp_path), "--csv", str(csv), "--watch", "30"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(csv.is_file)
        watcher.send_signal(signal.SIGINT)
        _, err = watcher.communicate(timeout=60)
    finally:
        watcher.kill()
    assert watcher.returncode == 0
    assert "the runs go on" in err


def test_torch_is_not_imported(sweep):
    code = (
        "import sys; from segscape.commands.report import report; "
        f"report([{str(sweep)!r}, '--csv', '-']); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_queue_that_cannot_be_asked_is_said(tmp_path, capsys):
    sweep = made_runs.write_sweep(tmp_path / "far", fusions=("add",), seeds=(1,), left=1)
    job = sweep.jobs()[-1]
    attempt = {
        "token": "t",
        "launcher": "nowhere",
        "queue_id": "1",
        "submitted": "2026-01-01T00:00:00+00:00",
        "code": "c",
    }
    write_json(sweep.place(job) / "attempts.json", {"attempts": [attempt]})
    assert report([str(tmp_path / "far"), "--markdown", "-"]) == 0
    out = capsys.readouterr().out
    assert "The queue of far could not be asked" in out


def wait_for(condition, timeout_s=60.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)
