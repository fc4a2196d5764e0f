"""Small random models and inputs for the tests of this folder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kie_ray.models.layoutlmv2 import LayoutLMv2Config
from kie_ray.models.resnext_fpn import BackboneSize


def small_config(**changes: Any) -> LayoutLMv2Config:
    fields: dict[str, Any] = {
        "vocab_size": 200,
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "coordinate_size": 8,
        "shape_size": 8,
        "max_position_embeddings": 64,
        "num_labels": 7,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.2,  # far from the linear regime, so that a wrong mask or bias shows
    }
    return LayoutLMv2Config(**(fields | changes))


def visual_config(**changes: Any) -> LayoutLMv2Config:
    """A model that sees the page, through the smallest backbone that has every part."""
    size = BackboneSize(depth=50, groups=2, width_per_group=2, stem_channels=4, res2_channels=8, fpn_channels=6)
    fields: dict[str, Any] = {
        "use_visual_backbone": True,
        "detectron2_config_args": size.to_detectron2(),
        "image_feature_pool_shape": [7, 7, 6],
    }
    return small_config(**(fields | changes))


def images(pages: int = 2, seed: int = 0) -> Tensor:
    """BGR pixels, float [pages, 3, 224, 224]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (pages, 3, 224, 224), generator=generator).float()


def inputs(batch: int = 2, length: int = 20, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, 500, (batch, length, 2), generator=generator)
    size = torch.randint(0, 500, (batch, length, 2), generator=generator)
    return {
        "input_ids": torch.randint(1, 200, (batch, length), generator=generator),
        "bbox": torch.cat([corner, corner + size], dim=-1),
        "attention_mask": torch.ones((batch, length), dtype=torch.int64),
    }


def entities() -> dict[str, Tensor]:
    """Five entities on two rows, three pairs."""
    return {
        "entity_tokens": torch.tensor([[0, 0], [0, 4], [0, 9], [1, 1], [1, 5]]),
        "entity_labels": torch.tensor([1, 2, 2, 1, 2]),
        "pairs": torch.tensor([[0, 1], [0, 2], [3, 4]]),
        "pair_labels": torch.tensor([1, 0, 1]),
        "boxes": torch.tensor(
            [[10, 10, 90, 30], [100, 10, 300, 30], [100, 50, 300, 70], [0, 0, 50, 20], [0, 40, 50, 60]]
        ),
        "order": torch.tensor([0, 1, 2, 0, 1]),
    }
