"""Optimisers over a model's parameter groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from segscape.optim.groups import parameter_groups


def sgd(
    model: nn.Module,
    lr: float,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    nesterov: bool = False,
    decay_norm_and_bias: bool = True,
    lr_factors: Mapping[str, float] | None = None,
) -> Optimizer:
    """Stochastic gradient descent with momentum and coupled (L2) weight decay.

    The defaults are PaddleSeg's for PP-LiteSeg: decay on every parameter, one learning rate.

    Args:
        model: its trainable parameters are optimised.
        lr: learning rate.
        momentum: share of the last step that is kept.
        weight_decay: factor of the L2 penalty's gradient.
        nesterov: look ahead along the momentum.
        decay_norm_and_bias: whether normalisation layers and biases decay too.
        lr_factors: factor on the learning rate by name pattern (see `parameter_groups`).

    Returns:
        The optimiser; its groups carry `name` and `lr_factor`.

    Raises:
        UserError: see `parameter_groups`.
    """
    groups = parameter_groups(
        model, lr, weight_decay, decay_norm_and_bias=decay_norm_and_bias, lr_factors=lr_factors
    )
    return SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=_fused(groups))


def adam(
    model: nn.Module,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decay_norm_and_bias: bool = True,
    lr_factors: Mapping[str, float] | None = None,
) -> Optimizer:
    """Adam (Kingma and Ba, 1412.6980) with coupled weight decay, as ENet and ESPNet train.

    The decay is an L2 penalty: it is part of the gradient and divided by its running size like
    the rest, so it weighs differently from `adamw`'s.

    Args:
        model: its trainable parameters are optimised.
        lr: learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: factor of the L2 penalty's gradient.
        decay_norm_and_bias: whether normalisation layers and biases decay too.
        lr_factors: factor on the learning rate by name pattern (see `parameter_groups`).

    Returns:
        The optimiser; its groups carry `name` and `lr_factor`.

    Raises:
        UserError: see `parameter_groups`.
    """
    groups = parameter_groups(
        model, lr, weight_decay, decay_norm_and_bias=decay_norm_and_bias, lr_factors=lr_factors
    )
    return Adam(groups, lr=lr, betas=(betas[0], betas[1]), eps=eps, fused=_fused(groups))


def adamw(
    model: nn.Module,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    decay_norm_and_bias: bool = True,
    lr_factors: Mapping[str, float] | None = None,
) -> Optimizer:
    """AdamW: adaptive steps with decoupled weight decay (Loshchilov and Hutter, 1711.05101).

    Args:
        model: its trainable parameters are optimised.
        lr: learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: share of a weight lost per step, times the learning rate.
        decay_norm_and_bias: whether normalisation layers and biases decay too.
        lr_factors: factor on the learning rate by name pattern (see `parameter_groups`).

    Returns:
        The optimiser; its groups carry `name` and `lr_factor`.

    Raises:
        UserError: see `parameter_groups`.
    """
    groups = parameter_groups(
        model, lr, weight_decay, decay_norm_and_bias=decay_norm_and_bias, lr_factors=lr_factors
    )
    return AdamW(groups, lr=lr, betas=(betas[0], betas[1]), eps=eps, fused=_fused(groups))


def _fused(groups: list[dict[str, Any]]) -> bool | None:
    """Whether to take torch's one-pass kernels: 2 to 3 times as fast as its default on a CPU.

    On a GPU the default (a few kernels over all tensors) is as good, and unlike the fused one it
    works together with gradient clipping in float16.
    """
    on_cpu = all(p.device.type == "cpu" for group in groups for p in group["params"])
    return True if on_cpu else None
