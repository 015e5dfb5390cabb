from __future__ import annotations

import pytest
import torch
from torch import nn

from segscape.errors import UserError
from segscape.optim.groups import parameter_groups
from segscape.optim.optimizers import adam, adamw, sgd


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.PReLU(4), nn.InstanceNorm2d(4)
        )
        self.context = nn.Sequential(nn.Conv2d(4, 4, 1), nn.GroupNorm(2, 4))
        self.decoder = nn.ModuleDict(
            {"norm_free": nn.Linear(4, 4), "attention": nn.MultiheadAttention(4, 1)}
        )
        self.head = nn.Sequential(nn.LayerNorm(4), nn.Conv2d(4, 2, 1))
        self.scale = nn.Parameter(torch.ones(1))
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.shared = self.decoder["norm_free"]


def names(model: nn.Module, group: dict) -> set[str]:
    by_id = {id(parameter): name for name, parameter in model.named_parameters()}
    return {by_id[id(parameter)] for parameter in group["params"]}


FACTORS = {"encoder": 0.1, r".*\.attention\.": 2.0, "context": 0.1}


@pytest.mark.parametrize("decay_norm_and_bias", [True, False])
@pytest.mark.parametrize("lr_factors", [None, FACTORS])
@pytest.mark.parametrize("make", [sgd, adam, adamw])
def test_every_trainable_parameter_is_in_exactly_one_group(
    make: object, decay_norm_and_bias: bool, lr_factors: dict | None
) -> None:
    model = Net()
    optimizer = make(  # type: ignore[operator]
        model, 0.1, decay_norm_and_bias=decay_norm_and_bias, lr_factors=lr_factors
    )
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    trainable = [id(p) for p in model.parameters() if p.requires_grad]
    assert len(held) == len(set(held))
    assert sorted(held) == sorted(trainable)
    labels = [group["name"] for group in optimizer.param_groups]
    assert len(labels) == len(set(labels)) and labels[0] == "base"


def test_the_default_is_one_group_that_decays() -> None:
    (group,) = parameter_groups(Net(), 0.1, 5e-4)
    assert (group["name"], group["lr"], group["weight_decay"]) == ("base", 0.1, 5e-4)


def test_norms_are_found_by_type_and_biases_by_name() -> None:
    model = Net()
    decayed, exempt = parameter_groups(model, 0.1, 5e-4, decay_norm_and_bias=False)
    assert (decayed["weight_decay"], exempt["weight_decay"]) == (5e-4, 0.0)
    assert names(model, decayed) == {
        "encoder.0.weight",
        "encoder.2.weight",  # the slopes of a PReLU
        "context.0.weight",
        "decoder.norm_free.weight",
        "decoder.attention.in_proj_weight",
        "decoder.attention.out_proj.weight",
        "head.1.weight",
        "scale",
    }


def test_factors_scale_the_rate_and_the_first_match_decides() -> None:
    model = Net()
    groups = {
        group["name"]: group
        for group in parameter_groups(
            model, 0.1, 5e-4, lr_factors={r"encoder\.0": 0.5, "encoder": 0.1}
        )
    }
    assert set(groups) == {"base", "lr_x0.5", "lr_x0.1"}
    assert names(model, groups["lr_x0.5"]) == {"encoder.0.weight"}
    assert groups["lr_x0.1"]["lr"] == pytest.approx(0.01)
    assert "encoder.1.weight" in names(model, groups["lr_x0.1"])


def test_a_pattern_matches_from_the_start_of_a_name() -> None:
    with pytest.raises(UserError, match=r"'norm_free' matches no trainable parameter"):
        parameter_groups(Net(), 0.1, 0.0, lr_factors={"norm_free": 0.1})


def test_a_pattern_that_matches_nothing_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"(?s)'encodr' matches.*did you mean 'encoder'"):
        parameter_groups(Net(), 0.1, 0.0, lr_factors={"encodr": 0.1})
    with pytest.raises(UserError, match="'frozen' matches no trainable parameter"):
        parameter_groups(Net(), 0.1, 0.0, lr_factors={"frozen": 0.1})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -0.1, "weight_decay": 0.0}, "lr=-0.1"),
        ({"lr": 0.1, "weight_decay": -1.0}, "weight_decay=-1.0"),
        ({"lr": 0.1, "weight_decay": 0.0, "lr_factors": {"encoder": -1}}, "'encoder' is negative"),
        ({"lr": 0.1, "weight_decay": 0.0, "lr_factors": {"(": 1}}, "no regular expression"),
    ],
)
def test_settings_out_of_range(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parameter_groups(Net(), **arguments)


def test_a_frozen_model_has_nothing_to_train() -> None:
    with pytest.raises(UserError, match="no trainable parameter"):
        parameter_groups(Net().requires_grad_(False), 0.1, 0.0)


def test_sgd_takes_the_step_of_the_formula() -> None:
    model = nn.Linear(1, 1, bias=False)
    optimizer = sgd(model, lr=0.1, momentum=0.9, weight_decay=0.01)
    weight, velocity = float(model.weight.detach()), 0.0
    for gradient in (1.0, -0.5, 2.0):
        model.weight.grad = torch.full_like(model.weight, gradient)
        optimizer.step()
        velocity = 0.9 * velocity + gradient + 0.01 * weight
        weight -= 0.1 * velocity
    assert float(model.weight.detach()) == pytest.approx(weight, rel=1e-5)


def test_adamw_takes_the_step_of_the_formula() -> None:
    model = nn.Linear(1, 1, bias=False)
    optimizer = adamw(model, lr=0.1, betas=(0.8, 0.9), weight_decay=0.01)
    weight, mean, square = float(model.weight.detach()), 0.0, 0.0
    for t, gradient in enumerate((1.0, -0.5, 2.0), start=1):
        model.weight.grad = torch.full_like(model.weight, gradient)
        optimizer.step()
        mean = 0.8 * mean + 0.2 * gradient
        square = 0.9 * square + 0.1 * gradient**2
        weight -= 0.1 * 0.01 * weight
        weight -= 0.1 * (mean / (1 - 0.8**t)) / ((square / (1 - 0.9**t)) ** 0.5 + 1e-8)
    assert float(model.weight.detach()) == pytest.approx(weight, rel=1e-5)


def test_adam_takes_the_step_of_the_formula_with_the_decay_in_the_gradient() -> None:
    model = nn.Linear(1, 1, bias=False)
    optimizer = adam(model, lr=0.1, betas=(0.8, 0.9), weight_decay=0.01)
    weight, mean, square = float(model.weight.detach()), 0.0, 0.0
    for t, gradient in enumerate((1.0, -0.5, 2.0), start=1):
        model.weight.grad = torch.full_like(model.weight, gradient)
        optimizer.step()
        gradient += 0.01 * weight
        mean = 0.8 * mean + 0.2 * gradient
        square = 0.9 * square + 0.1 * gradient**2
        weight -= 0.1 * (mean / (1 - 0.8**t)) / ((square / (1 - 0.9**t)) ** 0.5 + 1e-8)
    assert float(model.weight.detach()) == pytest.approx(weight, rel=1e-5)
