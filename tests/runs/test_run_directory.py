import json
import math
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from segscape.errors import UserError
from segscape.runs.files import write_atomically
from segscape.runs.run_directory import RunDirectory


def row(step, **more):
    return {"val/miou": step / 7, "epoch": step // 10, "step": step, **more}


def test_rows_come_back_bit_for_bit(tmp_path):
    run = RunDirectory(tmp_path / "new" / "run")
    third = np.float32(1) / np.float32(3)
    run.append_metrics(row(10, tiny=5e-324, third=third, nan=math.nan, text="a,b", none=None))
    (read,) = run.read_metrics()
    assert read["val/miou"] == 10 / 7
    assert read["tiny"] == 5e-324
    assert np.float32(read["third"]) == third
    assert read["nan"] is None
    assert read["none"] is None
    assert read["text"] == "a,b"
    assert isinstance(read["step"], int)
    assert list(read)[:3] == ["epoch", "step", "val/miou"]


def test_a_new_key_becomes_a_column_of_all_rows(tmp_path):
    run = RunDirectory(tmp_path)
    run.append_metrics(row(10))
    run.append_metrics(row(20, **{"test/miou": 0.5}))
    assert run.metrics_path.read_text().splitlines() == [
        "epoch,step,val/miou,test/miou",
        f"1,10,{10 / 7!r},",
        f"2,20,{20 / 7!r},0.5",
    ]


def test_a_broken_off_run_ends_with_the_file_of_an_unbroken_one(tmp_path):
    rows = [row(10), row(20), row(30, late=1.0), row(40, late=math.nan), row(50)]
    unbroken, broken = RunDirectory(tmp_path / "a"), RunDirectory(tmp_path / "b")
    for each in rows:
        unbroken.append_metrics(each)
    for each in rows[:4]:
        broken.append_metrics(each)
    broken.truncate_metrics(20)
    assert [each["step"] for each in broken.read_metrics()] == [10, 20]
    for each in rows[2:]:
        broken.append_metrics(each)
    assert broken.metrics_path.read_bytes() == unbroken.metrics_path.read_bytes()


def test_the_same_step_replaces_and_an_earlier_one_is_refused(tmp_path):
    run = RunDirectory(tmp_path)
    run.append_metrics(row(10))
    run.append_metrics(row(20))
    run.append_metrics({**row(20), "val/miou": 0.25})
    assert [each["val/miou"] for each in run.read_metrics()] == [10 / 7, 0.25]
    with pytest.raises(ValueError, match="truncate_metrics"):
        run.append_metrics(row(10))
    run.truncate_metrics(-1)
    assert run.read_metrics() == []
    assert not run.metrics_path.exists()


def test_summary_is_strict_json(tmp_path):
    run = RunDirectory(tmp_path)
    run.write_summary(
        {"a": math.nan, "b": np.float64(0.1), "size": (2, 3), "c": [math.inf, np.int64(4)]}
    )
    text = run.summary_path.read_text()

    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads(text, parse_constant=refuse) == {
        "a": None,
        "b": 0.1,
        "size": [2, 3],
        "c": [None, 4],
    }
    assert run.read_summary()["b"] == 0.1


def test_configuration_comes_back(tmp_path):
    run = RunDirectory(tmp_path)
    assert run.read_config() is None
    config = {"lr": 1e-05, "steps": None, "names": ["ä", "off"], "nested": {"on": True, "1": 2.0}}
    run.write_config(config)
    run.write_overrides(["fusion=add", "optim.lr=1e-3"])
    assert run.read_config() == config
    assert run.overrides_path.read_text() == "- fusion=add\n- optim.lr=1e-3\n"


def test_status_keeps_the_first_start(tmp_path):
    run = RunDirectory(tmp_path)
    write_atomically(run.status_path, json.dumps({"state": "running", "started": "long ago"}))
    run.write_status("failed", error="ValueError: no")
    status = run.read_status()
    assert (status["state"], status["started"], status["pid"]) == (
        "failed",
        "long ago",
        os.getpid(),
    )
    assert status["error"] == "ValueError: no"


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_never_leaves_half_a_file(tmp_path):
    code = """
        import sys
        from segscape.runs.run_directory import RunDirectory
        run = RunDirectory(sys.argv[1])
        for step in range(1, 100_000):
            run.append_metrics({"step": step, "a": step / 3})
            if step == 5:
                print("going", flush=True)
            if step % 20 == 0:
                run.truncate_metrics(5)
                [run.append_metrics({"step": i, "a": i / 3}) for i in range(6, step + 1)]
    """
    for _ in range(3):
        RunDirectory(tmp_path).truncate_metrics(-1)
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], stdout=subprocess.PIPE
        )
        assert child.stdout.readline() == b"going\n"
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        rows = RunDirectory(tmp_path).read_metrics()
        assert len(rows) >= 5
        assert rows == [{"step": i, "a": i / 3} for i in range(1, len(rows) + 1)]


def test_a_live_process_keeps_others_out_and_a_dead_one_does_not(tmp_path):
    code = """
        import sys
        from segscape.runs.run_directory import RunDirectory
        with RunDirectory(sys.argv[1]).lock():
            print("locked", flush=True)
            sys.stdin.read()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline() == b"locked\n"
    run = RunDirectory(tmp_path)
    with pytest.raises(UserError, match=f"in use by pid {child.pid} on "), run.lock():
        pass
    child.send_signal(signal.SIGKILL)
    child.communicate()
    again = RunDirectory(tmp_path)
    with run.lock(), pytest.raises(UserError, match=str(os.getpid())), again.lock():
        pass
    with run.lock():
        assert os.fspath(run) == str(tmp_path)
