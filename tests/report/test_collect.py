import json
import os
import shutil
import socket
import struct
from pathlib import Path

import made_runs
import pytest

from segscape.errors import UserError
from segscape.report.collect import collect
from segscape.report.reading import split
from segscape.report.records import Run, front_of
from segscape.runs.files import write_json


def only(collection):
    (run,) = collection.runs
    return run


def test_a_finished_run_is_read_from_its_summary(tmp_path):
    made_runs.write_run(tmp_path / "a", fusion="add")
    run = only(collect([tmp_path / "a"]))
    assert run.state == "finished" and run.seed == 1
    assert run.figures["val/miou"] == made_runs.summary_of()["val/miou"]
    assert run.texts["model/input_size"] == "256x512"
    assert "val/iou/pole" not in run.figures  # null: it does not occur
    assert run.choices == {
        "data": "streets",
        "model": "ppliteseg",
        "encoder": "stdc1",
        "fusion": "add",
    }
    assert run.curves["epoch"] == [1, 2, 3] and len(run.curves["val/miou"]) == 3
    assert not any(key.startswith(("model/", "latency/")) for key in run.curves)
    assert run.environment["device"] == made_runs.DEVICE
    assert run.environment["commit"] == "0123456789"


def test_a_run_that_goes_on_has_its_best_row_so_far_and_is_on_no_front(tmp_path):
    made_runs.write_run(tmp_path / "a", state="running")
    collection = collect([tmp_path / "a"])
    run = only(collection)
    assert run.state == "running" and run.figures["epoch"] == 2
    assert run.figures["latency/p50_ms"] == 10.0
    assert run.environment["latency batch"] == "1"  # as a finished run records it
    assert collection.front == []
    assert collection.missing[0] == "1 of 1 runs is not finished: 1 running."


def test_a_run_whose_process_is_gone_is_lost(tmp_path):
    gone = os.fork()
    if not gone:
        os._exit(0)
    os.waitpid(gone, 0)
    made_runs.write_run(tmp_path / "a", state="running", status={"pid": gone})
    assert only(collect([tmp_path / "a"])).state == "lost"
    elsewhere = {"pid": gone, "host": f"not-{socket.gethostname()}"}
    made_runs.write_run(tmp_path / "b", state="running", status=elsewhere)
    assert only(collect([tmp_path / "b"])).state == "running"


def test_a_summary_that_a_continued_run_left_behind_is_not_its_result(tmp_path):
    place = made_runs.write_run(tmp_path / "a", state="finished")
    status = json.loads((place / "status.json").read_text())
    write_json(place / "status.json", status | {"state": "failed", "error": "OSError: full"})
    collection = collect([place])
    assert only(collection).figures["epoch"] == 2  # of metrics.csv, and not of summary.json
    assert collection.missing[1] == "'ppliteseg encoder=stdc1 fusion=add' failed: OSError: full"


def test_choices_of_runs_that_kept_none_come_from_their_configuration(tmp_path):
    import yaml

    from segscape.config import composing

    place = made_runs.write_run(tmp_path / "a", choices=False)
    from omegaconf import OmegaConf

    composed, chosen = composing.compose_with_choices(
        ["model=bisenetv2", "fusion=uafm_channel", "optim=sgd", "optim.lr=0.3"]
    )
    (place / "config.yaml").write_text(
        yaml.safe_dump(OmegaConf.to_container(composed, resolve=True))
    )
    (place / "overrides.yaml").write_text("[model=bisenetv2]")  # the others are recognised
    run = only(collect([place]))
    for group in ("model", "encoder", "context", "decoder", "fusion", "head", "optim", "data"):
        assert run.choices[group] == chosen[group], group


def test_a_sweep_shows_its_jobs_and_those_that_wait(tmp_path):
    made_runs.write_sweep(tmp_path / "abl", left=1)
    collection = collect([tmp_path / "abl"])
    assert collection.title == "abl"
    assert len(collection.runs) == 12
    assert [run.state for run in collection.runs].count("waiting") == 1
    assert collection.varied() == ["encoder", "fusion"]
    assert collection.missing[0] == "1 of 12 runs is not finished: 1 waiting."
    on_front = {run.name for run in collection.runs if run.id in collection.front}
    # 2 * 7 % 5 > 1 * 7 % 5: seed 2 is a little better everywhere
    assert "encoder=stdc1 fusion=add seed=2" in on_front
    assert "encoder=stdc1 fusion=add seed=1" not in on_front
    # seeds share a design, though the data set takes the seed too
    assert len({run.design for run in collection.runs}) == 6


def test_places_are_read_once_however_they_are_named(tmp_path, monkeypatch):
    sweep = made_runs.write_sweep(tmp_path / "runs/sweeps/abl", fusions=("add",), seeds=(1,))
    place = sweep.place(sweep.jobs()[0])
    monkeypatch.chdir(tmp_path)
    places = ["abl", tmp_path / "runs", place, place / "summary.json"]
    assert len(collect(places).runs) == 2
    assert only(collect([place])).name == sweep.jobs()[0].name


def test_evaluations_within_a_run_are_only_read_when_they_are_named(tmp_path):
    place = made_runs.write_run(tmp_path / "a")
    scored = made_runs.write_run(place / "evaluate-test", summary={"split": "test"})
    (scored / "status.json").unlink()
    assert len(collect([tmp_path]).runs) == 1
    both = collect([place, scored])
    assert len({run.id for run in both.runs}) == 2
    assert len({run.name for run in both.runs}) == 2
    assert any("split differs" in warning for warning in both.warnings)


def test_what_others_have_is_read_as_far_as_it_goes(tmp_path):
    theirs = made_runs.write_theirs(
        tmp_path / "theirs.json", name="theirs", **{"val/miou": 0.9, "note": "x", "val/loss": None}
    )
    made_runs.write_run(tmp_path / "ours")
    collection = collect([theirs, tmp_path / "ours"])
    run = next(run for run in collection.runs if run.name == "theirs")
    assert run.figures == {"val/miou": 0.9} and run.state == "unknown"
    assert run.id not in collection.front  # its latency is not known
    assert any("'theirs': no latency/p50_ms" in text for text in collection.missing)
    (text,) = collection.warnings
    assert text.startswith("Not known of 'theirs': precision, treatment of void, data set")
    assert "device" not in text  # it has no latency


def test_settings_that_were_typed_or_tell_equal_choices_apart_are_listed(tmp_path):
    for name, lr in (("a", 0.001), ("b", 0.01)):
        optim = {**made_runs.config_of()["optim"], "lr": lr}
        made_runs.write_run(tmp_path / name, config={"optim": optim, "run_dir": name})
    collection = collect([tmp_path])
    assert [run.settings for run in collection.runs] == [{"optim.lr": 0.001}, {"optim.lr": 0.01}]
    assert collection.runs[0].name.endswith("optim.lr=0.001")


def test_settings_that_a_chosen_option_brings_along_are_not(tmp_path):
    for fusion, width in (("add", 32), ("concat", 64)):
        node = {**made_runs.config_of(fusion=fusion)["fusion"], "width": width}
        made_runs.write_run(tmp_path / fusion, fusion=fusion, config={"fusion": node})
    assert [run.settings for run in collect([tmp_path]).runs] == [{}, {}]


def test_conditions_that_differ_are_said_with_the_runs(tmp_path):
    made_runs.write_run(tmp_path / "a", fusion="add")
    made_runs.write_run(tmp_path / "b", fusion="concat")
    made_runs.write_run(
        tmp_path / "c",
        fusion="uafm_spatial",
        summary={"latency/device": "NVIDIA H100", "void": "count", "latency/input_size": [1, 2]},
        environment={
            "git": {"commit": "fedcba9876543210", "dirty": True, "diff_sha256": "12ab34cd"}
        },
    )
    warnings = collect([tmp_path]).warnings
    name = "'ppliteseg encoder=stdc1 fusion=uafm_spatial'"
    assert (
        f"The device differs, so latencies cannot be compared: {made_runs.DEVICE} (2 runs); "
        f"NVIDIA H100 ({name})." in warnings
    )
    assert any("treatment of void differs, so scores" in text for text in warnings)
    assert any("fedcba9876 + changes 12ab34" in text for text in warnings)
    assert not any("precision differs" in text for text in warnings)


def test_a_latency_that_was_measured_beside_another_run_is_warned_of(tmp_path):
    hour = "2026-01-01T{}:00:00+00:00"
    for name, fusion, start, end in (
        ("a", "add", "10", "12"),
        ("b", "concat", "11", "13"),
        ("c", "uafm_spatial", "14", "15"),
    ):
        times = {"started": hour.format(start), "updated": hour.format(end)}
        made_runs.write_run(tmp_path / name, fusion=fusion, status=times)
    (text,) = collect([tmp_path]).warnings
    assert "fusion=concat" in text and "may be too high" in text
    assert "fusion=add" not in text and "uafm" not in text
    # Of two that begin together, both are disturbed.
    times = {"started": "2026-01-01T10:00:05+00:00", "updated": "2026-01-01T10:30:00+00:00"}
    both = made_runs.write_run(tmp_path / "d", encoder="stdc2", status=times)
    text = collect([tmp_path]).warnings[0]
    assert "encoder=stdc1 fusion=add" in text and "encoder=stdc2" in text
    shutil.rmtree(both)
    # Measured again after the sweep, nothing else ran.
    path = tmp_path / "b" / "summary.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps({**summary, "latency/measured": "one design at a time"}))
    assert collect([tmp_path]).warnings == []


def test_the_same_training_twice_is_no_independent_evidence(tmp_path):
    made_runs.write_run(tmp_path / "a")
    made_runs.write_run(tmp_path / "b")
    warnings = collect([tmp_path]).warnings
    assert any(text.startswith("2 runs have the same configuration and seed") for text in warnings)


def test_objectives_are_chosen_by_key_or_its_end(tmp_path):
    made_runs.write_sweep(tmp_path / "s", seeds=(1,))
    collection = collect([tmp_path / "s"], y="miou", x="macs")
    assert collection.objectives == (("max", "val/miou"), ("min", "model/macs"))
    collection = collect([tmp_path / "s"], x="max:latency/p50_ms")
    assert collection.objectives[1] == ("max", "latency/p50_ms")
    # the other one is never the same figure
    keys = [key for _, key in collect([tmp_path / "s"], y="latency/p50_ms").objectives]
    assert keys == ["latency/p50_ms", "val/miou"]
    keys = [key for _, key in collect([tmp_path / "s"], x="miou").objectives]
    assert keys == ["latency/p50_ms", "val/miou"]
    with pytest.raises(UserError, match="did you mean latency/p50_ms"):
        collect([tmp_path / "s"], x="latency/p50")
    with pytest.raises(UserError, match="could be latency/input or"):
        from segscape.report.figure_keys import resolve

        resolve("input", ["latency/input", "model/input"])


def test_a_sweep_with_objectives_of_its_own_is_shown_by_them(tmp_path):
    sweep = made_runs.write_sweep(tmp_path / "s", seeds=(1,))
    settings = {"objectives": [["max", "val/miou"], ["min", "model/params"]]}
    sweep.write_description({**sweep.read_description(), "settings": settings})
    assert collect([tmp_path / "s"]).objectives[1] == ("min", "model/params")


def test_without_latency_the_front_is_over_macs(tmp_path):
    place = made_runs.write_run(tmp_path / "a")
    summary = json.loads((place / "summary.json").read_text())
    write_json(
        place / "summary.json", {k: v for k, v in summary.items() if not k.startswith("latency/")}
    )
    assert collect([place]).objectives[1] == ("min", "model/macs")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda p: None, "there is no such directory"),
        (lambda p: p.mkdir(), "holds no run"),
        (lambda p: (p.mkdir(), (p / "summary.json").write_text("{")), "is damaged"),
        (lambda p: (p.mkdir(), (p / "summary.json").write_text("[1]")), "no JSON object"),
        (lambda p: (p.mkdir(), (p / "summary.json").write_text('{"a": "b"}')), "no figures"),
        (lambda p: p.write_text("hello"), "no record of a run"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, make, match):
    make(tmp_path / "it")
    with pytest.raises(UserError, match=match):
        collect([tmp_path / "it"])


def test_a_misspelt_sweep_is_recognised(tmp_path, monkeypatch):
    made_runs.write_sweep(tmp_path / "runs/sweeps/fusions", fusions=("add",), seeds=(1,))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="did you mean fusions"):
        collect(["fusion"])


def test_runs_beside_a_third_party_summary_are_found_too(tmp_path):
    made_runs.write_theirs(tmp_path / "summary.json", **{"val/miou": 0.5})
    made_runs.write_run(tmp_path / "ours")
    assert len(collect([tmp_path]).runs) == 2


def test_a_folder_that_links_to_itself_is_walked_once(tmp_path):
    made_runs.write_run(tmp_path / "runs/a")
    (tmp_path / "runs/again").symlink_to(tmp_path / "runs")
    assert len(collect([tmp_path / "runs"]).runs) == 1


def test_only_finished_runs_are_on_the_front():
    runs = [
        Run(id=state, name=state, path="", state=state, design="d", figures={"val/miou": miou})
        for state, miou in (("finished", 0.5), ("running", 0.9), ("failed", 0.8))
    ]
    assert front_of(runs, [("max", "val/miou")]) == ["finished"]


# -- W&B ------------------------------------------------------------------------------------------


def test_an_offline_folder_leads_to_its_run_directory(tmp_path):
    place = made_runs.write_run(tmp_path / "a")
    folder = write_wandb(place / "wandb", {"val/miou": 0.1})
    for named in (folder, place / "wandb", next(folder.glob("*.wandb"))):
        run = only(collect([named]))
        assert Path(run.path) == place and run.figures["val/miou"] != 0.1


def test_an_offline_folder_without_a_run_is_read_itself(tmp_path):
    folder = write_wandb(
        tmp_path / "wandb",
        {"val/miou": 0.61, "latency/p50_ms": 7.5, "latency/device": "X", "_runtime": 3},
        config={"seed": 4, "model": {"name": "ppliteseg"}},
        rows=[{"epoch": 1, "val/miou": 0.3}, {"gallery/a": {"_type": "image-file"}},
              {"epoch": 2, "val/miou": 0.61}],
    )  # fmt: skip
    for named in (folder, tmp_path / "wandb", tmp_path):
        run = only(collect([named]))
        assert run.figures["val/miou"] == 0.61 and run.seed == 4 and run.name == "their run"
        assert run.curves["val/miou"] == [0.3, 0.61]
        assert run.environment["device"] == "X" and run.state == "finished"
        assert not any(key.startswith(("_", "gallery")) for key in [*run.figures, *run.texts])


def test_a_file_that_was_cut_off_is_read_up_to_there(tmp_path):
    folder = write_wandb(tmp_path / "wandb", {"val/miou": 0.61}, rows=[{"epoch": 1}] * 3)
    (file,) = folder.glob("*.wandb")
    file.write_bytes(file.read_bytes()[:-30])
    collection = collect([folder])
    assert only(collection).state == "unknown"
    assert any("may not be final" in text for text in collection.missing)


def test_wandb_s_own_writer_is_understood(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = wandb.init(project="p", name="real", mode="offline", dir=tmp_path, config={"seed": 2})
    for step in range(3):
        run.log({"epoch": step, "val/miou": 0.2 * step, "long": "y" * 20000})
    run.summary["latency/p50_ms"] = 4.5
    run.finish()
    wandb.teardown()  # its service writes the last records before it ends
    found = only(collect([tmp_path / "wandb"]))
    assert found.figures["val/miou"] == 0.4 and found.figures["latency/p50_ms"] == 4.5
    assert found.name == "real" and found.seed == 2 and found.state == "finished"
    assert found.curves["val/miou"] == [0.0, 0.2, 0.4]


def write_wandb(place, summary, config=None, rows=()):
    """A file as W&B writes it: records in blocks of 32 KiB."""
    messages = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    records = []

    def record():
        records.append(messages.Record())
        return records[-1]

    def put(items, values):
        for key, value in values.items():
            item = items.add()
            item.key, item.value_json = key, json.dumps(value)

    began = record().run
    began.display_name, began.run_id = "their run", "abc"
    put(began.config.update, config or {})
    for row in rows:
        put(record().history.item, row)
    put(record().summary.update, summary)
    record().exit.exit_code = 0
    folder = place / "offline-run-20260101_000000-abc"
    folder.mkdir(parents=True)
    data = b"\0" * 7
    for each in records:
        body = each.SerializeToString()
        data += struct.pack("<IHB", 0, len(body), 1) + body
    (folder / "run-abc.wandb").write_bytes(data)
    return folder


def test_values_that_are_no_figures():
    figures, texts = split({"a": True, "b": float("inf"), "c": [1, 2], "d": {"e": 1}, "f": 1})
    assert figures == {"f": 1} and texts == {"a": "true", "c": "1x2"}
