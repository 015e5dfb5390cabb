"""Parts of the official networks in other networks, and what is refused there."""

from __future__ import annotations

import pytest
import torch

import segscape
from segscape.errors import UserError
from segscape.models.contracts import MissingFeatures

GUIDES = ("decoder_guide_8", "decoder_guide_16")


@pytest.mark.parametrize("encoder", ["afformer_tiny", "resnet18"])
def test_features_of_afformer_suit_pyramid_decoders(encoder: str) -> None:
    model = segscape.create_model("ppliteseg", num_classes=5, encoder=encoder)
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 37, 61)).shape == (1, 5, 37, 61)


def test_head_free_takes_any_stride_of_any_encoder() -> None:
    model = segscape.create_model("afformer_tiny", num_classes=5, encoder="resnet18")
    assert model.head.conv.in_channels == 128
    with pytest.raises(UserError, match="decoder head_free needs features at stride 8"):
        segscape.create_model(
            "afformer_tiny",
            num_classes=5,
            encoder="timm",
            overrides=["encoder.name=vit_tiny_patch16_224"],
        )


def test_enets_decoder_takes_the_indices_of_another_encoder() -> None:
    torch.manual_seed(0)
    model = segscape.create_model("enet", 5, encoder="vgg16_bn").train()
    model(torch.randn(1, 3, 38, 61))["main"].square().mean().backward()
    assert not [
        key
        for key, p in model.named_parameters()
        if p.grad is None and not key.startswith(("encoder.stages.3", "encoder.stages.4"))
    ]


def test_what_enets_decoder_cannot_read_is_named() -> None:
    with pytest.raises(MissingFeatures, match="'pool_4', 'pool_8'") as caught:
        segscape.create_model("enet", 5, encoder="stdc1")
    assert "enet, vgg16, vgg16_bn" in str(caught.value.hint)
    with pytest.raises(UserError, match="fusion has no effect"):
        segscape.create_model("enet", 5, fusion="add")


def test_stride_32_of_espnetv2_is_a_choice() -> None:
    model = segscape.create_model("ppliteseg", num_classes=3, encoder="espnetv2_s10_32")
    model.train()(torch.randn(2, 3, 64, 96))["main"].square().mean().backward()
    assert all(p.grad is not None for p in model.encoder.parameters())
    with pytest.raises(UserError, match="no stride 8 to end at"):
        segscape.create_model("espnetv2_s10", num_classes=3, overrides=["encoder.deepest=8"])
    with pytest.raises(UserError, match="unknown width s=3"):
        segscape.create_model("espnetv2_s10", num_classes=3, overrides=["encoder.s=3.0"])


@pytest.mark.parametrize(
    ("choices", "guides"),
    [
        # UAFM gives no guide of its own: the heads then read the deep inputs unchanged.
        (
            {"fusion": "uafm_spatial"},
            {"decoder_guide_8": (2, 5, 4, 6), "decoder_guide_16": (2, 5, 2, 3)},
        ),
        (
            {"encoder": "stdc1"},
            {"decoder_guide_8": (2, 5, 8, 12), "decoder_guide_16": (2, 5, 4, 6)},
        ),
        (
            {"encoder": "stdc1", "context": "sppm", "fusion": "add"},
            {"decoder_guide_8": (2, 5, 4, 6), "decoder_guide_16": (2, 5, 2, 3)},
        ),
    ],
)
def test_icnets_parts_recombine(
    choices: dict[str, str], guides: dict[str, tuple[int, ...]]
) -> None:
    model = segscape.create_model("icnet_resnet18", num_classes=5, **choices).train()
    logits = model.raw(torch.randn(2, 3, 64, 96), auxiliary=True)
    assert {name: tuple(logits[name].shape) for name in GUIDES} == guides
    sum(x.square().mean() for x in logits.values()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 37, 61)).shape == (1, 5, 37, 61)


def test_icnets_encoder_feeds_another_decoder() -> None:
    model = segscape.create_model("ppliteseg", num_classes=5, encoder="icnet_resnet18").train()
    assert model(torch.randn(2, 3, 64, 96))["decoder_32"].shape == (2, 5, 64, 96)


def test_the_small_images_of_icnet_round_up() -> None:
    model = segscape.create_model("icnet_resnet18", num_classes=5)
    with torch.no_grad():
        features = model.encoder(torch.randn(1, 3, 37, 61))
    sizes = {stride: tuple(x.shape[2:]) for stride, x in features.items()}
    assert sizes == {2: (19, 31), 4: (10, 16), 8: (5, 8), 16: (3, 4), 32: (2, 2)}


def test_any_encoder_and_context_stand_under_pspnets_head() -> None:
    overrides = ["model.auxiliary=null"]
    with torch.device("meta"):
        model = segscape.create_model(
            "pspnet_resnet50", 5, encoder="stdc1", context="sppm", overrides=overrides
        )
        assert model.raw(torch.empty(1, 3, 64, 96))["main"].shape == (1, 5, 2, 3)


def test_what_segnets_decoder_cannot_read_is_named() -> None:
    with pytest.raises(MissingFeatures, match=r"decoder unpool needs .*'pool_2'") as caught:
        segscape.create_model("ppliteseg", 5, decoder="unpool", overrides=["model.auxiliary=null"])
    assert "vgg16, vgg16_bn" in str(caught.value.hint)
    with pytest.raises(UserError, match="fusion has no effect") as refused:
        segscape.create_model("segnet", 5, fusion="add")
    assert "fld" in f"{refused.value.what} {refused.value.hint}"
