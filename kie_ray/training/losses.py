"""Training losses as sums. The trainer divides them by counts over the whole batch, so that neither the number of
workers nor that of accumulated pieces changes a result. Every sum is zero, finite and differentiable on nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kie_ray.encoding.batching import IGNORED_LABEL
from kie_ray.training.batches import TrainBatch


@dataclass(frozen=True, slots=True)
class LossCounts:
    """What the sums of one batch are divided by; over all pieces and workers, each at least 1.

    `labelled`: tokens with a SER target. `masked`: tokens that the masked-token loss asks for. `answers`: answers with
    at least one candidate question. `tokens`: all of them. `alignable`: tokens that text-image alignment asks for.
    `windows`: all of them.
    """

    labelled: float
    masked: float
    answers: float
    tokens: float
    alignable: float
    windows: float

    @classmethod
    def of(cls, totals: Tensor) -> LossCounts:
        """From a tensor as `batch_counts` gives it, summed over the pieces."""
        return cls(*(max(1.0, value) for value in totals.tolist()))


def batch_counts(batch: TrainBatch) -> Tensor:
    """float64 [6]: the fields of `LossCounts` for one piece of a batch."""
    labelled = int((batch.ser_targets != IGNORED_LABEL).sum())
    masked = int((batch.mlm_targets != IGNORED_LABEL).sum())
    alignable = 0 if batch.images is None else int((batch.images.covered != IGNORED_LABEL).sum())
    windows = sum(len(group.pages) for group in batch.groups)
    counts = [labelled, masked, batch.num_tails, batch.num_tokens, alignable, windows]
    return torch.tensor(counts, dtype=torch.float64)


def token_loss_sum(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum of the cross-entropy over tokens whose target is not `IGNORED_LABEL`.

    Args:
        logits: float [N, C]. targets: int64 [N].
    """
    return F.cross_entropy(logits.float(), targets, ignore_index=IGNORED_LABEL, reduction="sum")


def binary_loss_sum(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum of the binary cross-entropy over targets that are not `IGNORED_LABEL`; zero and differentiable on nothing.

    Args:
        logits: float [N]. targets: int64 [N], 0, 1 or `IGNORED_LABEL`.
    """
    asked = targets != IGNORED_LABEL
    return F.binary_cross_entropy_with_logits(logits[asked].float(), targets[asked].float(), reduction="sum")


def listwise_relation_loss_sum(logits: Tensor, targets: Tensor, tails: Tensor, num_tails: int) -> Tensor:
    """Pairwise plus per-answer loss of the RE head, to be divided by the number of answers.

    The pairwise part is the published cross-entropy over candidate pairs (a mean over pairs would drown 20 links in 800
    candidates). The per-answer part is a softmax over the questions of one answer, which is what decoding does (each
    answer to its best-scored question).

    Args:
        logits: float [P, 2] (no relation, relation). targets: int64 [P], 1 for gold pairs.
        tails: int64 [P], which answer a pair belongs to, in [0, num_tails).
    """
    if logits.shape[0] == 0:
        return logits.float().sum() * 0.0
    logits = logits.float()
    pairwise = F.cross_entropy(logits, targets, reduction="sum")
    margin = logits[:, 1] - logits[:, 0]
    gold = targets == 1
    # Log-sum-exp by answer, each shifted by its own maximum: one maximum for all would underflow far below it.
    shift = torch.full((num_tails,), -torch.inf, device=margin.device)
    shift = shift.scatter_reduce(0, tails, margin.detach(), "amax")
    sums = torch.zeros(num_tails, device=margin.device).index_add(0, tails, (margin - shift[tails]).exp())
    listwise = (torch.log(sums[tails[gold]]) + shift[tails[gold]] - margin[gold]).sum()
    return pairwise + listwise
