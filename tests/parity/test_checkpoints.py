"""Official checkpoints: what their tensors show of the network, and what is refused."""

from __future__ import annotations

from pathlib import Path

import official_record
import pytest
import torch
from torch import Tensor

import segscape
from segscape.errors import UserError
from segscape.models.encoders.afformer import AFFormer
from segscape.models.encoders.stdc import STDC
from segscape.models.heads.afformer import AFFormerHead
from segscape.models.segmenter import Segmenter
from segscape.models.weights.importer import infer_choices, load_official

STDCSEG = "stdcseg_official_stdc1"


def tensors_of(record: str) -> dict[str, Tensor]:
    return official_record.tensors(official_record.read(record))


def stdcseg() -> Segmenter:
    model = segscape.create_model("stdcseg_stdc1", num_classes=19)
    load_official(model, tensors_of(STDCSEG))
    return model


def encoder_part(name: str) -> dict[str, Tensor]:
    """What an ImageNet checkpoint holds: the backbone's names and a classifier."""
    prefix = "backbone."
    found = {k.removeprefix(prefix): v for k, v in tensors_of(name).items() if k.startswith(prefix)}
    return {**found, "cls_head.cls.weight": torch.zeros(1000, 216)}


@pytest.mark.parametrize("name", ["afformer_tiny", "afformer_base"])
def test_an_encoder_file_determines_its_option(name: str) -> None:
    assert infer_choices(encoder_part(name)) == {"encoder": name}


def test_the_depth_of_alignseg_is_read_from_its_blocks() -> None:
    tensors = tensors_of("alignseg_resnet50")
    deeper = tensors | {"layer3.22.conv1.weight": torch.zeros(1)}
    assert infer_choices(deeper)["variant"] == "alignseg_resnet101"
    with pytest.raises(UserError, match=r"\(3, 4, 8, 3\) bottlenecks"):
        infer_choices(tensors | {"layer3.7.conv1.weight": torch.zeros(1)})


def test_sizes_of_espnets_that_are_no_models_are_refused() -> None:
    smaller = {n: x for n, x in tensors_of("espnet_p2q8").items() if "level3.7." not in n}
    with pytest.raises(UserError, match="p=2 and q=7"):
        infer_choices(smaller, "espnet")
    odd = tensors_of("espnetv2_edgenets_s0.5") | {"base_net.level2_0.act.weight": torch.ones(48)}
    with pytest.raises(UserError, match="48 channels at stride 4"):
        infer_choices(odd, "espnetv2")


def test_a_shared_layer_that_differs_is_refused() -> None:
    tensors = tensors_of("afformer_tiny")
    name = "backbone.mhca_stages.2.mhca_blks.0.MHCA_layers.3.cpe.proj.weight"
    tensors[name] = tensors[name] + 1
    with pytest.raises(UserError, match=r"cannot be ignored as 'second name.*it differs from"):
        load_official(segscape.create_model("afformer_tiny", num_classes=150), tensors)


def test_the_imagenet_checkpoint_fills_the_encoder(tmp_path: Path) -> None:
    file = tmp_path / "afformer.pth"
    torch.save({"state_dict": encoder_part("afformer_tiny")}, file)
    encoder = AFFormer((32, 64, 160, 216), (2, 4, 2), weights=str(file))
    whole = segscape.create_model("afformer_tiny", num_classes=150)
    load_official(whole, tensors_of("afformer_tiny"))
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, whole.encoder.state_dict()[name]), name
    with pytest.raises(UserError, match="tensors have another shape"):
        AFFormer(weights=str(file))


def test_impossible_widths_are_refused() -> None:
    with pytest.raises(UserError, match="each must be a multiple of 8"):
        AFFormer((32, 64, 170, 216))
    with pytest.raises(UserError, match="four widths"):
        AFFormer((32, 64, 160), (2, 4, 2))
    with pytest.raises(UserError, match="multiple of 32"):
        AFFormerHead(8, 5, mid_channels=40)


def test_alignsegs_images_are_normalised_as_published() -> None:
    with torch.device("meta"):
        model = segscape.create_model("alignseg_resnet101", num_classes=19)
    values = [[v * 255 for v in model.mean], [v * 255 for v in model.std]]
    assert model.channel_order == "bgr"
    assert values[0] == pytest.approx([122.7, 116.7, 104.0])
    assert values[1] == pytest.approx([1, 1, 1])


def test_every_tensor_of_torchvisions_fcn_has_a_place() -> None:
    from torchvision.models.segmentation import fcn_resnet101

    theirs = fcn_resnet101(
        weights=None, weights_backbone=None, num_classes=7, aux_loss=True
    ).state_dict()
    choices = infer_choices(theirs, "fcn")
    assert choices["encoder"] == "resnet101_dilated"
    model = segscape.create_model(
        choices["variant"], choices["num_classes"], encoder=choices["encoder"]
    )
    report = load_official(model, theirs)
    assert set(report.loaded) == set(theirs)


def test_a_second_name_must_repeat_the_layer() -> None:
    tensors = tensors_of(STDCSEG)
    name = "cp.backbone.x8.0.2.conv_list.1.conv.weight"
    tensors[name] = tensors[name] + 1
    with pytest.raises(UserError, match="which it should repeat"):
        load_official(segscape.create_model("stdcseg_stdc1", num_classes=19), tensors)


def test_the_scale_of_in_place_abn_has_no_sign() -> None:
    tensors = tensors_of(STDCSEG)
    for name in ("ffm.convblk.bn.weight", "cp.arm16.bn_atten.weight"):
        tensors[name] = -tensors[name]
    model = segscape.create_model("stdcseg_stdc1", num_classes=19)
    load_official(model, tensors)
    for ours, plain in zip(
        model.state_dict().values(), stdcseg().state_dict().values(), strict=True
    ):
        assert torch.equal(ours, plain)


@torch.no_grad()
def test_the_classifier_gives_the_encoder() -> None:
    prefix = "cp.backbone."
    tensors = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors_of(STDCSEG).items()
        if name.startswith(prefix)
    }
    assert infer_choices(tensors) == {"encoder": "stdc1_official"}
    encoder = STDC("stdc1", count_include_pad=True)
    load_official(encoder, tensors, system="stdc")
    for ours, whole in zip(
        encoder.state_dict().values(), stdcseg().encoder.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, whole)


def resnet_lite() -> dict[str, Tensor]:
    """A checkpoint of SFNet-Lite under the official names, unused layers included."""
    record = official_record.read("sfnet_official_resnet18")
    shared = ("layer", "head.ppm.")
    shapes = {n: s for n, s, _ in record["tensors"] if n.startswith(shared)}
    return {name: torch.rand(shape) for name, shape in (shapes | lite_head(64, 256, 512)).items()}


def lite_head(*laterals: int) -> dict[str, list[int]]:
    """Shapes of the official head: one lateral is never used."""
    shapes: dict[str, list[int]] = {}

    def norm(name: str, channels: int) -> None:
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{leaf}"] = [channels]

    for index, channels in enumerate(laterals):
        shapes[f"head.fpn_in.{index}.0.weight"] = [128, channels, 1, 1]
        shapes[f"head.fpn_in.{index}.0.bias"] = [128]
        norm(f"head.fpn_in.{index}.1", 128)
    for name, shape in {"down_h": [64, 128, 1, 1], "down_l": [64, 128, 1, 1]}.items():
        shapes[f"head.flow_align_module.{name}.weight"] = shape
    shapes["head.flow_align_module.flow_make.weight"] = [4, 128, 3, 3]
    shapes["head.flow_align_module.flow_gate.0.weight"] = [1, 4, 3, 3]
    shapes["head.dsn.0.weight"] = [128, 128, 3, 3]
    norm("head.dsn.1", 128)
    shapes["head.dsn.4.weight"] = [7, 128, 1, 1]
    shapes["head.conv_last.0.0.weight"] = [128, 256, 3, 3]
    norm("head.conv_last.0.1", 128)
    shapes["head.conv_last.1.weight"] = [7, 128, 1, 1]
    shapes["head.conv_last.1.bias"] = [7]
    return shapes


def stdc_lite() -> dict[str, Tensor]:
    """The same with STDC1, whose layers the official state dict lists twice."""
    with torch.device("meta"):
        model = segscape.create_model("sfnet_stdc1", num_classes=7)
    shapes: dict[str, list[int]] = lite_head(64, 512)
    for name, value in model.encoder.state_dict().items():
        theirs = name.replace("layers.", "backbone.features.").replace(".convs.", ".conv_list.")
        theirs = theirs.replace("down.conv", "avd_layer.0").replace("down.norm", "avd_layer.1")
        shapes[theirs.replace(".norm.", ".bn.")] = list(value.shape)
    ppm = {"branches.": "stages.", "out.conv": "bottleneck.0", "out.norm": "bottleneck.1"}
    for name, value in model.context.state_dict().items():
        for ours, theirs in ppm.items():
            name = name.replace(ours, theirs)
        name = name.replace(".conv.", ".1.").replace(".norm.", ".2.")
        shapes[f"head.ppm.{name}"] = list(value.shape)
    shapes["backbone.linear.weight"] = [1000, 1024]
    found = {name: torch.rand(s) for name, s in shapes.items() if "num_batches" not in name}
    found["backbone.x8.0.1.conv_list.2.bn.weight"] = found[
        "backbone.features.3.conv_list.2.bn.weight"
    ]
    return found


def test_a_lite_checkpoint_with_resnet_fits() -> None:
    tensors = resnet_lite()
    chosen = infer_choices(tensors)
    assert chosen == {"variant": "sfnet_lite_resnet18", "num_classes": 7}
    model = segscape.create_model("sfnet_lite_resnet18", num_classes=7)
    report = load_official(model, tensors)
    rules = set(report.ignored.values())
    assert rules == {"lateral without a use", "auxiliary head without a use"}
    gate = tensors["head.flow_align_module.flow_gate.0.weight"]
    assert torch.equal(model.decoder.fusions[0].gate.weight, gate)
    assert torch.equal(model.decoder.lateral16.conv.weight, tensors["head.fpn_in.1.0.weight"])


def test_a_lite_checkpoint_with_stdc_fits() -> None:
    tensors = stdc_lite()
    assert infer_choices(tensors) == {"variant": "sfnet_stdc1", "num_classes": 7}
    model = segscape.create_model("sfnet_stdc1", num_classes=7)
    load_official(model, tensors)
    twin = tensors["backbone.features.3.conv_list.2.bn.weight"]
    assert torch.equal(model.encoder.layers[3].convs[2].norm.weight, twin)

    tensors["backbone.x8.0.1.conv_list.2.bn.weight"] = twin + 1
    with pytest.raises(UserError, match=r"differs from 'backbone\.features\.3"):
        load_official(model, tensors)


def test_another_gate_is_refused() -> None:
    tensors = resnet_lite()
    tensors["head.flow_align_module.flow_gate.0.weight"] = torch.rand(1, 128, 3, 3)
    with pytest.raises(UserError, match="gate is computed from the features"):
        infer_choices(tensors)
