"""torchvision's classifiers fill our encoders, and the features are theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from segscape.errors import UserError
from segscape.models.encoders.resnet import ResNet
from segscape.models.encoders.vgg import VGG
from segscape.models.weights.importer import detect, infer_choices, load_official


def randomised(model: nn.Module) -> nn.Module:
    """Statistics and affine values that a mix-up of layers would show."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, 0, 0.2)
    return model.eval()


def torchvision_vgg(batch_norm: bool) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """Its features, and the state dict of the whole with a classifier of a few values."""
    vgg = torchvision.models.vgg
    features = randomised(vgg.make_layers(vgg.cfgs["D"], batch_norm))
    tensors = {f"features.{name}": tensor for name, tensor in features.state_dict().items()}
    tensors |= {f"classifier.{i}.weight": torch.zeros(2, 2) for i in (0, 3, 6)}
    return features, tensors


@pytest.mark.parametrize(("name", "batch_norm"), [("vgg16", False), ("vgg16_bn", True)])
def test_vgg_gives_torchvisions_features(name: str, batch_norm: bool) -> None:
    theirs, tensors = torchvision_vgg(batch_norm)
    ours = VGG(batch_norm).eval()
    assert infer_choices(tensors) == {"encoder": name}
    report = load_official(ours, tensors, "vgg")
    assert all(key.startswith("classifier.") for key in report.ignored)
    image = torch.randn(1, 3, 64, 96)
    expected = []
    with torch.no_grad():
        x = image
        for layer in theirs:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                expected.append(x)
        features = ours(image)
    for stride, feature in zip((2, 4, 8, 16, 32), expected, strict=True):
        torch.testing.assert_close(features[stride], feature)


@pytest.mark.parametrize("depth", [18, 50])
def test_resnet_gives_torchvisions_features(depth: int) -> None:
    theirs = randomised(getattr(torchvision.models, f"resnet{depth}")(weights=None))
    ours = ResNet(depth).eval()
    tensors = theirs.state_dict()
    assert infer_choices(tensors) == {"encoder": f"resnet{depth}"}
    report = load_official(ours, tensors, "resnet")
    assert set(report.ignored) == {"fc.weight", "fc.bias"}
    image = torch.randn(1, 3, 37, 61)
    with torch.no_grad():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
        expected = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(x))))
        torch.testing.assert_close(ours(image)[32], expected)


def test_a_deep_stem_is_recognised_by_its_names() -> None:
    tensors = dict(torchvision.models.resnet50(weights=None).state_dict())
    stem = ResNet(50, stem="deep").stem
    for i, unit in enumerate(stem, 1):
        tensors[f"conv{i}.weight"] = unit.conv.weight
        for key, value in unit.norm.state_dict().items():
            tensors[f"bn{i}.{key}"] = value
    assert infer_choices(tensors) == {"encoder": "resnet50_deep"}
    for name in ("conv1", "downsample.0"):  # they read 128 channels
        tensors[f"layer1.0.{name}.weight"] = tensors[f"layer1.0.{name}.weight"].repeat(1, 2, 1, 1)
    ours = ResNet(50, stem="deep")
    load_official(ours, tensors, "resnet")
    assert torch.equal(ours.stem[2].conv.weight, tensors["conv3.weight"])


@pytest.mark.parametrize("name", ["vgg13", "vgg19", "vgg13_bn", "vgg11_bn"])
def test_another_vgg_is_not_taken_for_vgg16(name: str) -> None:
    with torch.device("meta"):
        names = getattr(torchvision.models, name)(weights=None).state_dict()
    with pytest.raises(UserError, match="of no known source"):
        detect(names)


def test_files_of_torchvision_fill_the_encoders(tmp_path: Path) -> None:
    _, tensors = torchvision_vgg(batch_norm=True)
    torch.save(tensors, tmp_path / "vgg16_bn.pth")
    vgg = VGG(weights=str(tmp_path / "vgg16_bn.pth"))
    assert torch.equal(vgg.stages[4][2].conv.weight, tensors["features.40.weight"])
    theirs = torchvision.models.resnet18(weights=None)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    resnet = ResNet(18, weights=str(tmp_path / "resnet18.pth"))
    assert torch.equal(resnet.layers[3][1].conv2.conv.weight, theirs.layer4[1].conv2.weight)
