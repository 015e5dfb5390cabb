import sys

import numpy as np

from segscape.runs.run_directory import RunDirectory
from segscape.tracking.tensorboard import TensorBoardTracker
from segscape.tracking.trackers import GalleryItem, NullTracker


def read(directory):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(directory))
    found.Reload()
    return found


def drive(tracker, run_dir, steps):
    tracker.start(run_dir, {"model": {"name": "x"}}, name="n", group="g", tags=["t"])
    label = np.array([[0, 1, 255]] * 2, np.uint8)
    item = GalleryItem("street", np.zeros((2, 3, 3), np.uint8), label, label % 2, ("sky", "road"))
    for step in steps:
        tracker.log({"epoch": 1, "step": step, "val/miou": step / 128, "nothing": None}, step)
    tracker.images([item], steps[-1])
    tracker.summary({"model/params": 7, "latency/device": "cpu", "model/input_size": [2, 3]})
    tracker.finish()


def test_scalars_images_and_summary(tmp_path):
    tracker = TensorBoardTracker()
    drive(tracker, tmp_path, [10, 20])
    found = read(tmp_path / "tensorboard")
    assert [(e.step, e.value) for e in found.Scalars("val/miou")] == [
        (10, 10 / 128),
        (20, 20 / 128),
    ]
    assert [(e.step, e.value) for e in found.Scalars("model/params")] == [(20, 7)]
    assert [e.step for e in found.Images("gallery/street")] == [20]
    assert "latency/device/text_summary" in found.Tags()["tensors"]
    assert tracker.sync_hint == f"tensorboard --logdir {tmp_path / 'tensorboard'}"


def test_points_after_the_resumed_step_are_hidden(tmp_path):
    drive(TensorBoardTracker(), tmp_path, [10, 20, 30])
    RunDirectory(tmp_path).append_metrics({"step": 10, "val/miou": 10 / 128})
    drive(TensorBoardTracker(), tmp_path, [20])
    points = read(tmp_path / "tensorboard").Scalars("val/miou")
    assert [e.step for e in points] == [10, 20]


def test_without_the_package(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    drive(TensorBoardTracker(), tmp_path, [10])
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install tensorboard" in line


def test_tracking_nothing_leaves_nothing(tmp_path):
    tracker = NullTracker()
    drive(tracker, tmp_path, [10])
    assert list(tmp_path.iterdir()) == []
    assert (tracker.url, tracker.sync_hint, tracker.hung) == (None, None, False)
