"""What is shown while a training runs."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import standin
import torch
from rich.console import Console

from segscape.engine.callbacks.progress import Bar, Lines, Progress, Status, clock_time
from segscape.engine.means import RunningMeans


def shown(path: Path, *, terminal: bool) -> str:
    screen = io.StringIO()
    progress = Progress(Console(file=screen, force_terminal=terminal, width=100))
    progress.display.seconds = 0.0
    standin.train(path, trainer={"max_epochs": 2}, callbacks=[progress])
    return screen.getvalue()


def test_lines_for_a_file(tmp_path: Path) -> None:
    lines = shown(tmp_path / "run", terminal=False).splitlines()
    steps = [line for line in lines if "epoch 1/2 step 2/10 " in line]
    assert len(steps) == 1
    for text in ("loss ", "(main ", "decoder_16 ", "img/s ", "lr ", "ETA "):
        assert text in steps[0]
    done = [line for line in lines if "acc" in line]
    assert [line.split("  ")[0] for line in done] == ["epoch 1 step 5/10", "epoch 2 step 10/10"]
    assert "(best)" in done[0]
    assert not any("\x1b" in line for line in lines)


def test_a_bar_for_a_terminal(tmp_path: Path) -> None:
    text = shown(tmp_path / "run", terminal=True)
    for part in ("epoch 2/2", "10/10", "validating 2/2", "100%", "mIoU"):
        assert part in text
    # The cursor is visible again.
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_the_kind_of_display_follows_the_terminal() -> None:
    assert isinstance(Progress(Console(file=io.StringIO())).display, Lines)
    assert isinstance(Progress(Console(file=io.StringIO(), force_terminal=True)).display, Bar)


def test_figures() -> None:
    status = Status(3, 12, 120, 600, {"loss": 0.812, "loss/main": 0.41}, 14.23, 0.412, 0.01, 151)
    assert status.where == "epoch 3/12"
    assert status.figures() == "loss 0.812 (main 0.41)  img/s 14.2  mIoU 0.412  lr 0.01  ETA 2:31"
    assert clock_time(3723.4) == "1:02:03"


def test_means_survive_a_checkpoint_and_know_what_broke() -> None:
    means, cpu = RunningMeans(), torch.device("cpu")
    values = torch.rand(5, 2, generator=torch.Generator().manual_seed(0))
    for step, (a, b) in enumerate(values):
        if step == 3:
            state = means.state(means.total(cpu))
            means = RunningMeans()
            means.load(state)
        means.add({"loss": a, "loss/main": b})
    expected = values.double().mean(0).tolist()
    assert list(means.read().values()) == pytest.approx(expected, rel=1e-15)
    assert means.broken() == []
    means.add({"loss": torch.tensor(1.0), "loss/main": torch.tensor(torch.nan)})
    means.add({"loss": torch.tensor(1.0), "loss/main": torch.tensor(1.0)})
    assert means.broken() == ["loss/main"]
