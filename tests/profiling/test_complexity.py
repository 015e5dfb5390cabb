"""Counts against figures worked out by hand, and against published ones."""

from __future__ import annotations

import sys
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segscape.errors import UserError
from segscape.profiling.complexity import measure


class Attention(nn.Module):
    """(B, C, H, W) as one sequence attending to itself with a number of heads."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)
        return F.scaled_dot_product_attention(tokens, tokens, tokens)


class Gram(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        return torch.bmm(flat, flat.transpose(1, 2))


class Pixelwise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.permute(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("module", "channels", "size", "macs"),
    [
        # out pixels x out channels x in channels x kernel
        (nn.Conv2d(3, 64, 3, padding=1), 3, (512, 1024), 512 * 1024 * 64 * 3 * 9),
        (nn.Conv2d(3, 7, 3, stride=2, padding=1), 3, (9, 12), 5 * 6 * 7 * 3 * 9),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), 8, (10, 12), 10 * 12 * 8 * 9),
        (nn.Conv2d(8, 12, 1, groups=4), 8, (10, 12), 10 * 12 * 12 * 2),
        # each input pixel is spread over the kernel
        (nn.ConvTranspose2d(6, 4, 2, stride=2), 6, (5, 7), 5 * 7 * 6 * 4 * 4),
        (nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2), 6, (5, 7), 5 * 7 * 6 * 2 * 4),
        (Pixelwise(), 8, (4, 6), 4 * 6 * 8 * 5),
        (Gram(), 16, (4, 6), 16 * 16 * 24),
        # 4 heads of 64 over 32 x 32 tokens: scores, then sums of values, n * n * d each
        (Attention(4), 256, (32, 32), 2 * 4 * 1024 * 1024 * 64),
    ],
    ids=[
        *("conv", "stride", "depthwise", "grouped", "transposed", "transposed_grouped"),
        *("linear", "bmm", "attention"),
    ],
)
def test_one_operator(module: nn.Module, channels: int, size: tuple[int, int], macs: int) -> None:
    counted = measure(module, size, channels=channels)
    assert counted.macs == macs
    assert counted.flops == 2 * macs
    assert counted.params == sum(p.numel() for p in module.parameters())
    assert measure(module, size, batch=3, channels=channels).macs == 3 * macs


def test_deformable_convolution_counts_like_a_plain_one() -> None:
    ops = pytest.importorskip("torchvision.ops")

    class Deformable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.offset = nn.Conv2d(8, 18, 3, padding=1)
            self.conv = ops.DeformConv2d(8, 16, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x, self.offset(x))

    assert measure(Deformable(), (10, 12), channels=8).macs == 10 * 12 * 8 * 9 * (18 + 16)


class Toy(nn.Module):
    """Encoder, decoder with a fusion inside, head; one weight shared, one parameter loose."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"stem": nn.Conv2d(3, 4, 1, bias=False)})
        self.decoder = nn.ModuleDict(
            {
                "before": nn.Conv2d(4, 4, 1, bias=False),
                "fusions": nn.ModuleList([nn.Conv2d(4, 4, 3, padding=1, bias=False)]),
            }
        )
        self.head = nn.Conv2d(4, 4, 1, bias=False)
        self.head.weight = self.decoder["before"].weight
        self.extra = nn.Conv2d(4, 9, 1)
        self.scale = nn.Parameter(torch.ones(5))

    def strip_auxiliary(self) -> Toy:
        self.extra = None
        return self

    def parts(self) -> dict[str, list[nn.Module]]:
        fusions = list(self.decoder["fusions"])
        return {
            "encoder": [self.encoder],
            "decoder": [self.decoder],
            "fusion": fusions,
            "head": [self.head],
        }

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        x = F.relu(self.encoder["stem"](x))
        x = self.decoder["fusions"][0](self.decoder["before"](x))
        y = F.relu_(self.head(x))
        flat = y.flatten(2)
        outside = torch.bmm(flat, flat.transpose(1, 2))
        return {"main": y, "extra": self.extra(x)} if self.training else y + outside.mean()


def test_parts() -> None:
    counted = measure(Toy(), (6, 8))
    pixels = 6 * 8
    assert counted.parts == {
        "encoder": {"params": 12, "macs": pixels * 12},
        "decoder": {"params": 16, "macs": pixels * 16},  # its weight is also the head's
        "fusion": {"params": 144, "macs": pixels * 144},
        "head": {"params": 0, "macs": pixels * 16},
        "other": {"params": 5, "macs": pixels * 16},
    }
    assert counted.params == sum(part["params"] for part in counted.parts.values()) == 177
    assert counted.macs == sum(part["macs"] for part in counted.parts.values())
    assert counted.uncounted == {"relu": 2, "add": 1, "mean": 1}


def test_a_part_that_lists_its_children_keeps_its_own_work() -> None:
    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fusions = nn.ModuleList([nn.Conv2d(3, 3, 1, bias=False)])
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor) -> Tensor:
            flat = self.fusions[0](x).flatten(2)
            return self.scale * torch.bmm(flat, flat.transpose(1, 2))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = Decoder()

        def forward(self, x: Tensor) -> Tensor:
            return self.decoder(x)

        def parts(self) -> dict[str, list[nn.Module]]:
            return {"decoder": [], "fusion": list(self.decoder.fusions)}

    assert measure(Net(), (4, 6)).parts == {
        "decoder": {"params": 1, "macs": 9 * 24},
        "fusion": {"params": 9, "macs": 24 * 9},
    }


def test_keys() -> None:
    keys = measure(Toy(), (6, 8)).as_keys()
    assert keys["model/input_size"] == [6, 8]
    assert keys["model/flops"] == 2 * keys["model/macs"]
    assert keys["model/macs/fusion"] == 48 * 144
    assert keys["model/params/decoder"] == 16


def test_the_model_is_not_changed() -> None:
    model = Toy().train()
    model.encoder["stem"].eval()
    called: list[int] = []
    model.register_forward_hook(lambda *_: called.append(1))
    extra = model.extra
    before = {name: (id(p), p.device, p.clone()) for name, p in model.named_parameters()}
    random = torch.random.get_rng_state()

    measure(model, (6, 8))

    assert model.training
    assert not model.encoder["stem"].training
    assert model.extra is extra
    assert called == []
    assert len(model.head._forward_pre_hooks) == 0
    assert torch.equal(torch.random.get_rng_state(), random)
    for name, parameter in model.named_parameters():
        identity, device, value = before[name]
        assert id(parameter) == identity
        assert parameter.device == device
        assert parameter.requires_grad
        assert torch.equal(parameter, value)


def test_a_graph_that_needs_values_is_refused() -> None:
    class Peeks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum().item() > 0 else -x

    with pytest.raises(UserError, match="cannot be counted"):
        measure(Peeks(), (4, 4))
    with pytest.raises(UserError, match="3 x 0 x 4 values"):
        measure(Gram(), (0, 4))


def test_lazy_parameters_are_refused() -> None:
    with pytest.raises(UserError, match="lazy"):
        measure(nn.LazyConv2d(4, 1), (4, 4))


def test_compiled_and_plain_count_the_same() -> None:
    plain = nn.Conv2d(3, 4, 1)
    assert measure(torch.compile(plain), (4, 4)) == measure(plain, (4, 4))


@pytest.mark.parametrize(
    ("variant", "widths", "size", "params", "gmacs"),
    [
        ("stdc1", (32, 64, 128), (512, 1024), 8_028_320, 11.421),
        ("stdc1", (32, 64, 128), (768, 1536), 8_028_320, 25.694),
        ("stdc1", (32, 64, 128), (1024, 2048), 8_028_320, 45.676),
        ("stdc2", (64, 96, 128), (512, 1024), 12_234_752, 19.228),
        ("stdc2", (64, 96, 128), (1024, 2048), 12_234_752, 76.902),
    ],
)
def test_ppliteseg(
    variant: str, widths: tuple[int, ...], size: tuple[int, int], params: int, gmacs: float
) -> None:
    """Figures of PaddleSeg's graph; its three fixed scales are no parameters here."""
    from segscape.models.contexts.sppm import SPPM
    from segscape.models.decoders.fld import FLD
    from segscape.models.encoders.stdc import STDC
    from segscape.models.fusions.uafm import UAFMSpatial
    from segscape.models.heads.seg import SegHead
    from segscape.models.segmenter import assemble

    decoder = partial(FLD, widths=widths)
    model = assemble(STDC(variant), SPPM, decoder, UAFMSpatial, SegHead, num_classes=19)
    counted = measure(model, size)
    assert counted.params == params
    assert counted.macs / 1e9 == pytest.approx(gmacs, rel=5e-3)
    assert set(counted.parts) == {"encoder", "context", "decoder", "fusion", "head"}
    assert counted.parts["fusion"]["macs"] > 0


def test_importing_the_environment_imports_no_torch() -> None:
    import subprocess

    code = "import sys, segscape.runs.environment; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
