"""The last table, as text."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console, RenderableType

from segscape.profiling.report import final_table
from segscape.profiling.si_units import format_count

SUMMARY = {
    "val/miou": 0.61234,
    "val/boundary_iou": 0.4,
    "val/pixel_accuracy": 0.9,
    "val/iou/road": 0.95,
    "val/iou/[odd] name": 0.5,
    "val/iou/pole": math.nan,
    "model/params": 8_028_320,
    "model/macs": 11_421_139_968,
    "model/flops": 22_842_279_936,
    "model/input_size": [512, 1024],
    "model/macs/encoder": 7_864_057_856,
    "model/params/encoder": 5_318_304,
    "model/macs/fusion": 3_398_353_920,
    "model/params/fusion": 2_157_920,
    "model/uncounted_ops": {"relu": 40, "mean": 7},
    "latency/p50_ms": 12.345,
    "latency/p90_ms": 20.0,
    "latency/p99_ms": 1234.5,
    "latency/fps": 81.0,
    "latency/to_mask_p50_ms": 13.5,
    "latency/input_size": [256, 512],
    "latency/batch": 1,
    "latency/device": "a processor",
    "latency/precision": "bf16-mixed",
    "latency/backend": "eager",
    "latency/threads": 2,
}
CLASSES = ("road", "[odd] name", "pole")


def text(renderable: RenderableType, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]


def row(shown: str, start: str) -> list[str]:
    (line,) = (line for line in shown.splitlines() if line.strip().startswith(start))
    return line.replace("━", "").split()


def test_everything_is_there() -> None:
    shown = text(final_table(SUMMARY, CLASSES))
    assert "val set" in shown
    assert row(shown, "mIoU") == ["mIoU", "61.23"]
    assert row(shown, "boundary IoU")[-1] == "40.00"
    assert row(shown, "pixel accuracy")[-1] == "90.00"
    assert row(shown, "road") == ["road", "95.00"]
    assert row(shown, "[odd] name") == ["[odd]", "name", "50.00"]
    assert row(shown, "pole") == ["pole", "–"]
    assert "cost at 512 × 1024 (H × W)" in shown
    encoder = ["encoder", "5.318", "M", "7.864", "G", "68.9%", "15.73", "G"]
    assert row(shown, "encoder") == encoder
    assert row(shown, "all") == ["all", "8.028", "M", "11.42", "G", "22.84", "G"]
    assert "latency at 256 × 512 (H × W), batch 1" in shown
    assert row(shown, "to logits")[-6:] == ["12.3", "/", "20.0", "/", "1234", "ms"]
    assert row(shown, "images per second")[-1] == "81.0"
    assert row(shown, "to class map")[-2:] == ["13.5", "ms"]
    assert "a processor, bf16-mixed, eager, 2 threads" in shown
    assert "not in the MACs: relu (40), mean (7)" in shown


@pytest.mark.parametrize("gone", ["val", "model", "latency"])
def test_what_was_not_measured_is_left_out(gone: str) -> None:
    less = {key: value for key, value in SUMMARY.items() if not key.startswith(gone)}
    shown = text(final_table(less, CLASSES))
    words = {"val": "mIoU", "model": "MACs", "latency": "latency"}
    for room, word in words.items():
        assert (word in shown) == (room != gone)


def test_an_empty_record_shows_nothing() -> None:
    assert text(final_table({}, CLASSES)).strip() == ""


def test_the_split_that_was_scored_is_shown() -> None:
    both = {**SUMMARY, "test/miou": 0.5}
    assert row(text(final_table(both, CLASSES)), "mIoU")[-1] == "50.00"
    assert row(text(final_table(both, CLASSES, split="val")), "mIoU")[-1] == "61.23"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (9999, "9999"),
        (96_000, "96.00 k"),
        (8_028_320, "8.028 M"),
        (11_421_139_968, "11.42 G"),
        (1_500_000_000_000, "1.500 T"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_amount(value: float | None, shown: str) -> None:
    assert format_count(value) == shown


def test_fits_a_narrow_terminal() -> None:
    assert max(map(len, text(final_table(SUMMARY, CLASSES), width=60).splitlines())) <= 60
