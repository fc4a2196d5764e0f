"""RoIAlign (He et al. 2017, Mask R-CNN): a small map of fixed size out of a feature map, for every box on it.

Bilinear interpolation is separable and the average over samples is linear, so every output value is a weighted sum of
the map's cells whose weights are the product of a horizontal and a vertical part. They depend on the box alone, and
all boxes and channels of a map become one matrix product: quick on maps of a few hundred cells, such as 14 x 14.
"""

from __future__ import annotations

import torch
from torch import Tensor


def roi_align(
    features: Tensor,
    boxes: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int = 2,
    aligned: bool = False,
) -> Tensor:
    """Pool each box into `output_size` bins, each the mean of sampling_ratio x sampling_ratio interpolated points.

    A point up to one cell outside of the map takes the value of its edge, one further out counts as 0, as in the
    published operator. Differentiable with respect to `features` and to `boxes`.

    Args:
        features: float [B, C, H, W].
        boxes: float [B, K, 4], x0 y0 x1 y1, the boxes of each map; times `spatial_scale` in cells of it.
        output_size: rows and columns of bins.
        sampling_ratio: points a bin along each axis, at least 1 (the operator's adaptive number is not offered).
        aligned: shift boxes by half a cell, so that cell centres lie at their true place. Without it, as published
            first, a box is also made at least one cell wide and high.

    Returns:
        Float [B, K, C, rows, columns], in the type of `features`.

    Raises:
        ValueError: shapes that do not fit each other, or a number that must be at least 1 and is not.
    """
    if features.dim() != 4 or boxes.dim() != 3 or boxes.shape[0] != features.shape[0] or boxes.shape[2] != 4:
        raise ValueError(
            f"features are {list(features.shape)} and boxes {list(boxes.shape)}, wanted [B, C, H, W] and [B, K, 4]"
        )
    rows, columns = output_size
    if min(rows, columns, sampling_ratio) < 1:
        raise ValueError(f"output_size {output_size} and sampling_ratio {sampling_ratio} must be at least 1")
    height, width = features.shape[2:]
    # Half precision has too few digits for coordinates.
    scaled = boxes.to(torch.promote_types(features.dtype, torch.float32)) * spatial_scale
    if aligned:
        scaled = scaled - 0.5
    start, extent = scaled[..., :2], scaled[..., 2:] - scaled[..., :2]
    if not aligned:
        extent = extent.clamp(min=1.0)
    along_x = _axis_weights(start[..., 0], extent[..., 0], columns, sampling_ratio, width)
    along_y = _axis_weights(start[..., 1], extent[..., 1], rows, sampling_ratio, height)
    weights = along_y[:, :, :, None, :, None] * along_x[:, :, None, :, None, :]
    cells = features.flatten(2).transpose(1, 2)
    pooled = weights.flatten(4).flatten(1, 3).to(features.dtype) @ cells
    return pooled.unflatten(1, (boxes.shape[1], rows, columns)).movedim(-1, 2)


def _axis_weights(start: Tensor, extent: Tensor, bins: int, samples: int, size: int) -> Tensor:
    """Weight of every cell in every bin along one axis.

    Args:
        start, extent: float [B, K], in cells.

    Returns:
        Float [B, K, bins, size].
    """
    steps = (torch.arange(bins * samples, device=start.device, dtype=start.dtype) + 0.5) / (bins * samples)
    points = start[..., None] + steps * extent[..., None]
    inside = (points >= -1) & (points <= size)
    cells = torch.arange(size, device=start.device, dtype=start.dtype)
    # Linear interpolation: a cell counts by how much less than one cell it is away.
    tent = (1 - (points.clamp(0, size - 1)[..., None] - cells).abs()).clamp(min=0)
    return (tent * inside[..., None]).unflatten(2, (bins, samples)).mean(3)
