"""The slow half of exact resume: kills at random moments, and several processes."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import standin
import torch
from processes import Child, run
from records import assert_same, load, rows

pytestmark = pytest.mark.slow


def child_saved(child: Child, checkpoint: Path, times: int) -> bool:
    """Wait until the child has written the checkpoint so often; False when it has ended before."""
    seen, count = _written(checkpoint), 0
    while count < times:
        child.process.join(0.005)
        if child.process.exitcode is not None:
            return False
        now = _written(checkpoint)
        count += now != seen
        seen = now
    return True


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """SIGKILL from outside, wherever the process happens to be, until the run gets through."""
    options = {
        "trainer": {"max_epochs": 6, "val_check_interval": 6, "accumulate_grad_batches": 3},
        "settings": {"save_every_steps": 1},
        "data": {"num_workers": 1, "train": 40},
    }
    assert run(tmp_path / "whole", **options) == 0
    moments, path, kills = random.Random(0), tmp_path / "run", 0
    while True:
        child = Child(path, **options)
        # counted in checkpoints, so that neither a slow start nor a fast machine changes the number
        if not child_saved(child, path / "checkpoints" / "last.ckpt", moments.randint(1, 5)):
            break
        child.process.join(moments.uniform(0.0, 0.1))
        child.signal(signal.SIGKILL)
        child.process.join()
        kills += 1
        assert kills < 50, child.log()
    assert child.process.exitcode == 0, child.log()
    assert kills >= 2
    assert_same(tmp_path / "whole", path)


def ddp(path: Path, stop_at: int | None = None) -> int:
    script = Path(__file__).parents[1] / "support" / "ddp.py"
    command = [sys.executable, str(script), str(path), "-" if stop_at is None else str(stop_at)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode in (0, 3), done.stderr
    return done.returncode


def test_two_processes(tmp_path: Path) -> None:
    """A signal to one rank stops both; the resumed run ends like the unbroken one."""
    assert ddp(tmp_path / "whole") == 0
    assert ddp(tmp_path / "run", stop_at=3) == 3
    position = load(tmp_path / "run")["segscape"]["position"]
    assert position["world_size"] == 2
    assert 3 < position["step"] < 22
    assert ddp(tmp_path / "run") == 0
    assert_same(tmp_path / "whole", tmp_path / "run")

    # Scores of the network that was trained by two, computed by one.
    model = standin.network().strip_auxiliary().eval()
    state = load(tmp_path / "whole")["state_dict"]
    state = {k.removeprefix("model."): v for k, v in state.items() if "auxiliary" not in k}
    model.load_state_dict(state)
    data = standin.BlobData(val=7).dataset("val")
    right = total = 0
    for index in range(7):
        sample = data.read(index)
        image = torch.from_numpy(sample.image.transpose(2, 0, 1)[None])
        with torch.inference_mode():
            found = model(model.normalize(image)).argmax(1)[0].numpy()
        right += int((found == sample.label).sum())
        total += int((sample.label != 255).sum())
    assert rows(tmp_path / "whole")[-1]["val/pixel_accuracy"] == pytest.approx(right / total)
    assert np.isfinite(rows(tmp_path / "whole")[-1]["train/loss"])
