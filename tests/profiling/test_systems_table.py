"""docs/systems.md agrees with what is counted now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from segscape.config import systems

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_systems_table", ROOT / "scripts" / "make_systems_table.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_system_is_on_the_page_with_a_source_for_every_figure() -> None:
    stated = yaml.safe_load((ROOT / "scripts" / "published.yaml").read_text())
    assert set(stated) == set(systems.names())
    for model, entry in stated.items():
        assert set(entry) <= {"official", "published", "scores"}, model
        for figure in [*entry.get("published", []), *entry.get("scores", [])]:
            assert figure["from"], model
    text = (ROOT / "docs" / "systems.md").read_text()
    assert text.index("scripts/make_systems_table.py") < 200
    for model in systems.names():
        assert f"| {model} |" in text


def test_a_difference_without_a_reason_is_found(script: ModuleType) -> None:
    figure = {"params": 8_028_323, "gmacs": 11.421, "size": [512, 1024]}
    wrong = {"ppliteseg": {"official": figure}}
    assert any("ppliteseg" in line for line in script.comparison(wrong)[1])
    right = {"ppliteseg": {"official": {**figure, "params": 8_028_320}}}
    lines, unexplained = script.comparison(right)
    assert not unexplained and lines[-1].endswith("| none |")
    rounded = {"ppliteseg": {"published": [{**figure, "params": 8.0e6, "from": "README"}]}}
    lines, unexplained = script.comparison(rounded)
    assert not unexplained and lines[-1].endswith("| rounding |")


@pytest.mark.slow
def test_the_page_is_up_to_date(script: ModuleType) -> None:
    assert (ROOT / "docs" / "systems.md").read_text() == script.page()
