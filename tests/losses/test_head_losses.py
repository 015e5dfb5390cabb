from __future__ import annotations

import pytest
import torch

from segscape.errors import UserError
from segscape.losses.cross_entropy import CrossEntropy
from segscape.losses.heads import HeadLosses


def outputs() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.randn(1, 3, 4, 4, generator=generator, requires_grad=True)
        for name in ("main", "decoder_16")
    }


LABEL = torch.arange(16).remainder(3).view(1, 4, 4)


def test_the_total_is_the_weighted_sum_of_the_terms() -> None:
    criterion = CrossEntropy()
    heads = outputs()
    total, terms = HeadLosses(criterion, {"main": 1.0, "decoder_16": 0.4})(heads, LABEL)
    main, auxiliary = (criterion(logits, LABEL).item() for logits in heads.values())
    assert list(terms) == ["main", "decoder_16"]
    assert float(terms["main"]) == pytest.approx(main)
    assert float(terms["decoder_16"]) == pytest.approx(auxiliary)
    assert float(total.detach()) == pytest.approx(main + 0.4 * auxiliary)


def test_only_the_total_carries_gradients() -> None:
    heads = outputs()
    total, terms = HeadLosses(CrossEntropy(), {"main": 2.0, "decoder_16": 1.0})(heads, LABEL)
    assert not any(term.requires_grad for term in terms.values())
    total.backward()
    alone = outputs()["main"]
    CrossEntropy()(alone, LABEL).backward()
    torch.testing.assert_close(heads["main"].grad, 2.0 * alone.grad)


def test_a_head_without_a_weight() -> None:
    with pytest.raises(UserError, match=r"head 'decoder_16' has no loss weight"):
        HeadLosses(CrossEntropy(), {"main": 1.0})(outputs(), LABEL)


def test_a_weight_without_a_head_names_the_nearest_head() -> None:
    losses = HeadLosses(CrossEntropy(), {"main": 1.0, "decoder_16": 1.0, "decoder_61": 1.0})
    with pytest.raises(UserError, match=r"(?s)'decoder_61'.*did you mean decoder_16"):
        losses(outputs(), LABEL)


@pytest.mark.parametrize("weights", [{}, {"main": -1.0}])
def test_weights_out_of_range(weights: dict[str, float]) -> None:
    with pytest.raises(UserError, match="weight"):
        HeadLosses(CrossEntropy(), weights)


def test_a_head_may_have_a_loss_of_its_own() -> None:
    class Squares(torch.nn.Module):
        def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            return logits.square().mean()

    heads = {"main": torch.ones(1, 3, 2, 2), "detail": torch.full((1, 1, 2, 2), 3.0)}
    label = torch.zeros(1, 2, 2, dtype=torch.long)
    losses = HeadLosses(
        torch.nn.CrossEntropyLoss(), {"main": 1.0, "detail": 0.5}, {"detail": Squares()}
    )
    total, terms = losses(heads, label)
    assert terms["detail"].item() == 9.0
    assert total.item() == pytest.approx(terms["main"].item() + 4.5)
