"""A network part by part: the input and output shapes of each part, and what it costs.

The network runs once on meta tensors with hooks on its parts, so that the shapes are those that
really arrive, and not those that a part announces.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from segscape.models.fusions.cff import GuidedFusion
from segscape.models.segmenter import Segmenter
from segscape.profiling.complexity import MacCounter

Shape = tuple[int, int, int]
"""Channels, height, width."""


@dataclass
class Flow:
    """One part as it ran.

    Attributes:
        params: number of its parameters.
        macs: multiply-adds of all its calls, those of parts inside it included.
        inputs: shapes of each call's inputs; for features by stride, nothing.
        outputs: by stride or name of an extra, "out" for a part with a single output.
    """

    params: int
    macs: int = 0
    inputs: list[tuple[Shape, ...]] = field(default_factory=list)
    outputs: dict[int | str, Shape] = field(default_factory=dict)


@dataclass(frozen=True)
class Breakdown:
    """The parts of a network as they ran, in the order in which they ran.

    Attributes:
        image: shape of the image after padding.
        encoder: with its features as outputs.
        context: None where there is none.
        decoder: its parameters and MACs without those of its fusions.
        fusions: by index in `decoder.fusions`, in the order of their calls.
        head: feature to logits.
        auxiliary: heads that only train, by name.
    """

    image: Shape
    encoder: Flow
    context: Flow | None
    decoder: Flow
    fusions: Mapping[int, Flow]
    head: Flow
    auxiliary: Mapping[str, Flow]

    @property
    def parts(self) -> list[Flow]:
        """Everything that runs for inference."""
        context = [self.context] if self.context else []
        return [self.encoder, *context, self.decoder, *self.fusions.values(), self.head]

    @property
    def params(self) -> int:
        """Parameters for inference."""
        return sum(part.params for part in self.parts)

    @property
    def macs(self) -> int:
        """Multiply-adds for inference."""
        return sum(part.macs for part in self.parts)


def break_down(network: Segmenter, size: tuple[int, int]) -> Breakdown:
    """Run a network on the meta device and record the shapes and costs of its parts.

    Args:
        network: on the meta device, in evaluation mode, with its auxiliary heads.
        size: height and width of the image.
    """
    counter = MacCounter()
    order: list[nn.Module] = []
    flows: dict[nn.Module, Flow] = {}
    parts: dict[str, Any] = {
        "encoder": network.encoder,
        "context": network.context,
        "decoder": network.decoder,
        "head": network.head,
    }
    modules = [m for m in parts.values() if m is not None]
    fusions = list(network.decoder.fusions)
    for module in [*modules, *fusions, *network.auxiliary.values()]:
        flows[module] = Flow(sum(p.numel() for p in module.parameters()))
    height, width = (side + -side % network.encoder.multiple for side in size)
    image = torch.empty(1, 3, height, width, device="meta")
    with ExitStack() as hooks:
        for module, flow in flows.items():
            _record_calls(module, flow, counter, order, hooks)
        with torch.no_grad(), torch.device("meta"), counter:
            network.raw(image, auxiliary=True)
    # In the order of the first call; one that is never called comes last.
    called = dict.fromkeys([*(m for m in order if m in fusions), *fusions])
    inside = {fusions.index(m): flows[m] for m in called}
    decoder = flows[parts["decoder"]]
    decoder.params -= sum(flow.params for flow in inside.values())
    decoder.macs -= sum(flow.macs for flow in inside.values())
    return Breakdown(
        image=(3, height, width),
        encoder=flows[parts["encoder"]],
        context=None if network.context is None else flows[parts["context"]],
        decoder=decoder,
        fusions=inside,
        head=flows[network.head],
        auxiliary={name: flows[head] for name, head in network.auxiliary.items()},
    )


def _record_calls(
    module: nn.Module,
    flow: Flow,
    counter: MacCounter,
    order: list[nn.Module],
    hooks: ExitStack,
) -> None:
    """Record every call of a module until `hooks` is closed."""
    started: list[int] = []

    def before(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        order.append(module)
        started.append(counter.total)
        flow.inputs.append(tuple(_shape(x) for x in inputs if isinstance(x, Tensor)))

    def after(_module: nn.Module, _inputs: Any, output: Any) -> None:
        flow.macs += counter.total - started.pop()
        found = output if isinstance(output, Mapping) else {"out": output}
        flow.outputs = {key: _shape(x) for key, x in found.items()}

    hooks.callback(module.register_forward_pre_hook(before).remove)
    hooks.callback(module.register_forward_hook(after).remove)
    if isinstance(module, GuidedFusion):  # its decoder calls `guided`, which runs no hooks
        original: Any = module.guided

        def guided(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
            before(module, (low, high))
            fused, guide = original(low, high)
            after(module, None, fused)
            return fused, guide

        module.guided = guided  # type: ignore[method-assign]
        hooks.callback(delattr, module, "guided")


def _shape(x: Tensor) -> Shape:
    return x.shape[1], x.shape[2], x.shape[3]


def as_data(flow: Flow) -> dict[str, Any]:
    """A part as plain data, for JSON."""
    return {
        "params": flow.params,
        "macs": flow.macs,
        "inputs": [[list(shape) for shape in call] for call in flow.inputs],
        "outputs": {str(key): list(shape) for key, shape in flow.outputs.items()},
    }
