"""`segscape list`: every option in a line, with figures where there are some."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from segscape import build, cli
from segscape.commands.evaluate import evaluate
from segscape.commands.list import list_choices
from segscape.config import files, systems
from segscape.errors import UserError
from segscape.exit_codes import FAILED
from segscape.profiling import complexity, option_costs


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(place))
        yield place


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert list_choices(list(arguments)) == 0
    return capsys.readouterr().out


def test_every_group_and_option_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys).splitlines()
    for group, options in files.groups().items():
        assert group in lines
        for option in options:
            assert any(line.split()[:1] == [option] for line in lines), option
    assert "segscape list GROUP" in lines[-1]


def test_a_fusion_has_figures_for_people_and_for_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = printed(capsys, "fusion")
    (line,) = (text for text in shown.splitlines() if text.startswith("uafm_spatial "))
    assert line.split()[1:5] == ["2.158", "M", "3.398", "G"]
    assert "512x1024 (height x width)" in shown and "model=ppliteseg" in shown
    found = json.loads(printed(capsys, "fusion", "--json"))["fusion"]
    assert set(found) == set(files.groups()["fusion"])
    assert found["uafm_spatial"] == {
        "description": files.describe("fusion", "uafm_spatial"),
        "params": 2_157_920,
        "macs": 3_398_353_920,
        "flops": 2 * 3_398_353_920,
        "input_size": [512, 1024],
        "measured_in": "ppliteseg",
    }


@pytest.mark.slow
@pytest.mark.parametrize("group", option_costs.GROUPS)
def test_every_option_has_figures(group: str) -> None:
    for option, found in option_costs.option_costs(group).items():
        assert "problem" not in found, (option, found)
        assert found["params"] >= 0 and found["flops"] == 2 * found["macs"]


@pytest.mark.slow
@pytest.mark.parametrize("name", systems.names())
def test_the_figures_of_a_model_are_those_of_its_network(name: str) -> None:
    settings = systems.read(name).settings
    counted = complexity.measure(build.model(settings, num_classes=19), (512, 1024))
    found = option_costs.option_costs("model")[name]
    assert (found["params"], found["macs"]) == (counted.params, counted.macs)


def test_figures_are_kept_and_forgotten_when_the_code_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = option_costs.option_costs("head")
    (file,) = tmp_path.glob("segscape/option_costs-*.json")
    content = json.loads(file.read_text())
    content["head"]["seg"]["params"] = 7
    file.write_text(json.dumps(content))
    assert option_costs.option_costs("head")["seg"]["params"] == 7
    file.write_text("not json")
    assert option_costs.option_costs("head") == before
    file.write_text(json.dumps(content))
    monkeypatch.setattr(option_costs, "version", lambda name: "0")
    assert option_costs.option_costs("head") == before


def test_options_of_a_users_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fusion").mkdir()
    (tmp_path / "fusion" / "mine.yaml").write_text(
        "# One of my own\n_target_: segscape.models.fusions.add.Add\n"
    )
    (tmp_path / "fusion" / "broken.yaml").write_text("# Broken\n_target_: nowhere.Nothing\n")
    monkeypatch.setattr(
        sys, "argv", ["segscape", "list", "fusion", "--json", f"--config-dir={tmp_path}"]
    )
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 0
    found = json.loads(capsys.readouterr().out)["fusion"]
    assert found["mine"]["description"] == "One of my own"
    assert found["mine"]["macs"] == found["add"]["macs"]
    assert "nowhere" in found["broken"]["problem"]
    assert "mine" not in json.loads(printed(capsys, "fusion", "--json"))["fusion"]


def test_a_folder_that_is_not_there() -> None:
    with pytest.raises(UserError, match="no such directory"), files.extra_config_dir("nowhere"):
        pass


def test_a_wrong_group_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean fusion"):
        list_choices(["fusio"])


def test_a_reader_that_leaves_early_hears_no_complaint() -> None:
    # More than a pipe holds, so that the writer meets the closed end.
    code = (
        "import sys; from segscape import cli\n"
        "from segscape.commands import list\n"
        "list.list_choices = lambda rest: print('x' * 10**6) or 0\n"
        "sys.argv = ['segscape', 'list']; cli.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert process.wait() == FAILED
    assert complaint == b""


def test_evaluate_without_arguments_shows_its_usage() -> None:
    with pytest.raises(UserError, match=r"segscape evaluate \(run=DIR"):
        evaluate([])
    assert evaluate(["--help"]) == 0
