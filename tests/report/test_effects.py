from dataclasses import replace

import pytest
from scipy import stats

from segscape.report.effects import effects
from segscape.report.records import Run

SCORE, COST = "val/miou", "latency/p50_ms"


def run(miou, seed=1, state="finished", settings=None, **choices):
    words = [*choices.values(), str(seed), str(settings)]
    return Run(
        id="-".join(words),
        name=" ".join(words),
        path="",
        state=state,
        design="-".join(choices.values()),
        seed=seed,
        choices=choices,
        settings=settings or {},
        figures={} if miou is None else {SCORE: miou},
    )


def by_option(found):
    return {effect.option: effect for effect in found}


def test_a_complete_grid_gives_marginal_means_and_the_intervals_of_the_additive_model():
    table = {("a", "x"): 0.50, ("a", "y"): 0.61, ("b", "x"): 0.54, ("b", "y"): 0.63}
    runs = [run(value, encoder=e, fusion=f) for (e, f), value in table.items()]
    found = by_option(effects(runs, ["encoder", "fusion"], [SCORE])[0])
    assert set(found) == {"a", "b", "x", "y"}
    assert found["x"].mean == pytest.approx(0.52)
    assert found["y"].mean == pytest.approx(0.62)
    assert found["a"].mean == pytest.approx(0.555)
    # rests of the additive model: +-0.005 in all four cells, one degree of freedom
    half = stats.t.ppf(0.975, 1) * (4 * 0.005**2 / 1 / 2) ** 0.5
    assert found["x"].high - found["x"].mean == pytest.approx(half)
    assert found["x"].mean - found["x"].low == pytest.approx(half)
    assert all(effect.balanced and effect.runs == 2 for effect in found.values())


def test_what_the_partners_do_is_no_part_of_the_uncertainty():
    # encoders differ by far more than fusions, and the fusions by the same under each
    runs = [
        run(base + gain, encoder=e, fusion=f)
        for e, base in (("a", 0.2), ("b", 0.5), ("c", 0.8))
        for f, gain in (("x", 0.0), ("y", 0.03))
    ]
    found = by_option(effects(runs, ["encoder", "fusion"], [SCORE])[0])
    assert found["y"].low > found["x"].high


def test_seeds_that_all_options_share_are_compared_seed_by_seed():
    # the seeds differ by 0.1, the options always by 0.02
    runs = [
        run(0.5 + 0.1 * seed + gain, seed, fusion=f)
        for seed in (1, 2, 3)
        for f, gain in (("x", 0.0), ("y", 0.02))
    ]
    found = by_option(effects(runs, ["fusion"], [SCORE])[0])
    assert found["y"].mean - found["x"].mean == pytest.approx(0.02)
    assert found["x"].high < found["y"].low


def test_seeds_that_differ_between_options_are_repetitions():
    values = {"x": [0.50, 0.52, 0.54], "y": [0.60, 0.63]}
    seeds = iter(range(1, 10))
    runs = [run(v, next(seeds), fusion=f) for f, each in values.items() for v in each]
    found = by_option(effects(runs, ["fusion"], [SCORE])[0])
    pooled = (0.0008 + 0.00045) / 3
    half = stats.t.ppf(0.975, 3) * (pooled / 3) ** 0.5
    assert found["x"].high - found["x"].mean == pytest.approx(half)
    assert found["y"].runs == 2 and found["y"].balanced


def test_a_figure_that_seeds_only_repeat_is_no_surer_with_more_of_them():
    table = {("a", "x"): 5.0, ("a", "y"): 6.1, ("b", "x"): 5.4, ("b", "y"): 6.3}

    def found(seeds):
        runs = [
            run(value, seed, encoder=e, fusion=f)
            for (e, f), value in table.items()
            for seed in seeds
        ]
        return by_option(effects(runs, ["encoder", "fusion"], [SCORE])[0])

    once, thrice = found([1]), found([1, 2, 3])
    assert thrice["x"].runs == 3 * once["x"].runs
    for option, effect in thrice.items():
        assert (effect.low, effect.high) == (once[option].low, once[option].high) != (None, None)
    alone = effects([run(v, s, fusion=f) for f, v in (("x", 5.0), ("y", 6.0)) for s in (1, 2)],
                    ["fusion"], [SCORE])[0]  # fmt: skip
    assert [(effect.runs, effect.low) for effect in alone] == [(2, None), (2, None)]


def test_a_missing_cell_leaves_the_blocks_that_are_whole_and_says_so():
    runs = [
        run(value, encoder=e, fusion=f)
        for e, f, value in (
            ("a", "x", 0.5),
            ("a", "y", 0.6),
            ("b", "x", 0.5),
            ("b", "y", 0.6),
            ("c", "y", 0.9),
        )
    ]
    made, notes = effects(runs, ["encoder", "fusion"], [SCORE])
    found = by_option([effect for effect in made if effect.factor == "fusion"])
    assert found["y"].mean == pytest.approx(0.6)  # without the 0.9 that x never met
    assert found["y"].balanced and found["y"].runs == 2
    assert notes == [
        "Effects compare only runs whose partners all options of the choice have met: "
        "3 of 5 for encoder; 4 of 5 for fusion."
    ]


def test_options_without_common_partners_are_not_called_balanced():
    runs = [
        run(0.5, encoder="a", fusion="x"),
        run(0.7, encoder="b", fusion="y"),
        run(0.6, encoder="c", fusion="x"),
    ]
    made, notes = effects(runs, ["encoder", "fusion"], [SCORE])
    assert made and not any(effect.balanced for effect in made)
    assert any("different partners" in note for note in notes)


def test_one_run_per_option_has_no_interval():
    runs = [run(0.5, fusion="x"), run(0.6, fusion="y")]
    found = by_option(effects(runs, ["fusion"], [SCORE])[0])
    assert found["x"].mean == 0.5 and found["x"].low is None and found["x"].high is None


def test_runs_that_have_not_finished_do_not_count():
    runs = [run(0.5, fusion="x"), run(0.6, fusion="y"), run(0.1, 2, "running", fusion="x")]
    found = by_option(effects(runs, ["fusion"], [SCORE])[0])
    assert found["x"].mean == 0.5 and found["x"].runs == 1


def test_parts_that_only_change_with_the_model_are_no_choices_of_their_own():
    runs = [
        run(0.5, model="m1", encoder="a", fusion="x"),
        run(0.6, model="m2", encoder="b", fusion="x"),
        run(0.7, model="m2", encoder="b", fusion="y"),
        run(0.7, model="m1", encoder="a", fusion="y"),
    ]
    made, notes = effects(runs, ["model", "encoder", "fusion"], [SCORE])
    assert {effect.factor for effect in made} == {"model", "fusion"}
    assert notes == []


def test_choices_that_always_change_together_are_named():
    runs = [
        run(0.5, encoder="a", fusion="x"),
        run(0.7, encoder="b", fusion="y"),
    ]
    _, notes = effects(runs, ["encoder", "fusion"], [SCORE])
    assert any("encoder and fusion cannot be separated" in note for note in notes)


def test_choices_that_share_a_reason_share_a_sentence():
    grid = [(e, f, c) for e in "ab" for f in "xy" for c in "mn"]
    runs = [
        run(0.5 + 0.01 * n + 0.003 * (n % 3), encoder=e, fusion=f, context=c)
        for n, (e, f, c) in enumerate(grid[:-1])
    ]
    _, notes = effects(runs, ["encoder", "fusion", "context"], [SCORE])
    assert notes == [
        "Effects compare only runs whose partners all options of the choice have met: "
        "6 of 7 for encoder, fusion and context."
    ]
    # a figure that some runs lack has counts of its own
    some = [replace(r, figures={**r.figures, COST: 5.0 + n}) for n, r in enumerate(runs[:-1])]
    _, notes = effects([*some, runs[-1]], ["encoder", "fusion", "context"], [SCORE, COST])
    assert len(notes) == 1 and "6 of 7 for encoder (mIoU)" in notes[0]
    assert "4 of 6 for encoder (latency p50)" in notes[0]


def test_a_setting_that_is_different_in_every_run_has_no_effects():
    runs = [run(0.5 + n / 99, fusion="x", settings={"optim.lr": n / 1000}) for n in range(1, 6)]
    made, notes = effects(runs, ["optim.lr"], [SCORE])
    assert made == []
    assert notes == [
        "No effects of optim.lr (5 values in 5 runs): too many values for so few runs."
    ]


def test_a_setting_with_few_values_is_a_choice():
    runs = [run(0.5 + lr, settings={"optim.lr": lr}) for lr in (0.01, 0.02)]
    assert {effect.option for effect in effects(runs, ["optim.lr"], [SCORE])[0]} == {"0.01", "0.02"}


def test_a_figure_that_never_changes_has_no_effects():
    runs = [run(0.5, fusion="x"), run(0.5, fusion="y")]
    assert effects(runs, ["fusion"], [SCORE]) == ([], [])


def test_runs_under_other_conditions_are_no_partners():
    runs = [run(0.5, fusion="x"), run(0.6, fusion="y")]
    odd = replace(run(0.1, 2, fusion="x"), environment={"void": "count"})
    found = by_option(effects([*runs, odd], ["fusion"], [SCORE])[0])
    assert found["x"].mean == 0.5 and found["x"].runs == 1
    # a setting that only one run has, too
    odd = run(0.1, 1, settings={"data.size": [64, 128]}, fusion="x")
    found = by_option(effects([*runs, odd], ["fusion", "data.size"], [SCORE])[0])
    assert found["x"].mean == 0.5 and found["x"].balanced


def test_models_are_compared_with_all_that_they_decide():
    runs = [
        run(0.5 + gain, seed, model=m, encoder=e)
        for seed in (1, 2)
        for m, e, gain in (("m1", "a", 0.0), ("m2", "b", 0.1))
    ]
    found = by_option(effects(runs, ["model", "encoder"], [SCORE])[0])
    assert set(found) == {"m1", "m2"} and found["m2"].balanced
