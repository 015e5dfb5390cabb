"""The weighted sum of the losses of a network's heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from segscape.errors import UserError, unknown


class HeadLosses(nn.Module):
    """Apply a criterion to every head and add the terms up with weights.

    Args:
        criterion: takes (logits (B, C, H, W), label (B, H, W)) and returns a scalar.
        weights: weight of each head by name, such as `{"main": 1.0, "decoder_16": 0.4}`.
        own: criteria of heads that do not share `criterion` (STDC's detail head), by name.

    Raises:
        UserError: no weight at all, or a negative one.
    """

    def __init__(
        self,
        criterion: Callable[[Tensor, Tensor], Tensor],
        weights: Mapping[str, float],
        own: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if not weights:
            raise UserError("no head has a loss weight", "give at least one for `main`")
        for name, weight in weights.items():
            if not weight >= 0:
                raise UserError(f"the loss weight of head '{name}' is negative: {weight}")
        self.criterion = criterion
        self.own = nn.ModuleDict(dict(own or {}))
        self.weights = {name: float(weight) for name, weight in weights.items()}

    def forward(
        self, outputs: Mapping[str, Tensor], label: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the total and the terms.

        Args:
            outputs: logits (B, C, H, W) by head.
            label: class ids (B, H, W), int64, shared by all heads.

        Returns:
            The weighted sum, and the unweighted term of each head, detached.

        Raises:
            UserError: a head without a weight or a weight without a head.
        """
        self.check(outputs)
        terms = {name: self._of(name)(logits, label) for name, logits in outputs.items()}
        total = sum(
            (self.weights[name] * term for name, term in terms.items()), start=label.new_zeros(())
        )
        return total, {name: term.detach() for name, term in terms.items()}

    def _of(self, name: str) -> Callable[[Tensor, Tensor], Tensor]:
        criteria: dict[str, Callable[[Tensor, Tensor], Tensor]] = dict(self.own.items())
        return criteria.get(name, self.criterion)

    def check(self, heads: Mapping[str, object] | list[str]) -> None:
        """Compare the names of the heads with those of the weights.

        Raises:
            UserError: they differ.
        """
        for name in heads:
            if name not in self.weights:
                raise unknown(
                    f"head '{name}' has no loss weight", name, self.weights, label="names there"
                )
        for name in self.weights:
            if name not in heads:
                raise unknown(
                    f"there is a loss weight for '{name}', but the model has no such head",
                    name,
                    heads,
                    label="names there",
                )
