import io
import struct
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import made_runs
import pytest

from segscape.errors import UserError
from segscape.report.collect import collect
from segscape.report.figure import drawable, spec, write_png, write_svg
from segscape.report.records import Collection, Run

pytest.importorskip("vl_convert")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    place = tmp_path_factory.mktemp("s") / "abl"
    made_runs.write_sweep(place, left=1)
    return collect([place])


def points(drawn):
    return next(layer for layer in drawn["layer"] if layer["mark"]["type"] == "point")


def test_every_finished_run_is_a_point_at_its_figures(sweep):
    values = points(spec(sweep))["data"]["values"]
    expected = {
        (run.figures["latency/p50_ms"], round(100 * run.figures["val/miou"], 6))
        for run in sweep.runs
        if run.state == "finished"
    }
    assert {(v["x"], round(v["y"], 6)) for v in values} == expected
    assert sum(v["front"] for v in values) == len(sweep.front)


def test_the_line_goes_through_the_front_in_order(sweep):
    line = next(layer for layer in spec(sweep)["layer"] if layer["mark"]["type"] == "line")
    xs = [value["x"] for value in line["data"]["values"]]
    assert xs == sorted(xs) and len(xs) == len(sweep.front)
    assert line["mark"]["interpolate"] == "step-after"


def test_means_have_bars_of_one_deviation(sweep):
    drawn = spec(sweep, group_seeds=True)
    (bars,) = [layer for layer in drawn["layer"] if layer["mark"]["type"] == "rule"]
    assert len(points(drawn)["data"]["values"]) == 6
    for value in bars["data"]["values"]:
        assert value["y_high"] - value["y"] == pytest.approx(0.1414, abs=1e-3)
    assert not any(layer["mark"]["type"] == "rule" for layer in spec(sweep)["layer"])


def test_means_are_called_so(sweep):
    def told(**how):
        return " ".join(spec(sweep, **how)["title"]["text"])

    assert told(group_seeds=True).startswith("Means over 1 to 2 seeds ± one standard deviation;")
    assert told().startswith("Single runs: seeds of one design are points of their own.")


def test_the_front_is_that_of_the_two_figures_that_are_drawn(sweep):
    three = (*sweep.objectives, ("min", "model/params"))
    lazy = replace(sweep, objectives=three, front=[run.id for run in sweep.runs])
    values = points(spec(lazy))["data"]["values"]
    assert sum(v["front"] for v in values) == len(sweep.front) < len(values)


def test_a_bar_that_has_no_end_on_a_logarithmic_axis_is_cut_off():
    runs = [
        Run(f"{d}{s}", d, "", "finished", d, s, {"fusion": d}, {}, {**cost, "val/miou": 0.5})
        for d, values in (("a", (0.1, 4.0)), ("b", (90.0, 90.0)))
        for s, cost in enumerate({"latency/p50_ms": value} for value in values)
    ]
    drawn = spec(Collection("t", runs), group_seeds=True)
    low, high = points(drawn)["encoding"]["x"]["scale"]["domain"]
    (bars,) = [layer for layer in drawn["layer"] if layer["mark"]["type"] == "rule"]
    (bar,) = bars["data"]["values"]
    assert 0 < low == bar["x_low"] < bar["x"] < bar["x_high"] < high


def test_axes_say_units_protocol_and_which_way_is_better(sweep):
    drawn = spec(sweep)
    encoding = points(drawn)["encoding"]
    assert encoding["x"]["title"] == "← latency p50 (ms)"
    assert encoding["y"]["title"] == "mIoU (%) →"
    assert encoding["color"]["title"] == "encoder" and encoding["shape"]["title"] == "fusion"
    assert made_runs.DEVICE in " ".join(drawn["title"]["text"])


def test_the_pictures_are_pictures(sweep, tmp_path):
    write_svg(sweep, tmp_path / "f.svg")
    root = ElementTree.parse(tmp_path / "f.svg").getroot()
    texts = "".join(root.itertext())
    assert "mIoU (%)" in texts and "uafm_spatial" in texts
    marks = [e for e in root.iter() if e.get("aria-roledescription") == "point"]
    assert len(marks) == 11
    write_png(sweep, tmp_path / "f.png")
    head = (tmp_path / "f.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    # 3.5 inches of a column at 400 pixels per inch, and no monster
    assert 1400 < width < 2600 and 1000 < height < 2600
    from PIL import Image

    image = Image.open(io.BytesIO((tmp_path / "f.png").read_bytes())).convert("RGB")
    colours = image.getcolors(1 << 24)
    assert colours is not None and len(colours) > 50


def test_a_picture_without_points_is_refused(tmp_path):
    made_runs.write_run(tmp_path / "a", state="running")
    running = collect([tmp_path / "a"])
    assert not drawable(running)  # a watch waits
    with pytest.raises(UserError, match="nothing to draw"):
        spec(running)


def test_values_far_apart_have_a_logarithmic_axis(tmp_path):
    for name, fusion, latency in (("a", "add", 2.0), ("b", "concat", 90.0)):
        made_runs.write_run(tmp_path / name, fusion=fusion, summary={"latency/p50_ms": latency})
    axis = points(spec(collect([tmp_path])))["encoding"]["x"]
    assert axis["scale"]["type"] == "log"
    assert axis["axis"]["values"] == [2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
