"""timm and smp as encoders: names, layouts, weights."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from torch import nn

from segscape.errors import UserError
from segscape.models.encoders.smp_adapter import SmpEncoder
from segscape.models.encoders.stdc import STDC
from segscape.models.encoders.timm_adapter import TimmEncoder

TIMM = "mobilenetv3_small_050"
KINDS = {
    "stdc": lambda weights=None: STDC(weights=weights),
    "timm": lambda weights=None: TimmEncoder(TIMM, weights=weights),
    "smp": lambda weights=None: SmpEncoder(f"tu-{TIMM}", weights=weights),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def assert_same(a: nn.Module, b: nn.Module) -> None:
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        ours, theirs = a.eval()(image), b.eval()(image)
    for stride in ours:
        torch.testing.assert_close(ours[stride], theirs[stride])


@pytest.mark.parametrize(
    ("encoder", "word", "near"),
    [
        (TimmEncoder, "mobilenetv3_smal_100", "mobilenetv3_small_100"),
        (SmpEncoder, "resnet19", "resnet18"),
        (SmpEncoder, "tu-resnet1888", "tu-resnet18"),
    ],
)
def test_the_error_for_an_unknown_name_gives_the_nearest(
    encoder: type[nn.Module], word: str, near: str
) -> None:
    with pytest.raises(UserError, match=f"{word}'.*\n.*did you mean {near}\\?"):
        encoder(word)


def test_an_unknown_stdc_is_refused() -> None:
    with pytest.raises(UserError, match="stdc3"):
        STDC("stdc3")


def test_channels_last_transformers_become_channels_first() -> None:
    encoder = TimmEncoder("swin_tiny_patch4_window7_224").eval().to("meta")
    features = encoder(torch.empty(1, 3, 96, 128, device="meta"))
    shapes = {stride: tuple(x.shape) for stride, x in features.items()}
    assert shapes == {
        4: (1, 96, 24, 32),
        8: (1, 192, 12, 16),
        16: (1, 384, 6, 8),
        32: (1, 768, 3, 4),
    }


def test_of_features_with_one_stride_the_last_is_kept() -> None:
    encoder = TimmEncoder("vit_tiny_patch16_224").eval()
    assert encoder.spec.channels == {16: 192}
    image = torch.randn(1, 3, 32, 48)
    with torch.no_grad():
        assert torch.equal(encoder(image)[16], encoder.body(image)[-1])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mixer_s16_224", r"\(160\) doesn't match model \(224\)"),
        ("crossvit_tiny_240", "do not follow the size of the image"),
    ],
)
def test_models_of_one_size_are_refused(name: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"{name} cannot serve as an encoder.*{reason}"):
        TimmEncoder(name)


def test_smp_drops_the_image_and_empty_maps() -> None:
    assert SmpEncoder("mit_b0").spec.channels == {4: 32, 8: 64, 16: 160, 32: 256}
    assert SmpEncoder("resnet18", depth=4).spec.strides == (2, 4, 8, 16)
    with pytest.raises(UserError, match="depth"):
        SmpEncoder("resnet18", depth=9)


@kinds
def test_weights_from_a_file(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = KINDS[kind]()
    state = (source if kind == "stdc" else source.body).state_dict()
    if kind == "timm":
        import timm

        torch.manual_seed(1)
        whole = timm.create_model(TIMM)
        state = whole.state_dict()
        source = TimmEncoder(TIMM)
        # The adapter's own names are those of timm without the classifier.
        source.body.load_state_dict({k: state[k] for k in source.body.state_dict()})
    else:
        state = {**state, "fc.weight": torch.ones(2, 2)}
    file = tmp_path / "encoder.pth"
    torch.save(state, file)
    torch.manual_seed(2)
    assert_same(KINDS[kind](str(file)), source)


@kinds
def test_weights_of_something_else_are_refused(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(3)}, file)
    with pytest.raises(UserError, match=r"are not in it \(first: .*of its tensors have no place"):
        KINDS[kind](str(file))


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    state = STDC().state_dict()
    name = "layers.0.conv.weight"
    torch.save({**state, name: torch.zeros(16, 3, 3, 3)}, tmp_path / "thin.pth")
    with pytest.raises(UserError, match=r"1 tensors have another shape \(first: layers\.0\.conv"):
        STDC(weights=str(tmp_path / "thin.pth"))


def test_the_encoder_of_a_whole_network_is_taken(tmp_path: Path) -> None:
    source = STDC()
    state = {f"encoder.{name}": x for name, x in source.state_dict().items()}
    torch.save({**state, "head.conv.weight": torch.zeros(1)}, tmp_path / "network.pth")
    assert_same(STDC(weights=str(tmp_path / "network.pth")), source)


FETCHED = {
    "timm": (lambda: TimmEncoder(TIMM, "imagenet"), "timm/mobilenetv3_small_050.lamb_in1k", ""),
    "smp": (lambda: SmpEncoder("resnet18", "imagenet"), "smp-hub/resnet18.imagenet", ""),
    "timm's in smp": (
        lambda: SmpEncoder(f"tu-{TIMM}", "imagenet"),
        "timm/mobilenetv3_small_050.lamb_in1k",
        f"encoder=timm encoder.name={TIMM} ",
    ),
}


@pytest.mark.parametrize("kind", FETCHED)
def test_a_download_without_a_network_fails_at_once(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    def unreachable(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for proxy in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    build, repository, choice = FETCHED[kind]
    with pytest.raises(UserError, match=r"could not be (fetched|built)") as error:
        build()
    assert f"fetch model.safetensors from https://huggingface.co/{repository} " in str(error.value)
    assert f"its path: {choice}encoder.weights=FILE;" in str(error.value)
    assert constants.HF_HUB_OFFLINE is False


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda: TimmEncoder("mobilenetv2_035", "imagenet"),
            "no pretrained weights for mobilenetv2_035",
        ),
        (lambda: SmpEncoder("resnet18", "imagnet"), "weights for resnet18: imagenet, ssl, swsl"),
    ],
)
def test_weights_that_do_not_exist_are_no_network_trouble(
    build: Callable[[], nn.Module], words: str
) -> None:
    with pytest.raises(UserError, match=f"(?s){words}.*encoder.weights=") as error:
        build()
    assert "fetch" not in str(error.value)
