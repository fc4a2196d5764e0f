"""Relative position bias of LayoutLMv2 (Xu et al. 2020): one additive attention mask a batch, shared by all layers."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def bucket_table(reach: int, bins: int, max_distance: int) -> Tensor:
    """T5's bidirectional bucket of every integer distance from -reach to reach.

    Half of the bins is for each sign (positive distances in the upper half), half of those exact, the rest
    logarithmic up to `max_distance`. A table because logarithms over all pairs of tokens cost far more than a look-up.

    Returns:
        int64 [2 * reach + 1]; the bucket of distance d is at index d + reach.
    """
    distance = torch.arange(-reach, reach + 1)
    half = bins // 2
    exact = half // 2
    size = distance.abs()
    # Float32 like both reference systems, so that a distance on the edge of a bucket falls on the same side.
    scale = torch.log(size.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    large = (exact + (scale * (half - exact)).long()).clamp(max=half - 1)
    return torch.where(size < exact, size, large) + half * (distance > 0).long()


def sequence_bias(weight: Tensor, positions: Tensor, max_distance: int) -> Tensor:
    """Bias by distance in the sequence, position of the key minus position of the query.

    Args:
        weight: float [heads, bins], the weight of the published one-hot linear layer.
        positions: int64 [L], the same for the whole batch.

    Returns:
        Float [1, heads, L, L], query before key.
    """
    reach = int(positions.max()) if positions.numel() else 0
    table = bucket_table(reach, weight.shape[1], max_distance).to(positions.device)
    buckets = table[positions[None, :] - positions[:, None] + reach]
    return weight.index_select(1, buckets.flatten()).view(1, -1, *buckets.shape)


def spatial_bias(
    weight_x: Tensor, weight_y: Tensor, x: Tensor, y: Tensor, max_distance: int, max_coordinate: int
) -> Tensor:
    """Bias by distance on the page: sum of the horizontal and the vertical one.

    One look-up in the table of all (x bucket, y bucket) combinations instead of two over all pairs of tokens.

    Args:
        weight_x, weight_y: float [heads, bins].
        x, y: int64 [B, L], coordinates in 0..max_coordinate.

    Returns:
        Float [B, heads, L, L], query before key.
    """
    heads, bins = weight_x.shape
    table = bucket_table(max_coordinate, bins, max_distance).to(x.device)
    # In place where possible: these arrays are bigger than the caches, and a new one costs more than its arithmetic.
    buckets = table.index_select(0, _differences(x, max_coordinate)).mul_(bins)
    buckets.add_(table.index_select(0, _differences(y, max_coordinate)))
    joint = (weight_x[:, :, None] + weight_y[:, None, :]).view(heads, bins * bins)
    return joint.index_select(1, buckets).view(heads, *x.shape, x.shape[1]).transpose(0, 1)


def _differences(values: Tensor, offset: int) -> Tensor:
    """int64 [B, L] -> key minus query plus `offset`, int64 [B * L * L]."""
    return (values[:, None, :] - values[:, :, None]).add_(offset).flatten()


def attention_mask_bias(mask: Tensor | None, bias: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Fuse the padding mask into the bias: masked keys are replaced by the smallest finite number, so no row is NaN.

    Args:
        mask: [B, L], 0 for padding; None when nothing is padded.
        bias: float [B or 1, heads, L, L] or None; it may be changed in place.

    Returns:
        [B, heads, L, L] or [B, 1, 1, L] in `dtype`, or None when there is nothing to add.
    """
    if mask is None:
        return None if bias is None else bias.to(dtype)
    padded = (mask == 0)[:, None, None, :]
    if bias is None:
        bias = torch.zeros(padded.shape, dtype=dtype, device=mask.device)
    bias, lowest = bias.to(dtype), torch.finfo(dtype).min
    return bias.masked_fill_(padded, lowest) if len(bias) == len(mask) else bias.masked_fill(padded, lowest)
