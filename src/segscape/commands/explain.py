"""`segscape explain`: the parts of a network with shapes, parameters and multiply-adds."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segscape import build, preflight
from segscape.config import composing, targets
from segscape.errors import UserError
from segscape.profiling.option_costs import SIZE
from segscape.profiling.si_units import format_count

if TYPE_CHECKING:
    from rich.table import Table

    from segscape.build import Auxiliary
    from segscape.profiling.breakdown import Breakdown, Flow

_NARROWEST = 72


@dataclass(frozen=True)
class Explanation:
    """A network and what it is made of.

    Attributes:
        name: of the model.
        choices: option by part; None for a part that its decoder does not use.
        breakdown: shapes and costs.
        heads: the training-only heads as configured, by name.
        settings: the whole configuration.
        size: height and width of the image.
        num_classes: channels of the logits.
        classes_of: option of the data set whose classes they are.
    """

    name: str
    choices: Mapping[str, str | None]
    breakdown: Breakdown
    heads: Mapping[str, Auxiliary]
    settings: Mapping[str, Any]
    size: tuple[int, int]
    num_classes: int
    classes_of: str


def explain(rest: Sequence[str]) -> int:
    """`segscape explain [model=NAME] [fusion=NAME] [KEY=VALUE ...] [--json]`.

    Draws the parts of the network that a run with these arguments would train, with the shapes
    that really arrive (C x H x W), parameters and multiply-adds (MACs). The image has the size of
    profile.size=[H,W], by default 512x1024; the classes are those of data=, as in the run.
    """
    parser = argparse.ArgumentParser("segscape explain", description=explain.__doc__)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for train.py")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    given = parser.parse_intermixed_args(rest)
    found = look(given.overrides)
    if given.json:
        print(json.dumps(as_data(found), indent=2))
        return 0
    from rich.console import Console

    console = Console(highlight=False)
    if console.width < _NARROWEST:
        console.width = _NARROWEST
    name, about = _heading(found)
    console.print(name, style="bold")
    console.print(about)
    console.print(drawing(found))
    return 0


def look(overrides: Sequence[str]) -> Explanation:
    """Build the network on the meta device and run it there.

    Raises:
        UserError: the request is wrong, or the parts do not fit together.
    """
    from omegaconf import OmegaConf

    from segscape.profiling.breakdown import break_down
    from segscape.profiling.meta import made_on_meta

    for text in overrides:
        if "=" not in text and not text.startswith("~"):
            raise UserError(f"{text!r} is not key=value", "e.g. segscape explain model=ppliteseg")
    composed, choices = composing.compose_with_choices(overrides)
    settings: Any = OmegaConf.to_container(composed, resolve=True)
    preflight.check_network(settings, overrides)
    data = build.data(settings, training=False)
    network: Any = made_on_meta(lambda: build.model(settings, num_classes=data.num_classes))
    size = (settings.get("profile") or {}).get("size") or SIZE
    try:
        breakdown = break_down(network, (int(size[0]), int(size[1])))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"the parts do not fit together: {reason}") from error
    unused = [p for p in ("context", "fusion") if p not in network.decoder.uses]
    return Explanation(
        name=str(settings["model"]["name"]),
        choices={p: None if p in unused else choices[p] for p in targets.PARTS},
        breakdown=breakdown,
        heads=build.auxiliary(settings),
        settings=settings,
        size=(int(size[0]), int(size[1])),
        num_classes=data.num_classes,
        classes_of=choices["data"],
    )


def as_data(found: Explanation) -> dict[str, Any]:
    """The explanation as plain data; shapes are [C, H, W]."""
    from segscape.profiling.breakdown import as_data as flow

    breakdown, model = found.breakdown, found.settings["model"]
    return {
        "model": found.name,
        "choices": dict(found.choices),
        "input_size": list(found.size),
        "padded": list(breakdown.image),
        "num_classes": found.num_classes,
        "classes_of": found.classes_of,
        "mean": model["mean"],
        "std": model["std"],
        "channel_order": model.get("channel_order", "rgb"),
        "align_corners": model["align_corners"],
        "params": breakdown.params,
        "macs": breakdown.macs,
        "flops": 2 * breakdown.macs,
        "encoder": flow(breakdown.encoder),
        "context": None if breakdown.context is None else flow(breakdown.context),
        "decoder": flow(breakdown.decoder),
        "fusions": [{"index": i, **flow(one)} for i, one in breakdown.fusions.items()],
        "head": flow(breakdown.head),
        "auxiliary": {
            name: {"weight": found.heads[name].weight, "reads": found.heads[name].reads} | flow(one)
            for name, one in breakdown.auxiliary.items()
        },
    }


def _heading(found: Explanation) -> tuple[str, str]:
    model = found.settings["model"]
    height, width = found.size
    values = "mean {}, std {}".format(
        *(" ".join(f"{v:.3g}" for v in model[key]) for key in ("mean", "std"))
    )
    order = model.get("channel_order", "rgb").upper()
    return (
        f"{found.name} at {height}x{width} (height x width)",
        f"{found.num_classes} classes of data={found.classes_of}; {order}, {values}",
    )


def drawing(found: Explanation) -> Table:
    """The parts as a tree in a table."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("part", no_wrap=True, overflow="ellipsis", header_style="dim")
    table.add_column("C x H x W", no_wrap=True, header_style="dim")
    for title in ("params", "MACs", "share"):
        table.add_column(title, justify="right", no_wrap=True, header_style="dim")
    total = found.breakdown.macs
    branches = [*_branches(found)]
    table.add_row("image", _size(found.breakdown.image), "", "", "")
    for number, branch in enumerate(branches):
        _draw(table, branch, "", number == len(branches) - 1, total)
    return table


@dataclass(frozen=True)
class _Branch:
    """A line of the drawing, and what hangs on it."""

    text: str
    shape: tuple[int, int, int] | None = None
    params: int | None = None
    macs: int | None = None
    below: tuple[_Branch, ...] = ()
    style: str | None = None
    counted: bool = True  # in the total for inference


def _draw(table: Table, branch: _Branch, indent: str, last: bool, total: int) -> None:
    from rich.text import Text

    line = Text(f"{indent}{'└─' if last else '├─'} ", style="dim")
    line.append(branch.text, style=branch.style or "not dim")
    share = ""
    if branch.macs is not None and branch.counted and total:
        share = f"{branch.macs / total:.1%}"
    table.add_row(
        line,
        _size(branch.shape) if branch.shape else "",
        "" if branch.params is None else format_count(branch.params),
        "" if branch.macs is None else format_count(branch.macs),
        share,
    )
    further = indent + ("   " if last else "│  ")
    for number, child in enumerate(branch.below):
        _draw(table, child, further, number == len(branch.below) - 1, total)


def _branches(found: Explanation) -> list[_Branch]:
    breakdown, chosen = found.breakdown, found.choices
    height, width = found.size
    corners = str(bool(found.settings["model"]["align_corners"])).lower()
    branches = [_part("encoder", chosen, breakdown.encoder, _outputs(breakdown.encoder))]
    if breakdown.context is not None:
        context = breakdown.context
        branches.append(_part("context", chosen, context, (), context.outputs["out"]))
    fusions = tuple(
        _Branch(
            f"fusion {index}  {chosen['fusion']}",
            None,
            flow.params,
            flow.macs,
            _levels(flow),
            "cyan",
        )
        for index, flow in breakdown.fusions.items()
    )
    decoder = breakdown.decoder
    branches.append(_part("decoder", chosen, decoder, (*fusions, *_outputs(decoder))))
    branches.append(_part("head", chosen, breakdown.head, (), breakdown.head.outputs["out"]))
    resized = (found.num_classes, height, width)
    branches.append(_Branch(f"logits  align_corners={corners}", resized))
    branches.append(_Branch("inference", None, breakdown.params, breakdown.macs, (), "bold"))
    if breakdown.auxiliary:
        branches.append(_training(found))
    return branches


def _part(
    name: str,
    chosen: Mapping[str, str | None],
    flow: Flow,
    below: tuple[_Branch, ...],
    shape: tuple[int, int, int] | None = None,
) -> _Branch:
    return _Branch(f"{name}  {chosen[name]}", shape, flow.params, flow.macs, below, "bold cyan")


def _outputs(flow: Flow) -> tuple[_Branch, ...]:
    return tuple(
        _Branch(f"stride {key}" if isinstance(key, int) else f"'{key}'", shape)
        for key, shape in flow.outputs.items()
    )


def _levels(flow: Flow) -> tuple[_Branch, ...]:
    """Low, high and out of a fusion; of each call where there are several."""
    lines = []
    for number, call in enumerate(flow.inputs):
        again = f" (call {number + 1})" if len(flow.inputs) > 1 else ""
        lines += [
            _Branch(f"{word}{again}", s) for word, s in zip(("low", "high"), call, strict=False)
        ]
    return (*lines, _Branch("out", flow.outputs["out"])) if lines else (_Branch("never called"),)


def _training(found: Explanation) -> _Branch:
    below = []
    for name, flow in found.breakdown.auxiliary.items():
        head = found.heads[name]
        notes = [] if head.reads == name else [_Branch(f"reads {head.reads}")]
        if head.loss is not None:
            notes.append(_Branch("a loss of its own"))
        text, shape = f"{name}, weight {head.weight:g}", flow.outputs["out"]
        below.append(_Branch(text, shape, flow.params, flow.macs, tuple(notes), counted=False))
    return _Branch("for training only", None, None, None, tuple(below), "dim")


def _size(shape: tuple[int, int, int]) -> str:
    return " x ".join(map(str, shape))
