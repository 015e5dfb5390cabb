"""The HTML page: what is in the file, and what it does in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from importlib import resources
from pathlib import Path
from typing import Any

import browser as chrome
import pytest
import synthetic_runs

from segscape.report.curves import fitting
from segscape.report.effects import effects
from segscape.report.figure_keys import compared_figures
from segscape.report.page import SCRIPTS, as_json, write_page
from segscape.report.records import Collection, Effect, Run
from segscape.report.rows import rows

pytest.importorskip("vl_convert", reason="segscape[report] is not installed")

ODD = '</script><script>window.broken = 1</script> <b>"&\u2028'


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return synthetic_runs.collection(24, tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def file(collection: Collection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(collection, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chrome.chromium() as found:
        yield found


def data_of(file: Path) -> dict[str, Any]:
    (text,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', file.read_text(), re.DOTALL
    )
    return json.loads(text)


def test_the_page_holds_everything(collection: Collection, file: Path) -> None:
    data = data_of(file)
    assert [run["id"] for run in data["runs"]] == [run.id for run in collection.runs]
    assert data["front"] == list(collection.front)
    assert set(data["varied"]) == set(collection.varied())
    best = max(collection.runs, key=lambda run: run.figures.get("val/miou", 0))
    shown = next(run for run in data["runs"] if run["id"] == best.id)
    assert shown["figures"]["val/miou"] == pytest.approx(best.figures["val/miou"], rel=1e-5)
    assert shown["gallery"][0]["src"].startswith("data:image/webp;base64,")
    assert data["classes"] == list(synthetic_runs.CLASSES)


def test_every_script_is_in_the_page_once(file: Path) -> None:
    folder = resources.files("segscape.report") / "assets"
    assert sorted(SCRIPTS) == sorted(Path(each.name).stem for each in folder.iterdir()
                                     if each.name.endswith(".js"))  # fmt: skip
    assert all(f"page.build{name.title()} = " in file.read_text() for name in ("scatter", "table"))


def test_200_runs_stay_below_five_megabytes(tmp_path: Path) -> None:
    many = synthetic_runs.collection(200, tmp_path / "pictures", epochs=200)
    assert write_page(many, tmp_path / "many.html").stat().st_size < 5_000_000


def test_long_curves_lose_points_but_neither_the_best_nor_the_last() -> None:
    (run,) = synthetic_runs.collection(1, epochs=1000).runs
    scores = [0.5] * 1000
    scores[333], scores[999] = 0.9, 0.4
    long = replace(run, curves={**run.curves, "val/miou": scores})
    (whole,), notes = fitting([long])
    assert whole == long.curves and notes == []

    (kept,), notes = fitting([long], budget=50 * len(long.curves))
    assert kept.keys() == long.curves.keys() and len(notes) == 1
    assert {len(column) for column in kept.values()} <= {*range(40, 51)}
    assert dict(zip(kept["epoch"], kept["val/miou"], strict=True))[334] == 0.9
    assert kept["epoch"][0] == 1 and kept["epoch"][-1] == 1000 and kept["val/miou"][-1] == 0.4

    (few,), notes = fitting([long], budget=20 * len(long.curves))
    assert not [key for key in few if key.startswith("val/iou/")] and len(notes) == 2
    assert 40 < len(few["epoch"]) == len(few["val/miou"])


def test_a_name_that_is_no_utf8_is_shown_somehow(collection: Collection, tmp_path: Path) -> None:
    odd = replace(collection, title="caf\udce9", runs=collection.runs[:1])
    assert data_of(write_page(odd, tmp_path / "odd.html"))["title"] == "caf\udce9"


def test_pictures_keep_to_their_budget_and_go_to_the_best_first(tmp_path: Path) -> None:
    from segscape.report.pictures import galleries

    some = synthetic_runs.collection(12, tmp_path / "pictures", failed=False)
    whole = galleries(some, tmp_path)
    size = len(whole[some.runs[0].id][0]["src"])
    found = galleries(some, tmp_path, budget=5 * size)
    drawn = {id_ for id_, panels in found.items() for panel in panels if panel["src"]}
    assert drawn <= set(some.front) or set(some.front) <= drawn
    assert sum(len(p["src"]) for ps in found.values() for p in ps if p["src"]) <= 5 * size
    # A picture that has changed is read anew.
    first = Path(some.runs[0].gallery[0])
    first.write_bytes(b"no picture")
    assert galleries(some, tmp_path)[some.runs[0].id][0]["src"] is None
    # What is not in the page is linked, relative to it.
    assert whole[some.runs[0].id][0]["file"].startswith("pictures/")


def test_json_in_the_page_may_hold_any_text() -> None:
    value = {"name": ODD, "nan": float("nan"), "third": 1 / 3, "list": (1, None, True)}
    text = as_json(value)
    assert "<" not in text and "\u2028" not in text
    expected = {"name": ODD, "nan": None, "third": 0.333333333, "list": [1, None, True]}
    assert json.loads(text) == expected


# -- in the browser -----------------------------------------------------------------------------


def visible(page: Any) -> list[str]:
    return page.eval_on_selector_all(
        "#runs tbody tr[data-id]", "rows => rows.filter(r => !r.hidden).map(r => r.dataset.id)"
    )


def test_every_section_is_drawn(browser: Any, file: Path, collection: Collection) -> None:
    with chrome.opened(browser, file) as page:
        for section in ("front", "cost", "effects", "curves", "classes", "gallery", "runs"):
            page.locator(f"#{section}").scroll_into_view_if_needed()
            chrome.ready(page)
            assert page.locator(f"#{section}").is_visible()
        for section in ("front", "cost", "curves"):
            assert page.locator(f"#{section} :is(canvas, svg)").count() >= 1, section
        assert len(visible(page)) == len(collection.runs)
        assert page.locator("#gallery img").first.evaluate("image => image.naturalWidth") > 0


def test_points_hover_and_are_pinned(browser: Any, file: Path, collection: Collection) -> None:
    run = next(run for run in collection.runs if run.id == collection.front[0])
    with chrome.opened(browser, file) as page:
        place = page.evaluate("id => window.page.point(id)", run.id)
        page.mouse.move(place["x"], place["y"])
        tip = page.locator("#vg-tooltip-element, #tooltip")
        tip.first.wait_for(state="visible")
        assert run.name in tip.first.inner_text()
        page.mouse.click(place["x"], place["y"])
        page.locator("#details").get_by_text(run.name).first.wait_for(state="visible")


def test_a_curve_names_its_run_when_it_is_hovered(browser: Any, file: Path) -> None:
    with chrome.opened(browser, file) as page:
        page.locator("#curves").scroll_into_view_if_needed()
        chart = page.locator("#curves canvas")
        chart.wait_for()
        chart.scroll_into_view_if_needed()
        chrome.ready(page)
        box = chart.bounding_box()
        for x in (0.5, 0.51):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + 0.4 * box["height"])
        tip = page.locator("#vg-tooltip-element")
        tip.wait_for(state="visible")
        told = re.match(r"run\s+(.*)\s+epoch\s+(\d+)\s+mIoU\s+(.*) %", tip.inner_text())
        run = next(run for run in data_of(file)["runs"] if run["name"] == told[1])
        score = run["curves"]["val/miou"][int(told[2]) - 1]
        assert float(told[3]) == pytest.approx(100 * score, abs=0.006)


def test_a_run_that_has_not_finished_is_hollow_and_can_be_seen(
    browser: Any, collection: Collection, tmp_path: Path
) -> None:
    runs = [replace(run, state="pruned") for run in collection.runs if run.state == "finished"]
    pruned = replace(collection, runs=runs[:3], front=(), effects=())
    with chrome.opened(browser, write_page(pruned, tmp_path / "pruned.html")) as page:
        marks = page.locator("#scatter path[aria-roledescription=point]")
        drawn = marks.evaluate_all(
            "all => all.map(m => [m.getAttribute('stroke'), m.getAttribute('fill-opacity')])"
        )
        assert len(drawn) == 3
        assert all(stroke.startswith("#") and fill == "0" for stroke, fill in drawn), drawn


def test_filters_filter_everything(browser: Any, file: Path, collection: Collection) -> None:
    with chrome.opened(browser, file) as page:
        page.locator('#filters input[data-key="encoder"][data-value="stdc2"]').check()
        chrome.ready(page)
        wanted = [run.id for run in collection.runs if run.choices["encoder"] == "stdc2"]
        assert sorted(visible(page)) == sorted(wanted)
        assert str(len(wanted)) in page.locator("#count").inner_text()
        page.locator("#filters input#search").fill("nothing has this name")
        chrome.ready(page)
        assert visible(page) == []
        name = next(run.name for run in collection.runs if run.id == wanted[0])
        page.locator("#filters input#search").fill(name)
        chrome.ready(page)
        assert visible(page) == [wanted[0]]


def test_axes_can_be_chosen(browser: Any, file: Path, collection: Collection) -> None:
    with chrome.opened(browser, file) as page:
        id_ = collection.front[0]
        before = page.evaluate("id => window.page.point(id)", id_)
        page.locator("#x-axis").select_option("model/macs")
        chrome.ready(page)
        assert page.evaluate("id => window.page.point(id)", id_)["x"] != before["x"]


def test_the_table_sorts(browser: Any, file: Path, collection: Collection) -> None:
    with chrome.opened(browser, file) as page:
        best = max(collection.runs, key=lambda run: run.figures.get("val/miou", 0))
        assert visible(page)[0] == best.id
        header = page.locator("#runs thead button", has_text="latency").first
        header.click()
        fast = min(collection.runs, key=lambda run: run.figures.get("latency/p50_ms", 1e9))
        slow = max(collection.runs, key=lambda run: run.figures.get("latency/p50_ms", 0))
        assert visible(page)[0] in (fast.id, slow.id)


@pytest.mark.parametrize("width", [375, 768])
def test_a_phone_needs_no_sideways_scrolling(browser: Any, file: Path, width: int) -> None:
    with chrome.opened(browser, file, width=width, height=800) as page:
        for _ in range(20):
            page.mouse.wheel(0, 800)
        chrome.ready(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_follows_the_system_and_the_button(browser: Any, file: Path) -> None:
    def background(page: Any) -> int:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(each) for each in re.findall(r"\d+", colour)[:3])

    with chrome.opened(browser, file, scheme="dark") as page:
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        dark = background(page)
        page.locator("#theme").click()
        chrome.ready(page)
        assert page.evaluate("document.documentElement.dataset.theme") == "light"
        assert background(page) > dark + 300


def test_a_watched_page_shows_what_is_new_and_keeps_what_was_chosen(
    browser: Any, collection: Collection, tmp_path: Path
) -> None:
    fewer = replace(collection, runs=collection.runs[:-1])
    file = write_page(fewer, tmp_path / "live.html", refresh_s=0.5)
    with chrome.opened(browser, file) as page:
        selector = '#filters input[data-key="encoder"][data-value="stdc1"]'
        box = page.locator(selector)
        # In one step, between two of its reloads; with the focus in a box there are none.
        page.wait_for_function(
            """selector => {
                if (!window.page || !window.page.ready) return false;
                const box = document.querySelector(selector);
                box.focus();
                if (!box.checked) box.click();
                return true;
            }""",
            arg=selector,
        )
        chrome.ready(page)
        box.blur()
        write_page(collection, file)
        total = len(collection.runs)
        page.locator("#count").get_by_text(f"of {total} runs").wait_for()
        chrome.ready(page)
        assert box.is_checked()
        wanted = {run.id for run in collection.runs if run.choices["encoder"] == "stdc1"}
        assert {*visible(page)} == wanted
        assert page.locator("#refresh").is_hidden()


def test_odd_texts_do_nothing(browser: Any, collection: Collection, tmp_path: Path) -> None:
    runs = [replace(run, name=f"{ODD} {run.name}") for run in collection.runs[:5]]
    odd = replace(collection, title=ODD, runs=runs, warnings=[ODD], effects=(), front=())
    with chrome.opened(browser, write_page(odd, tmp_path / "odd.html")) as page:
        assert page.evaluate("window.broken") is None
        assert ODD.split("\u2028")[0] in page.locator("#title").inner_text()
        assert len(visible(page)) == 5


def test_runs_without_figures_are_listed(
    browser: Any, collection: Collection, tmp_path: Path
) -> None:
    bare = [
        replace(run, figures={}, curves={}, gallery=(), state="failed") for run in collection.runs
    ]
    empty = replace(collection, runs=bare[:3], effects=(), front=())
    with chrome.opened(browser, write_page(empty, tmp_path / "bare.html")) as page:
        assert len(visible(page)) == 3
    nothing = Collection("nothing", ())
    with chrome.opened(browser, write_page(nothing, tmp_path / "nothing.html")) as page:
        assert visible(page) == []


# -- several seeds ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seeds() -> Collection:
    """Five seeds of every design; parameters, which do not simply add up, and p90 are the same."""
    made = synthetic_runs.collection(200, epochs=2)

    def repeated(figures: Mapping[str, float]) -> dict[str, float]:
        macs = figures["model/macs"]
        return {**figures, "model/params": macs**0.7, "latency/p90_ms": macs / 1e9}

    runs = [
        replace(run, figures=repeated(run.figures)) if run.figures else run for run in made.runs
    ]
    return replace(made, runs=runs, effects=effects(runs, made.varied(), ["val/miou"])[0])


@pytest.fixture(scope="module")
def seeds_file(seeds: Collection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(seeds, tmp_path_factory.mktemp("seeds") / "report.html")


def front_note(page: Any) -> str:
    chrome.ready(page)
    return page.locator("#front-note").inner_text()


def test_means_over_seeds_are_shown_first_and_single_runs_on_request(
    browser: Any, seeds_file: Path, seeds: Collection
) -> None:
    designs = rows(seeds, group_seeds=True)
    one, two = designs[0].ids[:2]
    with chrome.opened(browser, seeds_file) as page:
        found = page.evaluate(
            "page.designs(page.visible).map(d => [d.ids, d.name, d.figure('val/miou')])"
        )
        assert [ids for ids, _, _ in found] == [list(row.ids) for row in designs]
        for (_, name, shown), row in zip(found, designs, strict=True):
            assert name == row.name and shown["n"] == row.count
            assert shown["mean"] == pytest.approx(row.figures["val/miou"])
            assert shown["spread"] == pytest.approx(row.spreads["val/miou"], rel=1e-5)
        best = sum(row.on_front for row in designs)
        assert f"Shown: means over seeds. {best} of {len(designs)}" in re.sub(
            r"A point is .*?: ", "", front_note(page)
        )
        place = page.evaluate("id => page.point(id)", one)
        assert place == page.evaluate("id => page.point(id)", two)
        page.mouse.move(place["x"], place["y"])
        tip = page.locator("#vg-tooltip-element")
        tip.wait_for(state="visible")
        assert "(n = 5)" in tip.inner_text() and "1, 2, 3, 4, 5" in tip.inner_text()
        page.mouse.click(place["x"], place["y"])
        chrome.ready(page)
        assert page.evaluate("page.pins") == list(designs[0].ids)

        page.locator("#points").select_option("runs")
        assert "Shown: single runs." in front_note(page)
        done = sum(run.state == "finished" for run in seeds.runs)
        assert f"{len(seeds.front)} of {done} finished runs" in front_note(page)
        places = [page.evaluate("id => page.point(id)", id_) for id_ in (one, two)]
        assert places[0] != places[1]

        page.locator("#points").select_option("means")
        page.locator("#x-axis").select_option("latency/p90_ms")  # without any spread
        chrome.ready(page)
        place = page.evaluate("id => page.point(id)", one)
        page.mouse.move(place["x"], place["y"])
        tip.get_by_text(f"{designs[0].figures['latency/p90_ms']:.1f} ms (n = 5)").wait_for()


def test_effects_follow_the_filters_and_are_those_of_the_report(
    browser: Any, seeds_file: Path, seeds: Collection
) -> None:
    figures = compared_figures(seeds.objectives)

    def agree(found: list[dict[str, Any]], runs: list[Run]) -> list[Effect]:
        expected = effects(runs, seeds.varied(), figures)[0]
        assert len(found) == len(expected) > 10
        for shown, effect in zip(found, expected, strict=True):
            for name, value in asdict(effect).items():
                # an interval may be a small difference of large numbers
                close = value if isinstance(value, str | bool) else pytest.approx(value, rel=1e-6)
                assert shown[name] == close, (effect, shown)
        return expected

    with chrome.opened(browser, seeds_file) as page:
        page.locator("#effects").scroll_into_view_if_needed()
        agree(page.evaluate("page.effectsOf(page.runs)"), list(seeds.runs))
        assert "Of all finished runs." in page.locator("#effects .note").inner_text()
        for encoder in ("stdc1", "stdc2"):
            page.locator(f'#filters input[data-key="encoder"][data-value="{encoder}"]').check()
        page.locator('#filters input[data-key="fusion"][data-value="add"]').check()
        chrome.ready(page)
        kept = {*visible(page)}
        subset = [run for run in seeds.runs if run.id in kept]
        assert 0 < len(subset) < 30
        (first, *_) = agree(page.evaluate("page.effectsOf(page.visible)"), subset)
        page.locator("#effects").scroll_into_view_if_needed()
        chrome.ready(page)
        assert "finished runs that the filters leave" in page.locator("#effects").inner_text()
        told = page.locator("#effects table").first.text_content()
        assert f"{100 * first.mean:.2f} %" in told
        assert f"{100 * first.low:.2f} to {100 * first.high:.2f}" in told
        page.locator("#filters input#search").fill("nothing has this name")
        chrome.ready(page)
        assert "No choice varies" in page.locator("#effects").inner_text()
