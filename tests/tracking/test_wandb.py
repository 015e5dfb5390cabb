import json
import os
import subprocess
import sys
import textwrap
import threading
import types

import numpy as np
import pytest
from offline_run import history, records
from PIL import Image

from segscape.errors import UserError
from segscape.runs.run_directory import RunDirectory
from segscape.tracking.trackers import GalleryItem
from segscape.tracking.wandb import WandbTracker, choose_mode

ITEM = GalleryItem(
    "0016E5 07959",
    np.full((4, 6, 3), 90, np.uint8),
    np.array([[0, 1, 2, 255, 0, 0]] * 4, np.uint8),
    np.array([[0, 1, 1, 2, 0, 0]] * 4, np.uint8),
    ("sky", "road", "car"),
)


@pytest.fixture(autouse=True)
def nobody_is_logged_in(monkeypatch, tmp_path):
    for key in [key for key in os.environ if key.startswith("WANDB")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    # Set by the tracker itself; here so that monkeypatch takes it back afterwards.
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def run_python(code, *arguments, **env):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **env},
    )
    assert done.returncode == 0, done.stderr
    return done


def test_two_offline_runs_one_after_the_other(tmp_path):
    code = """
        import sys
        import numpy as np
        from segscape.tracking.trackers import GalleryItem
        from segscape.tracking.wandb import WandbTracker

        def train(run_dir, name, rows):
            tracker = WandbTracker(project="p")
            tracker.start(run_dir, {"model": {"name": name}}, name=name, group="g", tags=["t"])
            for row in rows:
                tracker.log(row, row["step"])
            label = np.array([[0, 1, 2, 255, 0, 0]] * 4, np.uint8)
            image = np.full((4, 6, 3), 90, np.uint8)
            item = GalleryItem("0016E5 07959", image, label, label % 3, ("sky", "road", "car"))
            tracker.images([item], rows[-1]["step"])
            tracker.summary({"val/miou": 0.75, "model/input_size": [256, 512], "gone": None})
            tracker.finish()
            print(tracker.sync_hint)
            assert not tracker.hung and tracker.url is None

        train(sys.argv[1], "one", [{"epoch": 1, "step": s, "val/miou": s / 100} for s in (10, 20)])
        train(sys.argv[2], "two", [{"epoch": 1, "step": 5, "val/miou": 0.5}])
        assert "torch" not in sys.modules
    """
    one, two = tmp_path / "one", tmp_path / "two"
    done = run_python(code, one, two)
    first, second = (next(each.glob("wandb/offline-run-*")) for each in (one, two))
    lines = [f"wandb sync {first}", f"wandb sync {second}"]
    assert done.stdout.splitlines() == lines
    assert done.stderr.splitlines() == [
        f"W&B: offline (not logged in); later: {line}" for line in lines
    ]
    _check_first(first)
    runs = [
        next(r.run for r in records(each) if r.WhichOneof("record_type") == "run")
        for each in (first, second)
    ]
    assert [r.run_id for r in runs] == [(d / "wandb_id").read_text().strip() for d in (one, two)]
    assert runs[0].run_id != runs[1].run_id
    assert [r.run_group for r in runs] == ["g", "g"]
    assert [r.display_name for r in runs] == ["one", "two"]
    assert list(runs[0].tags) == ["t"]
    config = {item.key: json.loads(item.value_json) for item in runs[0].config.update}
    assert config["model"] == {"name": "one"}
    assert [each["val/miou"] for each in history(second) if "val/miou" in each] == [0.5]


def _check_first(directory):
    rows = history(directory)
    scalars = [{k: v for k, v in each.items() if k[0] != "_"} for each in rows[:2]]
    assert scalars == [{"epoch": 1, "step": s, "val/miou": s / 100} for s in (10, 20)]
    assert rows[2]["step"] == 20
    masks = {
        key: np.array(
            Image.open(directory / "files" / rows[2][f"gallery/0016E5_07959/masks/{key}/path"])
        )
        for key in ("prediction", "ground_truth")
    }
    # W&B would turn 255 into class 0: void is an id of its own.
    np.testing.assert_array_equal(masks["ground_truth"], [[0, 1, 2, 3, 0, 0]] * 4)
    np.testing.assert_array_equal(masks["prediction"], [[0, 1, 2, 0, 0, 0]] * 4)
    summary = {}
    for record in records(directory):
        for item in record.summary.update:
            summary["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
    assert summary["val/miou"] == 0.75
    assert summary["model/input_size"] == [256, 512]
    assert "gone" not in summary


def test_an_offline_run_that_is_resumed_is_whole_again(tmp_path):
    run = RunDirectory(tmp_path)
    run.append_metrics({"epoch": 1, "step": 10, "val/miou": 0.25})
    (tmp_path / "wandb_id").write_text("known\n")
    code = """
        import sys
        from segscape.tracking.wandb import WandbTracker
        tracker = WandbTracker(mode="offline")
        tracker.start(sys.argv[1], {})
        tracker.log({"epoch": 2, "step": 20, "val/miou": 0.5}, 20)
        tracker.finish()
    """
    run_python(code, tmp_path)
    (directory,) = tmp_path.glob("wandb/offline-run-*-known")
    assert [(each["step"], each["val/miou"]) for each in history(directory)] == [
        (10, 0.25),
        (20, 0.5),
    ]


def test_a_service_that_hangs_is_left_behind(tmp_path):
    code = """
        import os, signal, subprocess, sys, threading
        children = []
        begin = subprocess.Popen.__init__
        def remember(self, *arguments, **named):
            begin(self, *arguments, **named)
            children.append(self)
        subprocess.Popen.__init__ = remember

        from segscape.tracking.wandb import WandbTracker
        tracker = WandbTracker(mode="offline", timeout_s=2)
        tracker.start(sys.argv[1], {})
        opened = threading.Event()
        tracker._worker.submit(opened.set)
        assert opened.wait(60)
        service = next(each for each in children if "wandb-core" in str(each.args[0]))
        os.kill(service.pid, signal.SIGSTOP)
        tracker.log({"step": 1, "val/miou": 0.5}, 1)
        tracker.finish()
        assert tracker.hung
        assert service.poll() is not None, "still there"
        again = WandbTracker(mode="offline", timeout_s=60)
        again.start(sys.argv[2], {})
        again.log({"step": 2, "val/miou": 0.5}, 2)
        again.finish()
        assert not again.hung
    """
    done = run_python(code, tmp_path / "one", tmp_path / "two")
    assert "W&B: not done after 2 s, left behind; the rest later: wandb sync " in done.stderr
    assert "Traceback" not in done.stderr
    (second,) = (tmp_path / "two").glob("wandb/offline-run-*")
    assert [each["step"] for each in history(second)] == [2]


def fake_wandb(monkeypatch, **functions):
    fake = types.ModuleType("wandb")
    fake.Settings = lambda **settings: settings
    fake.setup = lambda settings: None
    for name, function in functions.items():
        setattr(fake, name, function)
    monkeypatch.setitem(sys.modules, "wandb", fake)


def drive(tracker, run_dir):
    tracker.start(run_dir, {"a": 1})
    for step in range(50):
        tracker.log({"step": step, "val/miou": 0.5}, step)
        tracker.images([ITEM], step)
    tracker.summary({"val/miou": 0.5})
    tracker.finish()


def test_a_library_that_fails_prints_one_line(tmp_path, monkeypatch, capsys):
    def fail(**options):
        raise RuntimeError("the server is on fire\nlong story")

    fake_wandb(monkeypatch, init=fail)
    tracker = WandbTracker(mode="offline")
    drive(tracker, tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("W&B: the server is on fire; the training goes on")
    assert not tracker.hung
    assert tracker.sync_hint is None


def test_an_online_start_that_fails_is_recorded_offline(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    logged = []

    class Run:
        dir = str(tmp_path / "wandb" / "offline-run-1" / "files")
        summary = types.SimpleNamespace(update=logged.append)

        def define_metric(self, *names, **options):
            pass

        def log(self, row):
            logged.append(row)

        def finish(self, exit_code):
            logged.append(exit_code)

    def init(mode, **options):
        if mode == "online":
            raise ConnectionError("no route to host")
        return Run()

    fake_wandb(monkeypatch, init=init)
    tracker = WandbTracker()
    tracker.start(tmp_path, {})
    tracker.log({"step": 3, "val/miou": 0.5}, 3)
    tracker.finish(exit_code=1)
    assert logged == [{"step": 3, "val/miou": 0.5}, 1]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("W&B: offline (online failed: no route to host); later: wandb sync ")


def test_a_library_that_hangs_holds_up_nothing(tmp_path, monkeypatch, capsys):
    forever = threading.Event()
    fake_wandb(monkeypatch, init=lambda **options: forever.wait())
    tracker = WandbTracker(mode="offline", timeout_s=0.2)
    drive(tracker, tmp_path)  # returns at all
    forever.set()
    assert tracker.hung
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("W&B: not done after 0.2 s, left behind; it has nothing of this run")


def test_without_the_package(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    drive(WandbTracker(mode="offline"), tmp_path)
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot import wandb" in line
    assert "pip install wandb" in line


def test_mode_from_the_environment(monkeypatch, tmp_path):
    assert choose_mode() == ("offline", "not logged in")
    # For an online run without a key the library would wait at a prompt.
    assert choose_mode("online") == ("offline", "not logged in")
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password " + "k" * 40)
    assert choose_mode()[0] == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert choose_mode()[0] == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert choose_mode()[0] == "online"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert choose_mode() == ("offline", "WANDB_MODE=offline")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert choose_mode()[0] == "disabled"
    assert choose_mode("online")[0] == "online"


def test_disabled_leaves_no_trace(tmp_path, capsys):
    drive(WandbTracker(mode="disabled"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert capsys.readouterr().err == ""


def test_an_unknown_mode_names_the_nearest():
    with pytest.raises(UserError, match=r"did you mean logger\.mode=offline"):
        WandbTracker(mode="ofline")


def test_a_sweep_whose_jobs_start_together_loses_no_run(tmp_path):
    # Six processes with ten trackers each, all in the same moment.
    code = """
        import sys, threading, time
        from pathlib import Path
        from segscape.tracking.wandb import WandbTracker

        place, number = Path(sys.argv[1]), int(sys.argv[2])
        trackers = [WandbTracker("p", "offline", None, 240.0, jitter_s=1.0) for _ in range(10)]
        (place / f"ready{number}").touch()
        while len(list(place.glob("ready*"))) < 6:
            time.sleep(0.01)
        for index, tracker in enumerate(trackers):
            tracker.start(place / f"run{number}{index}", {"a": 1}, name="n", group="sweep")
            tracker.log({"step": 1, "val/miou": 0.25}, 1)
        for index, tracker in enumerate(trackers):
            tracker.log({"step": 2, "val/miou": 0.5}, 2)
            tracker.finish()
            assert not tracker.hung
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(tmp_path), str(number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(6)
    ]
    printed = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6, printed
    lines = [line for text in printed for line in text.splitlines()]
    assert len(lines) == 60
    assert all(line.startswith("W&B: offline (logger.mode=offline)") for line in lines), lines
    runs = sorted(tmp_path.glob("run*/wandb/offline-run-*"))
    assert len(runs) == 60
    for run in runs:
        assert [(each["step"], each["val/miou"]) for each in history(run)] == [(1, 0.25), (2, 0.5)]


def test_only_runs_of_a_group_wait_their_turn_and_longer_for_the_service(tmp_path, monkeypatch):
    started, waits = threading.Event(), []

    def init(**options):
        waits.append(options["settings"]["x_service_wait"])
        started.set()
        raise RuntimeError("enough")

    fake_wandb(monkeypatch, init=init)
    alone = WandbTracker(mode="offline", jitter_s=1000.0)
    alone.start(tmp_path / "alone", {})
    assert started.wait(60), "a run of its own starts at once"
    alone.finish()

    started.clear()
    one_of_many = WandbTracker(mode="offline", jitter_s=1000.0)
    one_of_many.start(tmp_path / "many", {}, group="sweep")
    assert not started.is_set(), "its turn is minutes away"
    one_of_many.finish()
    assert started.is_set(), "a run that ends is recorded all the same"
    assert waits[1] > waits[0]


def test_the_users_own_wait_for_the_service_is_kept(tmp_path, monkeypatch):
    seen = []

    def init(**options):
        seen.append(options["settings"])
        raise RuntimeError("enough")

    fake_wandb(monkeypatch, init=init)
    monkeypatch.setenv("WANDB__SERVICE_WAIT", "7")
    tracker = WandbTracker(mode="offline", jitter_s=0.0)
    tracker.start(tmp_path, {}, group="sweep")
    tracker.finish()
    assert "x_service_wait" not in seen[0]


def test_a_requeued_job_is_the_same_run(tmp_path, monkeypatch):
    seen = []

    def init(**options):
        seen.append((options["id"], options["group"]))
        raise RuntimeError("enough")

    fake_wandb(monkeypatch, init=init)
    for _ in range(2):
        tracker = WandbTracker(mode="offline", jitter_s=0.0)
        tracker.start(tmp_path, {}, group="sweep")
        tracker.finish()
    assert seen[0] == seen[1]
