"""Losses against plain loops, and on the empty cases in which PaddleOCR crashes."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from kie_ray.encoding.batching import IGNORED_LABEL
from kie_ray.training.losses import listwise_relation_loss_sum, token_loss_sum


def test_token_loss_sums_the_tokens_that_count() -> None:
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([1, IGNORED_LABEL, 4, IGNORED_LABEL, 0, IGNORED_LABEL])
    expected = sum(-F.log_softmax(logits[i], -1)[targets[i]] for i in (0, 2, 4))
    assert torch.allclose(token_loss_sum(logits, targets), torch.as_tensor(expected))


def test_token_loss_without_a_target_is_zero_and_differentiable() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    loss = token_loss_sum(logits, torch.full((2,), IGNORED_LABEL))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros(2, 3))


def test_relation_loss_against_a_plain_loop() -> None:
    logits = torch.randn(5, 2, generator=torch.Generator().manual_seed(1)) * 30
    targets = torch.tensor([0, 1, 0, 1, 0])
    tails = torch.tensor([0, 0, 0, 1, 1])
    pairwise = sum(-F.log_softmax(logits[i], -1)[targets[i]].item() for i in range(5))
    margin = (logits[:, 1] - logits[:, 0]).tolist()
    listwise = 0.0
    for gold, group in ((1, [0, 1, 2]), (3, [3, 4])):
        top = max(margin[i] for i in group)
        listwise += math.log(sum(math.exp(margin[i] - top) for i in group)) + top - margin[gold]
    total = listwise_relation_loss_sum(logits, targets, tails, 2).item()
    assert math.isclose(total, pairwise + listwise, rel_tol=1e-4)


def test_relation_loss_without_pairs_or_without_gold_is_finite() -> None:
    none = torch.zeros(0, 2, requires_grad=True)
    loss = listwise_relation_loss_sum(none, torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), 0)
    loss.backward()
    assert loss.item() == 0.0
    logits = torch.randn(3, 2, requires_grad=True)
    loss = listwise_relation_loss_sum(logits, torch.zeros(3, dtype=torch.int64), torch.tensor([0, 0, 1]), 2)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
