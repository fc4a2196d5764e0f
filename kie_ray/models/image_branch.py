"""The image branch commonly added to LayoutLM for token classification, after the image embeddings of its paper.

A ResNet-101 reads the page once; what it sees in each token's box is added to the encoder's output for that token.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from kie_ray.encoding.page_image import IMAGE_SIZE
from kie_ray.models.resnet import ResNet
from kie_ray.models.roi_align import roi_align

REGION = 3
"""Rows and columns of bins that are taken of each box."""

BOX_SCALE = 1000
"""Boxes are in this fraction of the page."""


class ImageBranch(nn.Module):
    """ResNet, RoIAlign over each token's box, and one linear layer.

    Args:
        hidden_size: H of the encoder.
        blocks: depth of the backbone, see `ResNet`.
        pixel_boxes: round boxes to pixels of the 224 x 224 page and widen them by half a pixel on every side, as the
            common recipe does; else they are taken as they are.
    """

    def __init__(self, hidden_size: int, blocks: Sequence[int], pixel_boxes: bool) -> None:
        super().__init__()
        self.backbone = ResNet(blocks)
        self.projection = nn.Linear(self.backbone.out_channels * REGION * REGION, hidden_size)
        self.pixel_boxes = pixel_boxes

    def forward(self, features: Tensor, bbox: Tensor) -> Tensor:
        """Map of each row's page, [B, 1024, 14, 14], and int64 [B, T, 4] in 0..1000 -> float [B, T, H]."""
        boxes = bbox * (IMAGE_SIZE / BOX_SCALE)
        if self.pixel_boxes:
            boxes = boxes.round() + boxes.new_tensor([-0.5, -0.5, 0.5, 0.5])
        regions = roi_align(features, boxes, (REGION, REGION), 1 / self.backbone.reduction)
        return self.projection(regions.flatten(2))
