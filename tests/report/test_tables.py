import csv
import io
import json
import re
import statistics
from dataclasses import replace

import made_runs
import pytest
from rich.console import Console

from segscape.errors import UserError
from segscape.report import formats
from segscape.report.collect import collect
from segscape.report.figure_keys import direction, label
from segscape.report.records import Collection, Run
from segscape.report.rows import rows, sort
from segscape.report.table import build, effects_table, render


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    place = tmp_path_factory.mktemp("s") / "abl"
    made_runs.write_sweep(place, left=1)
    return collect([place])


def column(table, heading):
    index = list(table.headings).index(heading)
    return [line[index] for line in table.lines]


def nasty():
    runs = [
        Run(
            id=str(n),
            name=name,
            path=f"/tmp/{n}",
            state="finished",
            design=str(n),
            figures={"val/miou": 0.5 + n / 10, "latency/p50_ms": 5.0 + n, "model/macs": 1e9 + n},
            texts={"note": "a,b\n\"c\""},
        )
        for n, name in enumerate([r"50% & $x_1$ {~^#\}", "a|b <b>*bold*</b> `c`", "plain"])
    ]  # fmt: skip
    return Collection("t_1 & co", runs, front=["2"])


def test_lines_say_what_varies_best_first_and_what_is_not_finished_last(sweep):
    table = build(sweep)
    assert table.headings[:4] == ["", "encoder", "fusion", "seed"]
    scores = [float(cell.text) for cell in column(table, "mIoU (%)")[:-1]]
    assert scores == sorted(scores, reverse=True)
    assert column(table, "state")[-1].text == "waiting"
    assert column(table, "mIoU (%)")[-1].text == "–"
    assert table.common == "data=streets model=ppliteseg"
    assert "highest mIoU, lowest latency p50" in table.note
    assert "256 × 512" in table.note and "2 threads" in table.note


def test_the_best_of_every_column_is_marked_and_ties_are_all_best(sweep):
    table = build(sweep)
    (best,) = [cell.text for cell in column(table, "mIoU (%)") if cell.best]
    assert best == "65.40"
    fastest = [cell.text for cell in column(table, "latency p50 (ms)") if cell.best]
    assert fastest == ["10.0", "10.0"]  # both seeds


def test_seeds_are_grouped_into_mean_and_deviation(sweep):
    lines = rows(sweep, group_seeds=True)
    assert len(lines) == 6
    line = next(row for row in lines if row.marks == {"encoder": "stdc1", "fusion": "add"})
    values = [run.figures["val/miou"] for run in sweep.runs if run.id in line.ids]
    assert line.count == 2
    assert line.figures["val/miou"] == pytest.approx(statistics.mean(values))
    assert line.spreads["val/miou"] == pytest.approx(statistics.stdev(values))
    half = next(row for row in lines if row.state == "1 of 2 finished")
    assert half.count == 1 and half.done and half.spreads == {}
    table = build(sweep, group_seeds=True)
    assert column(table, "mIoU (%)")[0].spread == "0.14"
    assert all(not cell.spread for cell in column(table, "MACs (M)"))  # the same in all seeds


def test_the_front_of_means_is_not_that_of_single_lucky_runs():
    def run(design, seed, miou, latency):
        figures = {"val/miou": miou, "latency/p50_ms": latency}
        choices = {"fusion": design}
        return Run(f"{design}{seed}", design, "", "finished", design, seed, choices, {}, figures)

    runs = [run("a", 1, 0.9, 10.0), run("a", 2, 0.1, 10.0), run("b", 1, 0.6, 9.0)]
    collection = Collection("t", [*runs, run("b", 2, 0.6, 9.0)], front=["a1", "b1", "b2"])
    on_front = [row.marks["fusion"] for row in rows(collection, True) if row.on_front]
    assert on_front == ["b"]


def test_sorting(sweep):
    lines = rows(sweep)
    objectives = sweep.objectives

    def macs(by):
        return [row.figures.get("model/macs") for row in sort(lines, by, objectives)][:-1]

    assert macs("macs") == sorted(macs("macs")) == macs("model/macs")
    assert macs("max:macs") == sorted(macs("macs"), reverse=True)
    seeds = [row.marks["seed"] for row in sort(lines, "seed", objectives)]
    assert seeds == sorted(seeds)
    assert sort(lines, "state", objectives)[-1].state == "waiting"
    with pytest.raises(UserError, match="did you mean fusion"):
        sort(lines, "fusions", objectives)
    with pytest.raises(UserError, match="val/miou"):
        sort(lines, "val/iuo", objectives)


def test_a_figure_that_is_sorted_by_is_shown(sweep):
    assert "IoU of road (%)" in build(sweep, by="val/iou/road", width=80).headings
    # shortened, and on a screen that has no room for it
    assert "MACs (M)" in build(sweep, by="macs", width=30).headings


def test_the_figures_that_are_asked_for_are_the_columns_and_no_others(sweep):
    table = build(sweep, width=40, columns=["macs", "road", "val/miou"])
    assert table.headings[-4:] == ["MACs (M)", "IoU of road (%)", "mIoU (%)", "state"]
    assert "latency" not in formats.as_latex(sweep, columns=["miou"]).split("toprule")[1]
    assert "IoU of road" in formats.as_markdown(sweep, columns=["road"])
    with pytest.raises(UserError, match="did you mean val/miou"):
        build(sweep, columns=["val/miu"])


def test_which_way_is_better_is_what_the_objectives_say(sweep):
    slow = replace(sweep, objectives=(("max", "val/miou"), ("max", "latency/p50_ms")))
    best = [cell.text for cell in column(build(slow), "latency p50 (ms)") if cell.best]
    assert best == ["17.0", "17.0"]  # the slowest, both seeds


def test_a_table_without_any_figure_keeps_its_runs():
    runs = [Run(str(n), f"a long name {n}", "", "failed", str(n)) for n in range(2)]
    table = build(Collection("t", runs), width=10)
    assert [line[1].text for line in table.lines] == ["a long name 0", "a long name 1"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_screen_s_table_keeps_to_the_width_and_loses_no_run(sweep, width):
    console = Console(width=width, file=io.StringIO(), record=True)
    for table in (build(sweep, width=width), effects_table(sweep, width)):
        console.print(render(table))
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    assert len(re.findall(r"\b(?:6[0-9])\.\d\d\b", text)) >= 11


def test_every_option_has_its_effect(sweep):
    table = effects_table(sweep)
    assert [cell.text for cell in column(table, "option")] == [
        "stdc1",
        "stdc2",
        "uafm_spatial",
        "add",
        "concat",
    ]
    assert "same partners" in table.note


def test_csv_has_everything_in_full_precision(sweep):
    lines = list(csv.DictReader(io.StringIO(formats.as_csv(sweep))))
    assert len(lines) == 12
    by_id = {run.id: run for run in sweep.runs}
    for line in lines[:-1]:
        run = by_id[line["id"]]
        assert float(line["val/miou"]) == run.figures["val/miou"]
        assert line["fusion"] == run.choices["fusion"]
        assert line["environment.device"] == made_runs.DEVICE
        assert line["front"] == str(int(run.id in sweep.front))
    assert lines[-1]["val/miou"] == "" and lines[-1]["state"] == "waiting"
    header = formats.as_csv(sweep).splitlines()[0].split(",")
    assert len(header) == len(set(header))


def test_csv_of_designs_has_means_and_deviations(sweep):
    lines = list(csv.DictReader(io.StringIO(formats.as_csv(sweep, group_seeds=True))))
    assert len(lines) == 6
    assert float(lines[0]["val/miou.std"]) == pytest.approx(0.00141, abs=1e-5)
    assert lines[0]["runs"] == "2"


def test_csv_quotes_what_must_be():
    lines = list(csv.DictReader(io.StringIO(formats.as_csv(nasty()))))
    assert lines[0]["texts.note"] == 'a,b\n"c"'
    assert {line["name"] for line in lines} == {run.name for run in nasty().runs}


def test_latex_is_a_booktabs_table_with_the_best_bold(sweep):
    text = formats.as_latex(sweep)
    lines = text.splitlines()
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert len(body) == 12
    header = lines[lines.index(r"\toprule") + 1]
    columns = re.search(r"begin\{tabular\}\{@\{\}([lr]+)@\{\}\}", text).group(1)
    for line in [header, *body]:
        assert line.endswith(r" \\")
        assert line.count(" & ") == len(columns) - 1
    assert body[0].startswith(r"$\ast$ & stdc2 & uafm\_spatial & 2 & \textbf{65.40}")
    assert r"mIoU (\%)" in header
    before = lines[: lines.index(next(line for line in lines if "begin{tabular}" in line))]
    assert all(line.startswith("%") for line in before)
    assert any("1 of 12 runs is not finished" in line for line in before)


def test_latex_escapes():
    text = formats.as_latex(nasty())
    assert r"50\% \& \$x\_1\$ \{\textasciitilde{}\textasciicircum{}\#\textbackslash{}\}" in text
    body = text[text.index(r"\toprule") :]
    bare = re.sub(r"\\.", "", body.replace(" & ", "").replace(r"$\ast$", ""))
    assert not set(bare) & set("%$#_&~^")
    signs = "".join(map(chr, range(33, 127)))
    run = Run("1", f"{signs} a--b \x07\u4e2d", "", "finished", "1", figures={"val/miou": 0.5})
    text = formats.as_latex(Collection("t", [run]))
    assert "% has \u4e2d: use lualatex" in text and "\x07" not in text
    line = text.splitlines()[-3]
    assert "a-{}-b" in line
    # what is left after commands and groups can be typeset in any encoding of fonts
    left = re.sub(r"\\(text\w+|`)\{\}|-\{\}|\\.", "", line)
    assert not set(left) & set('%$#_~^<>|"`{}') and "[\\]" not in line
    assert line.count(r"\text") == 6


def test_latex_of_designs_has_the_deviation(sweep):
    assert r"\textbf{65.30} $\pm$ 0.14" in formats.as_latex(sweep, group_seeds=True)


def test_markdown_is_one_table_per_heading_and_escapes(sweep):
    text = formats.as_markdown(sweep)
    assert "**65.40**" in text and "### Effect of each choice" in text
    table = [line for line in text.split("###")[0].splitlines() if line.startswith("|")]
    assert len(table) == 2 + 12
    assert len({line.count("|") for line in table}) == 1
    shown = formats.as_markdown(nasty())
    assert "<b>" not in shown and r"a\|b &lt;b&gt;\*bold\*" in shown


def test_json_is_the_collection(sweep):
    data = json.loads(formats.as_json(sweep))
    assert {run["id"] for run in data["runs"]} == {run.id for run in sweep.runs}
    assert data["front"] == list(sweep.front)
    assert data["runs"][0]["figures"]["val/miou"] == max(
        run.figures.get("val/miou", 0) for run in sweep.runs
    )
    assert len(json.loads(formats.as_json(sweep, group_seeds=True))["designs"]) == 6
    odd = replace(sweep, runs=[replace(sweep.runs[0], settings={"clip": float("inf")})])
    assert '"clip": "inf"' in formats.as_json(odd)


def test_units_suit_their_column():
    def heading(values):
        runs = [
            Run(str(n), str(n), "", "finished", str(n), figures={"val/miou": 0.5, "model/macs": v})
            for n, v in enumerate(values)
        ]
        table = build(Collection("t", runs))
        (found,) = [h for h in table.headings if h.startswith("MACs")]
        return found, [cell.text for cell in column(table, found)]

    assert heading([8.1e9, 0.25e9]) == ("MACs (G)", ["8.100", "0.250"])
    assert heading([812e6, 25e6]) == ("MACs (M)", ["812.0", "25.0"])
    assert heading([0.0, 0.0]) == ("MACs", ["0", "0"])


@pytest.mark.parametrize(
    ("key", "way", "name"),
    [
        ("val/miou", "max", "mIoU (%)"),
        ("test/miou", "max", "test mIoU (%)"),
        ("val/iou/traffic sign", "max", "IoU of traffic sign (%)"),
        ("latency/p50_ms", "min", "latency p50 (ms)"),
        ("latency/fps", "max", "images per second"),
        ("model/macs", "min", "MACs"),
        ("model/params/encoder", "min", "parameters of encoder"),
        ("val/loss", "min", "val/loss"),
        ("theirs/thing", None, "theirs/thing"),
    ],
)
def test_what_keys_mean(key, way, name):
    assert direction(key) == way
    assert label(key) == name
