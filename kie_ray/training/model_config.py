"""Sizes of a model that starts from random weights, and of what it sees the page image with."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from kie_ray.config import Settings


class VisualBackboneConfig(Settings):
    """LayoutLMv2's ResNeXt with feature pyramid; the defaults are the published 101 32x8d."""

    depth: Literal[50, 101, 152] = 101
    groups: int = Field(32, gt=0)
    width_per_group: int = Field(8, gt=0)
    stem_channels: int = Field(64, gt=0)
    res2_channels: int = Field(256, gt=0)
    fpn_channels: int = Field(256, gt=0)


class ImageBranchConfig(Settings):
    """LayoutLM's ResNet and the boxes that are cut out of its map; the default blocks are ResNet-101's."""

    blocks: list[int] = Field(default=[3, 4, 23], min_length=3, max_length=3)
    pixel_boxes: bool = Field(False, description="boxes in whole pixels of the 224 x 224 page, widened by half a pixel")
    weights: str = Field(
        "", description="file of published weights of such a ResNet, named as torchvision's (.safetensors, .pth)"
    )


class ModelConfig(Settings):
    """Size of a model that starts from random weights; by default a small VI-LayoutXLM."""

    family: Literal["layoutlmv2", "layoutlm"] = "layoutlmv2"
    hidden_size: int = 256
    num_hidden_layers: int = 6
    num_attention_heads: int = 8
    intermediate_size: int = 1024
    coordinate_size: int = Field(44, description="layoutlmv2, as all fields down to max_rel_2d_pos but dropout")
    shape_size: int = 40
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.0
    has_relative_attention_bias: bool = True
    has_spatial_attention_bias: bool = True
    rel_pos_bins: int = 32
    max_rel_pos: int = 128
    rel_2d_pos_bins: int = 64
    max_rel_2d_pos: int = 256
    relation_geometry: int = Field(
        64, ge=0, description="width of the pair-geometry network of the RE head, 0 for none"
    )
    visual_backbone: VisualBackboneConfig | None = Field(
        None, description="layoutlmv2: tokens of the page image join the sequence; none: text and layout alone"
    )
    image_branch: ImageBranchConfig | None = Field(
        None, description="layoutlm: what the page image shows in a token's box is added to its state; none: no image"
    )

    @property
    def published_weights(self) -> str:
        """The file that the image branch starts from, "" for none."""
        return self.image_branch.weights if self.image_branch is not None else ""

    @property
    def sees_images(self) -> bool:
        return self.visual_backbone is not None or self.image_branch is not None

    @model_validator(mode="after")
    def _parts_fit(self) -> ModelConfig:
        second = self.family == "layoutlmv2"
        if second and 4 * self.coordinate_size + 2 * self.shape_size != self.hidden_size:
            raise ValueError("4 * coordinate_size + 2 * shape_size must equal hidden_size")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError("hidden_size must be a multiple of num_attention_heads")
        if second and self.image_branch is not None:
            raise ValueError("image_branch is layoutlm's; layoutlmv2 sees images with visual_backbone")
        if not second and self.visual_backbone is not None:
            raise ValueError("visual_backbone is layoutlmv2's; layoutlm sees images with image_branch")
        return self
