"""The terms that tie the two models of UDML to each other (PP-StructureV2, Li et al. 2022; PaddleOCR's *_udml.yml).

"Teacher" and "student" are twins that learn together, so gradients flow into both. Every term comes as a sum and what
to divide it by: a batch that is spread over workers divides the sums of all by the divisors of all.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_EPSILON = 1e-10
"""Added to every probability, and once more inside the logarithm of the target (ppocr/losses/basic_loss.py)."""


class LossSum(NamedTuple):
    """`total`, float []: the sum over active tokens. `divisor`, int64 []: what a mean over this batch divides it by."""

    total: Tensor
    divisor: Tensor


def dml_sum(student_logits: Tensor, teacher_logits: Tensor, active: Tensor) -> LossSum:
    """Deep mutual learning (Zhang et al. 2018) as PaddleOCR computes it: the mean of both Kullback-Leibler divergences.

    With p and q the softmax of student and teacher plus e = 1e-10, and N active tokens, the loss is
    1/2 * [sum q * (ln(q + e) - ln p) + sum p * (ln(p + e) - ln q)] / N.

    Args:
        student_logits, teacher_logits: float [..., C]; half precision is computed in float32.
        active: bool (or 0/1) [...], the tokens that count: PaddleOCR takes all that the attention mask keeps.

    Returns:
        The sum over active tokens, and N. Zero and differentiable when no token is active.
    """
    active = active.bool()
    student = _full_precision(student_logits[active]).softmax(-1) + _EPSILON
    teacher = _full_precision(teacher_logits[active]).softmax(-1) + _EPSILON
    total = (_divergence(teacher, student) + _divergence(student, teacher)) / 2
    return LossSum(total, active.sum())


def hidden_l2_sum(student_hidden: Tensor, teacher_hidden: Tensor, active: Tensor) -> LossSum:
    """Squared error between the outputs of one encoder layer of both models.

    PaddleOCR's recipes take layers 5 and 8 (0-based), each with weight 0.5: `KieModel.encode(..., layers=(5, 8))`.

    Args:
        student_hidden, teacher_hidden: float [..., H]; half precision is computed in float32.
        active: bool (or 0/1) [...], the tokens that count.

    Returns:
        The sum over active tokens and their H numbers, and active tokens * H. Zero and differentiable when no token
        is active.
    """
    active = active.bool()
    student, teacher = _full_precision(student_hidden[active]), _full_precision(teacher_hidden[active])
    return LossSum(F.mse_loss(student, teacher, reduction="sum"), active.sum() * student_hidden.shape[-1])


def _divergence(target: Tensor, other: Tensor) -> Tensor:
    return (target * ((target + _EPSILON).log() - other.log())).sum()


def _full_precision(values: Tensor) -> Tensor:
    """Half precision to float32: it cannot hold 1e-10, and autocast leaves elementwise operations as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
