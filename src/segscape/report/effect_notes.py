"""What effects cannot tell, in as few sentences as there are reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from segscape.report.figure_keys import label
from segscape.report.records import Effect

Pair = tuple[str, str]
"""A factor and a figure."""


def notes(
    too_fine: Mapping[str, tuple[int, int]],
    together: Sequence[Sequence[str]],
    effects: Sequence[Effect],
    measured: Mapping[Pair, int],
) -> list[str]:
    """Sentences for the reader of effects; one for all choices that share a reason.

    Args:
        too_fine: factors without effects, with the number of their values and of their runs.
        together: groups of factors that always change together.
        effects: those that are shown.
        measured: by factor and figure, how many runs have both.
    """
    found = []
    if too_fine:
        told = [
            f"{name} ({values} values in {runs} runs)" for name, (values, runs) in too_fine.items()
        ]
        found.append(f"No effects of {_listed(told)}: too many values for so few runs.")
    found += [
        f"The effects of {_listed(names)} cannot be told apart: they always change together."
        for names in together
    ]
    pairs = _by_pair(effects)
    if told := _partial(pairs, measured):
        found.append(
            "Effects compare only runs whose partners all options of the choice have met: "
            f"{'; '.join(told)}."
        )
    odd = [pair for pair, members in pairs.items() if not members[0].balanced]
    if odd:
        found.append(
            f"The options of {_listed(_named(odd, pairs))} met different partners: "
            "their means show more than their own effect."
        )
    return found


def _by_pair(effects: Iterable[Effect]) -> dict[Pair, list[Effect]]:
    found: dict[Pair, list[Effect]] = {}
    for effect in effects:
        found.setdefault((effect.factor, effect.figure), []).append(effect)
    return found


def _partial(pairs: Mapping[Pair, Sequence[Effect]], measured: Mapping[Pair, int]) -> list[str]:
    """Of the comparisons that leave runs out: `50 of 57 for encoder and fusion`."""
    groups: dict[tuple[int, int], list[Pair]] = {}
    for pair, members in pairs.items():
        used = sum(effect.runs for effect in members)
        if members[0].balanced and used < measured[pair]:
            groups.setdefault((used, measured[pair]), []).append(pair)
    return [
        f"{used} of {all_} for {_listed(_named(members, pairs))}"
        for (used, all_), members in groups.items()
    ]


def _named(chosen: Sequence[Pair], pairs: Iterable[Pair]) -> list[str]:
    """The factors of the pairs, with their figures where others of their figures are not meant."""
    every = list(pairs)
    found = []
    for factor in dict.fromkeys(factor for factor, _ in chosen):
        own = [figure for name, figure in chosen if name == factor]
        if len(own) == sum(name == factor for name, _ in every):
            found.append(factor)
        else:
            found.append(f"{factor} ({', '.join(label(figure, unit=False) for figure in own)})")
    return found


def _listed(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
