"""Geometry of a pair of entities as numbers, for the optional part of the RE head.

Our own addition: a head trained from scratch on few pages has to learn "the answer stands right of or below its
question" from coordinate embeddings alone; these features state it.
"""

from __future__ import annotations

import torch
from torch import Tensor

PAIR_FEATURES = 40
"""Features a pair."""

_LINE = 10.0  # a usual line height in 0..1000 coordinates: the scale below which the logarithm is about linear


def pair_geometry(boxes: Tensor, pairs: Tensor, order: Tensor | None = None) -> Tensor:
    """Features of each pair; a distance is tail minus head, so right of and below are positive.

    Args:
        boxes: [E, 4], x0 y0 x1 y1 in 0..1000 of the page.
        pairs: int64 [P, 2], (head, tail).
        order: int64 [E], index in reading order; None leaves its four features 0.

    Returns:
        Float [P, PAIR_FEATURES], every feature about within -2..2.
    """
    boxes = boxes.to(torch.float32) if not boxes.is_floating_point() else boxes
    head, tail = boxes[pairs[:, 0]], boxes[pairs[:, 1]]
    head_size = (head[:, 2:] - head[:, :2]).clamp(min=1.0)
    tail_size = (tail[:, 2:] - tail[:, :2]).clamp(min=1.0)
    edges = tail - head
    centres = (edges[:, :2] + edges[:, 2:]) / 2
    shifts = torch.cat([edges, centres], dim=-1)
    after = tail[:, :2] - head[:, 2:]
    before = head[:, :2] - tail[:, 2:]
    gaps = torch.cat([after, before], dim=-1)
    apart = torch.maximum(after, before)
    overlap = (-apart).clamp(min=0.0) / torch.minimum(head_size, tail_size)
    line = (head_size[:, 1:] + tail_size[:, 1:]) / 2
    near = apart.clamp(min=0.0)
    features = [
        shifts / 1000,
        shifts.abs() / 1000,
        _signed_log(shifts),
        head_size / 1000,
        tail_size / 1000,
        gaps / 1000,
        _signed_log(gaps),
        overlap.clamp(max=1.0),
        _signed_log(_LINE * centres / line),
        _signed_log((near * near).sum(-1, keepdim=True).sqrt()),
        (overlap > 0.5).to(shifts.dtype)[:, :1] - (overlap > 0.5).to(shifts.dtype)[:, 1:],
        _order_features(pairs, order, shifts),
    ]
    return torch.cat(features, dim=-1)


def _order_features(pairs: Tensor, order: Tensor | None, like: Tensor) -> Tensor:
    if order is None:
        return like.new_zeros((pairs.shape[0], 4))
    step = (order[pairs[:, 1]] - order[pairs[:, 0]]).to(like.dtype)
    return torch.stack(
        [_signed_log(_LINE * step), 1 / (1 + step.abs()), (step == 1).to(like.dtype), step.sign()], dim=-1
    )


def _signed_log(value: Tensor) -> Tensor:
    return value.sign() * torch.log1p(value.abs() / _LINE) / 3
