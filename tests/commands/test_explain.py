"""`segscape explain`: the parts of a network, as they run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from segscape import build
from segscape.commands.explain import explain
from segscape.config import systems
from segscape.errors import UserError
from segscape.profiling import complexity


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert explain([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_shapes_and_costs_of_ppliteseg(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, "fusion=uafm_spatial", "data=cityscapes")
    assert (found["params"], found["macs"]) == (8_028_320, 11_421_139_968)
    assert (found["num_classes"], found["classes_of"]) == (19, "cityscapes")
    assert found["encoder"]["outputs"]["32"] == [1024, 16, 32]
    assert found["context"]["inputs"] == [[[1024, 16, 32]]]
    assert [fusion["index"] for fusion in found["fusions"]] == [2, 1, 0]
    last = found["fusions"][-1]
    assert last["inputs"] == [[[256, 64, 128], [64, 32, 64]]]
    assert last["outputs"] == {"out": [32, 64, 128]}
    assert found["decoder"]["params"] == 0
    assert found["head"]["outputs"] == {"out": [19, 64, 128]}
    assert list(found["auxiliary"]) == ["decoder_16", "decoder_32"]


def test_the_image_may_have_any_size(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, "encoder=timm", "profile.size=[100,70]")
    assert found["input_size"] == [100, 70]
    assert found["padded"] == [3, 128, 96]
    assert found["classes_of"] == "streets"


@pytest.mark.parametrize(
    "name",
    [
        n if n in ("ppliteseg_b", "icnet_resnet18") else pytest.param(n, marks=pytest.mark.slow)
        for n in systems.names()
    ],
)
def test_the_totals_are_those_of_the_network(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, f"model={name}", "profile.size=[96,192]", "data=cityscapes")
    settings = systems.read(name).settings
    counted = complexity.measure(build.model(settings, num_classes=19), (96, 192))
    assert (found["params"], found["macs"]) == (counted.params, counted.macs)
    for part in ("encoder", "decoder", "head"):
        assert found[part]["macs"] == counted.parts[part]["macs"], part
        assert found[part]["params"] == counted.parts[part]["params"], part


def test_the_drawing_fits_80_columns_and_is_plain_in_a_pipe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert explain(["model=ppliteseg", "fusion=add"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    for words in (
        "ppliteseg at 512x1024 (height x width)",
        "11 classes of data=streets",
        "encoder  stdc1",
        "fusion 2  add",
        "1024 x 16 x 32",
        "align_corners=false",
        "inference",
        "decoder_16, weight 1",
    ):
        assert words in shown, words
    assert "…" not in shown


@pytest.mark.slow
@pytest.mark.parametrize("name", systems.names())
def test_every_drawing_fits_80_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain([f"model={name}"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fusion=uafm_spatal"], "did you mean fusion=uafm_spatial?"),
        (["fusion"], "is not key=value"),
        (["decoder.width=3"], "did you mean decoder.widths?"),
        (["model=afformer_tiny", "fusion=add"], "fusion has no effect"),
        (["encoder=timm", "encoder.name=vit_tiny_patch16_224"], "stride"),
        (["model.align_corners=maybe"], "true or false"),
    ],
)
def test_mistakes(arguments: list[str], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        explain(arguments)
    assert expected in str(caught.value)


def test_a_part_that_the_decoder_does_not_use_is_not_drawn(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = explained(capsys, "model=afformer_tiny", "profile.size=[64,64]")
    assert found["choices"]["fusion"] is None and found["choices"]["context"] is None
    assert found["context"] is None and found["fusions"] == []


def test_help() -> None:
    with pytest.raises(SystemExit) as left:
        explain(["--help"])
    assert left.value.code == 0
    assert "C x H x W" in str(explain.__doc__)
