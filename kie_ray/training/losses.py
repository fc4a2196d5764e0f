"""Training losses. Every loss is zero, finite and differentiable on pages without anything to learn from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kie_ray.encoding.batching import IGNORED_LABEL


def token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over positions whose target is not `IGNORED_LABEL`.

    Args:
        logits: float [..., C]. targets: int64 [...].
    """
    logits = logits.reshape(-1, logits.shape[-1])
    targets = targets.reshape(-1)
    total = F.cross_entropy(logits.float(), targets, ignore_index=IGNORED_LABEL, reduction="sum")
    return total / (targets != IGNORED_LABEL).sum().clamp(min=1)


def relation_loss(logits: Tensor, targets: Tensor, tails: Tensor, num_tails: int) -> Tensor:
    """Pairwise plus per-answer loss of the RE head.

    The pairwise part is the published cross-entropy over candidate pairs, summed and divided by the number of answers
    (a mean over pairs would drown 20 links in 800 candidates). The per-answer part is a softmax over the questions of
    one answer, which is what decoding does (each answer to its best-scored question).

    Args:
        logits: float [P, 2] (no relation, relation). targets: int64 [P], 1 for gold pairs.
        tails: int64 [P], which answer a pair belongs to, in [0, num_tails).
    """
    if logits.shape[0] == 0:
        return logits.sum() * 0.0
    logits = logits.float()
    pairwise = F.cross_entropy(logits, targets, reduction="sum")
    margin = logits[:, 1] - logits[:, 0]
    gold = targets == 1
    # Log-sum-exp by answer, each shifted by its own maximum: one maximum for all would underflow far below it.
    shift = torch.full((num_tails,), -torch.inf, device=margin.device)
    shift = shift.scatter_reduce(0, tails, margin.detach(), "amax")
    sums = torch.zeros(num_tails, device=margin.device).index_add(0, tails, (margin - shift[tails]).exp())
    listwise = (torch.log(sums[tails[gold]]) + shift[tails[gold]] - margin[gold]).sum()
    return (pairwise + listwise) / max(1, num_tails)
