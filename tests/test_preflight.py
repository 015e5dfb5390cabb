"""What is wrong with a configuration is reported before data is read."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from segscape import build, preflight
from segscape.config import composing
from segscape.config.training import with_one_budget
from segscape.errors import UserError


def settings(*overrides: str) -> Any:
    return OmegaConf.to_container(composing.compose(list(overrides)), resolve=True)


def test_the_default_is_right() -> None:
    preflight.check_config(settings())


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("fusion.reduction=4", "fusion.reduction"),
        ("optim.wieght_decay=0.9", "did you mean optim.weight_decay?"),
        ("optim.lr=fast", "expected float"),
        ("trainer.max_epochs=many", "expected int"),
        ("trainer.max_epochs=0", "at least 1"),
        ("trainer.precision=bf16", "did you mean"),
        ("+trainer.max_step=3", "did you mean trainer.max_steps?"),
        ("+trainr.max_steps=3", "did you mean trainer?"),
        ("+callbacks.galery_images=3", "did you mean callbacks.gallery_images?"),
        ("metrics.void=ignored", "did you mean metrics.void=ignore?"),
        ("decoder._target_=segscape.models.decoders.fld.FDL", "did you mean"),
        ("decoder._target_=segscape.models.decoders.fdl.FLD", "cannot be imported"),
        ("callbacks.gallery_images=abc", "expected int"),
        ("profile.size=[64]", "[height, width]"),
        ("data.root=3", "no such argument"),
        ("~fusion", "segscape list fusion"),
        ("model.mean=abc", "three numbers"),
        ("model.align_corners=maybe", "true or false"),
        ("model.auxiliary.decoder_16=heavy", "expected"),
        ("resume=aut", "did you mean resume=auto?"),
        ("init=nowhere.pth", "no such file"),
        ("data.batch_size=eight", "expected int"),
    ],
)
def test_wrong_requests(override: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        preflight.check_config(settings(override), [override])
    assert expected in str(caught.value)


def test_two_budgets_are_one_too_many() -> None:
    typed = ["trainer.max_epochs=3", "trainer.max_steps=100"]
    with pytest.raises(UserError, match="two budgets"):
        preflight.check_config(settings(*typed), typed)


def test_a_choice_that_has_no_effect_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from segscape.models.decoders.fld import FLD

    monkeypatch.setattr(FLD, "uses", frozenset({"context"}))
    preflight.check_config(settings("fusion=add"))
    with pytest.raises(UserError, match="fusion has no effect"):
        preflight.check_config(settings("fusion=add"), ["fusion=add"])


def test_what_would_have_an_effect_is_named() -> None:
    typed = ["model=afformer_tiny", "fusion=add"]
    with pytest.raises(UserError) as caught:
        preflight.check_config(settings(*typed), typed)
    assert "model=afformer_tiny" in caught.value.what
    hint = str(caught.value.hint)
    assert "fld" in hint and "head_free" not in hint.partition("systems")[0]
    assert "bisenet" in hint and "afformer" not in hint and "segscape list model" in hint
    assert len(str(caught.value).splitlines()) <= 10


def test_a_part_must_be_a_module() -> None:
    wrong = settings()
    wrong["fusion"] = {"_target_": "os.system", "command": "true"}
    with pytest.raises(UserError, match=r"torch\.nn\.Module"):
        build.model(wrong, num_classes=3)


def test_batchnorm_on_one_pixel_with_one_image() -> None:
    network = build.model(settings(), num_classes=3)
    preflight.check_training_step(network, 2, (64, 64))
    with pytest.raises(UserError, match=r"context.*BatchNorm on 1x1 maps"):
        preflight.check_training_step(network, 1, (64, 64))
    assert not network.encoder.training or next(network.parameters()).device.type == "cpu"


def test_a_missing_stride_names_those_that_exist() -> None:
    wrong = settings("encoder=timm", "encoder.name=vit_tiny_patch16_224")
    with pytest.raises(UserError, match=r"stride"):
        build.model(wrong, num_classes=3)


def test_typed_epochs_replace_the_steps_of_an_experiment() -> None:
    typed = ["experiment=ppliteseg_camvid", "trainer.max_epochs=2"]
    assert with_one_budget(settings(*typed), typed)["trainer"]["max_steps"] is None
    assert with_one_budget(settings(typed[0]), typed[:1])["trainer"]["max_steps"] == 10000


def test_scoring_a_third_party_checkpoint_calls_no_function_of_its_choice() -> None:
    foreign = settings()
    foreign["augment"] = {"_target_": "subprocess.getoutput", "cmd": "exit 1"}
    assert build.data(foreign, training=False).augment is None
    foreign["data"] = {"_target_": "subprocess.getoutput", "cmd": "exit 1"}
    with pytest.raises(UserError, match="not a data module"):
        build.data(foreign, training=False)
