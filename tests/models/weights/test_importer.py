from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from official import arrays, ppliteseg, shared_record, stdc, write_pdparams
from torch import Tensor, nn

from segscape.errors import UserError
from segscape.models.contexts.sppm import SPPM
from segscape.models.decoders.fld import FLD
from segscape.models.encoders.stdc import STDC
from segscape.models.fusions.add import Add
from segscape.models.fusions.uafm import UAFMChannel, UAFMSpatial
from segscape.models.heads.seg import SegHead
from segscape.models.segmenter import Segmenter, assemble
from segscape.models.weights.importer import load_official
from segscape.models.weights.paddleseg import SOURCES
from segscape.models.weights.read import read_tensors
from segscape.models.weights.sources import detect, infer_choices, listed, transpose_linear

FUSIONS: dict[str, Any] = {
    "uafm_spatial": UAFMSpatial,
    "uafm_channel": UAFMChannel,
    "add": Add,
}
WIDE = {"widths": (64, 96, 128), "mids": (64, 64, 64)}


def build(
    encoder: str = "stdc1",
    fusion: str = "uafm_spatial",
    num_classes: int = 19,
    widths: tuple[int, ...] = (32, 64, 128),
) -> Segmenter:
    decoder = partial(FLD, widths=widths)
    return assemble(STDC(encoder), SPPM, decoder, FUSIONS[fusion], SegHead, num_classes=num_classes)


def official(**choices: Any) -> dict[str, Tensor]:
    made = arrays(ppliteseg(**choices))
    return {name: torch.from_numpy(values) for name, values in made.items()}


@pytest.fixture(scope="module")
def small() -> dict[str, Tensor]:
    return official(num_classes=5)


@pytest.mark.parametrize(
    ("choices", "variant", "parameters"),
    [
        # systems.md counts the three `_scale` constants of the spatial fusion too.
        ({"fusion": "uafm_spatial"}, "ppliteseg", 8_141_603 - 3),
        ({"fusion": "uafm_channel"}, "ppliteseg", 8_234_432),
        ({"fusion": "add"}, "ppliteseg", 8_141_312),
        ({"encoder": "stdc2", **WIDE, "num_classes": 11}, "ppliteseg_b", 12_364_931 - 3),
    ],
)
def test_every_tensor_of_a_file_arrives(
    choices: dict[str, Any], variant: str, parameters: int, tmp_path: Path
) -> None:
    content = arrays(ppliteseg(**choices))
    learnt = {k: v for k, v in content.items() if not k.endswith(("_mean", "_variance", "_scale"))}
    assert sum(v.size for v in learnt.values()) == parameters  # the file is the published network
    tensors = read_tensors(write_pdparams(tmp_path / "model.pdparams", content, protocol=2))
    choices = {"encoder": "stdc1", "fusion": "uafm_spatial", "num_classes": 19} | choices
    inferred = infer_choices(tensors)
    expected = {k: choices[k] for k in ("encoder", "fusion", "num_classes")}
    assert inferred == {"variant": variant, **expected}

    model = build(**expected, widths=choices.get("widths", (32, 64, 128)))
    report = load_official(model, tensors, variant)

    # Random values: an array is found in the model by its content, without the rules.
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    there = {value.numpy().tobytes() for value in state.values()}
    assert len(there) == len(state) == len(report.loaded)
    scales = {name for name in content if name.endswith("_scale")}
    assert set(report.ignored) == scales
    assert set(report.ignored.values()) <= {"constant of UAFM"}
    assert {values.tobytes() for name, values in content.items() if name not in scales} == there


def test_places(small: dict[str, Tensor]) -> None:
    model = build(num_classes=5)
    load_official(model, small)
    state = model.state_dict()
    for theirs, ours in {
        "backbone.features.0.conv.weight": "encoder.layers.0.conv.weight",
        "backbone.features.4.avd_layer.1._variance": "encoder.layers.4.down.norm.running_var",
        "backbone.features.7.conv_list.3.bn._mean": "encoder.layers.7.convs.3.norm.running_mean",
        "ppseg_head.cm.stages.2.1._conv.bias": "context.branches.2.conv.bias",
        "ppseg_head.arm_list.1.conv_x._conv.weight": "decoder.fusions.1.project.conv.weight",
        "ppseg_head.arm_list.2.conv_xy_atten.1._batch_norm.bias": (
            "decoder.fusions.2.attention.1.norm.bias"
        ),
        "seg_heads.0.conv_out.weight": "head.classifier.weight",
        "seg_heads.1.conv_out.weight": "auxiliary.decoder_16.classifier.weight",
        "seg_heads.2.conv._batch_norm.weight": "auxiliary.decoder_32.conv.norm.weight",
    }.items():
        assert torch.equal(small[theirs], state[ours]), theirs
        assert SOURCES[0].rename(theirs) == ours
    assert SOURCES[0].rename("backbone.stem.weight") is None


def test_half_precision_and_types_of_the_model_are_kept(small: dict[str, Tensor]) -> None:
    model = build(num_classes=5).half()
    load_official(model, small)
    weight = model.get_parameter("head.classifier.weight")
    assert weight.dtype == torch.float16
    assert weight.requires_grad
    torch.testing.assert_close(weight, small["seg_heads.0.conv_out.weight"].half())


def test_auxiliary_heads_are_ignored_by_name_when_stripped(small: dict[str, Tensor]) -> None:
    report = load_official(build(num_classes=5).strip_auxiliary(), small)
    heads = {name for name in small if name.startswith(("seg_heads.1.", "seg_heads.2."))}
    assert {name for name, rule in report.ignored.items() if rule == "auxiliary head"} == heads
    assert "12 auxiliary head" in str(report)


def test_layers_of_the_classifier_and_second_names_are_ignored(small: dict[str, Tensor]) -> None:
    twin = small["backbone.features.3.conv_list.0.conv.weight"]
    more = {
        "backbone.conv_last.conv.weight": torch.zeros(1024, 1024, 1, 1),
        "backbone.x8.0.1.conv_list.0.conv.weight": twin,
    }
    report = load_official(build(num_classes=5), {**small, **more})
    assert report.ignored["backbone.conv_last.conv.weight"] == "classifier of the encoder"
    assert report.ignored["backbone.x8.0.1.conv_list.0.conv.weight"] == "second name of a layer"
    more["backbone.x8.0.1.conv_list.0.conv.weight"] = twin + 1
    with pytest.raises(UserError, match=r"differs from 'backbone.features.3.conv_list.0.conv"):
        load_official(build(num_classes=5), {**small, **more})


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"ppseg_head.arm_list.0._scale": torch.tensor([2.0])}, ["_scale", "constant 1", "2.0"]),
        ({"backbone.stem.weight": torch.zeros(3, 2)}, ["unexpected", "backbone.stem.weight' 3x2"]),
        ({"seg_heads.0.conv._conv.weight": None}, ["missing 'head.conv.conv.weight' 32x32x3x3"]),
        (
            {"seg_heads.0.conv._conv.weight": torch.zeros(32, 8, 3, 3)},
            ["mismatched 'seg_heads.0.conv._conv.weight'", "32x8x3x3 in the file", "32x32x3x3 in"],
        ),
        ({"seg_heads.0.conv._batch_norm.bias": torch.zeros(32, dtype=torch.int64)}, ["int64"]),
        ({"seg_heads.0.conv._batch_norm.bias": torch.full((32,), torch.nan)}, ["not finite"]),
    ],
)
def test_whatever_does_not_fit_is_named_and_nothing_is_loaded(
    change: dict[str, Tensor | None], parts: list[str], small: dict[str, Tensor]
) -> None:
    tensors = {k: v for k, v in {**small, **change}.items() if v is not None}
    model = build(num_classes=5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError) as caught:
        load_official(model, tensors)
    for part in parts:
        assert part in str(caught.value)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_hints_say_how_to_build_the_model_that_fits(small: dict[str, Tensor]) -> None:
    with pytest.raises(UserError) as caught:
        load_official(build(num_classes=11), small)
    assert caught.value.hint == "the classifier has 11 classes, the file has 5: pass num_classes=5"
    with pytest.raises(UserError) as caught:
        load_official(build(fusion="uafm_channel", num_classes=5), small)
    assert caught.value.hint is not None
    assert "model=ppliteseg num_classes=5 encoder=stdc1 fusion=uafm_spatial" in caught.value.hint
    assert len(str(caught.value).splitlines()) <= 8  # five named, the rest counted
    assert "more" in str(caught.value)


def test_sources_are_found_by_names(small: dict[str, Tensor]) -> None:
    assert set(SOURCES) <= set(listed())
    assert detect(small).system == "ppliteseg"
    with pytest.raises(UserError, match=r"no known source.*conv1\.weight[\s\S]*PaddleSeg PP-Lite"):
        detect(["conv1.weight", "fc.bias"])
    with pytest.raises(UserError, match="no import is known for the system 'unet'"):
        detect(small, "unet")
    with pytest.raises(UserError, match="no known source of the system 'stdc'"):
        detect(small, "stdc")


def test_variants_that_are_not_ours_are_explained() -> None:
    with pytest.raises(UserError, match=r"widths \(16, 64, 128\)[\s\S]*ppliteseg with \(32, "):
        infer_choices(official(widths=(16, 64, 128)))
    lighter = official()
    lighter["ppseg_head.arm_list.0.conv_xy_atten.0._conv.weight"] = torch.zeros(2, 3, 3, 3)
    with pytest.raises(UserError, match="attends to 3 maps with a 3x3 kernel"):
        infer_choices(lighter)
    cut = {name: value for name, value in official().items() if "features.7." not in name}
    with pytest.raises(UserError, match="an STDC with 7 layers"):
        infer_choices(cut)


@pytest.mark.parametrize("encoder", ["stdc1", "stdc2"])
def test_an_encoder_file(encoder: str) -> None:
    tensors = {name: torch.from_numpy(v) for name, v in arrays(stdc(encoder)).items()}
    assert infer_choices(tensors) == {"encoder": encoder}
    report = load_official(STDC(encoder), tensors, "stdc")
    assert (len(report.loaded), dict(report.ignored)) == (len(tensors), {})
    other = {"stdc1": "stdc2", "stdc2": "stdc1"}[encoder]
    with pytest.raises(UserError, match=f"encoder={encoder}"):
        load_official(STDC(other), tensors)


def test_transpose_linear() -> None:
    layer = nn.Linear(3, 2, bias=False)
    stored = np.arange(6, dtype=np.float32).reshape(3, 2)  # [in, out]
    with torch.no_grad():
        layer.weight.copy_(transpose_linear("fc.weight", torch.from_numpy(stored)))
    x = np.array([[1, 2, 3]], np.float32)
    np.testing.assert_allclose(layer(torch.from_numpy(x)).detach().numpy(), x @ stored)
    with pytest.raises(UserError, match=r"'fc.bias' has the shape \(2,\)"):
        transpose_linear("fc.bias", torch.zeros(2))


@pytest.mark.parametrize(
    ("record", "fusion"),
    [
        ("ppliteseg_t", "uafm_spatial"),
        ("ppliteseg_t_channel", "uafm_channel"),
        ("ppliteseg_t_add", "add"),
    ],
)
def test_the_parity_records(record: str, fusion: str, tmp_path: Path) -> None:
    """Their names are those that the other tests use, and their weights give their outputs."""
    said, values = shared_record(record)
    assert {name: tuple(shape) for name, shape, _ in said["tensors"]} == ppliteseg(fusion=fusion)
    content = {
        name: np.ones(shape, np.float32) if kind == "keep" else values.tensor(name, shape, kind)
        for name, shape, kind in said["tensors"]
    }
    model = build(fusion=fusion)
    tensors = read_tensors(write_pdparams(tmp_path / "model.pdparams", content))
    report = load_official(model, tensors)
    assert len(report.loaded) + len(report.ignored) == len(content)
    count, _, height, width = said["input"]
    with torch.inference_mode():
        logits = model.eval()(torch.from_numpy(values.image(count, height, width)))
    (output,) = said["eval_outputs"]
    found = logits.flatten()[torch.tensor(output["indices"])].numpy()
    assert np.abs(found - output["values"]).max() <= 1e-4 * output["std"]
