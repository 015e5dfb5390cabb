"""ASPP, DAPPM, the summed pyramid and FCA against independent formulations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import ASPP as TorchvisionASPP

from segscape.models.contexts.aspp import ASPP
from segscape.models.contexts.dappm import DAPPM
from segscape.models.contexts.fca import FCA
from segscape.models.contexts.ppm_sum import PPMSum


def disturbed(module: nn.Module) -> nn.Module:
    """With BatchNorm statistics and weights that are not the initial ones."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim == 1:
            low = 0.5 if name.endswith(("running_var", "weight")) else -0.5
            tensor.copy_(torch.empty_like(tensor).uniform_(low, low + 1, generator=generator))
    return module


@pytest.mark.parametrize("training", [False, True])
def test_aspp_is_that_of_torchvision(training: bool) -> None:
    ours = disturbed(ASPP(12, 8))
    theirs = TorchvisionASPP(12, [6, 12, 18], 8)
    # Same order of layers in both: four branches, the pooled one, the projection.
    theirs.load_state_dict(
        dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)), strict=True
    )
    for module in theirs.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    x = torch.randn(2, 12, 9, 14)
    torch.testing.assert_close(ours.train(training)(x), theirs.train(training)(x))


def test_aspp_at_the_width_of_the_paper() -> None:
    with torch.device("meta"):
        counted = [sum(p.numel() for p in m.parameters()) for m in (ASPP(2048, 256),)]
    branches = 2 * 2048 * 256 + 3 * 9 * 2048 * 256
    assert counted == [branches + 5 * 256 * 256 + 6 * 2 * 256]


def _layer(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """BatchNorm in evaluation by its formula, ReLU, convolution."""
    scale = state[f"{name}.norm.weight"] / (state[f"{name}.norm.running_var"] + 1e-5).sqrt()
    shift = state[f"{name}.norm.bias"] - state[f"{name}.norm.running_mean"] * scale
    normal = (x * scale[:, None, None] + shift[:, None, None]).clamp(min=0)
    weight = state[f"{name}.conv.weight"]
    return F.conv2d(normal, weight, padding=weight.shape[2] // 2)


def _windows(x: Tensor, side: int) -> Tensor:
    """Means over windows of the zero-padded map, one sum of slices after the other."""
    half, (height, width) = side // 2, x.shape[2:]
    padded = F.pad(x, (half, half, half, half))
    rows = range(0, height + 2 * half - side + 1, half)
    columns = range(0, width + 2 * half - side + 1, half)
    means = [
        torch.stack([padded[:, :, i : i + side, j : j + side].sum((2, 3)) for j in columns], -1)
        for i in rows
    ]
    return torch.stack(means, -2) / side**2


def test_dappm_follows_the_formula_of_its_paper() -> None:
    context = disturbed(DAPPM(6, out_channels=5, branch_channels=4)).eval().double()
    state = context.state_dict()
    x = torch.randn(2, 6, 11, 18, dtype=torch.float64)
    # y1 = conv(x); y_i = conv3x3(up(conv(pool_i(x))) + y_(i-1)); conv(y1..y5) + conv(x)
    levels = [_layer(state, "scales.0", x)]
    pooled = [_windows(x, side) for side in (5, 9, 17)] + [x.sum((2, 3), keepdim=True) / (11 * 18)]
    for index, level in enumerate(pooled, start=1):
        up = F.interpolate(_layer(state, f"scales.{index}", level), (11, 18), mode="bilinear")
        levels.append(_layer(state, f"refine.{index - 1}", up + levels[-1]))
    expected = _layer(state, "out", torch.cat(levels, 1)) + _layer(state, "shortcut", x)
    with torch.no_grad():
        torch.testing.assert_close(context(x), expected)


def test_dappm_of_ddrnet_23_slim_has_its_parameters() -> None:
    with torch.device("meta"):
        context = DAPPM(512, out_channels=128, branch_channels=128)
    scales = 5 * (2 * 512 + 512 * 128)
    refine = 4 * (2 * 128 + 9 * 128 * 128)
    compression, shortcut = 2 * 640 + 640 * 128, 2 * 512 + 512 * 128
    assert sum(p.numel() for p in context.parameters()) == 1_073_408
    assert scales + refine + compression + shortcut == 1_073_408


def test_the_summed_pyramid_adds_resized_means() -> None:
    x = torch.randn(2, 3, 12, 18)
    expected = x.clone()
    for side in (1, 2, 3, 6):
        # 12 and 18 are multiples of all bins: means of equal tiles.
        tiles = x.reshape(2, 3, side, 12 // side, side, 18 // side).mean((3, 5))
        expected += F.interpolate(tiles, (12, 18), mode="bilinear", align_corners=True)
    torch.testing.assert_close(PPMSum(3)(x), expected)


def test_the_attention_weighs_channels_by_the_mean_of_the_map() -> None:
    context = FCA(6, hidden=7)
    x = torch.randn(2, 6, 4, 5)
    first, second = (p.detach() for p in context.parameters())
    means = x.flatten(2).sum(2) / 20
    weights = 1 / (1 + torch.exp(-(means @ first.T).clamp(min=0) @ second.T))
    with torch.no_grad():
        torch.testing.assert_close(context(x), torch.einsum("bchw,bc->bchw", x, weights))


@pytest.mark.parametrize("context", [ASPP, DAPPM])
def test_one_image_cannot_train_on_the_mean_of_the_map(context: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        context(6).train()(torch.randn(1, 6, 4, 5))
