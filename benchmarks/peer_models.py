"""Hugging Face's models at base size with random weights, for `forward.py`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kie_ray.models.resnext_fpn import PIXEL_MEAN, PIXEL_STD, BackboneSize, FrozenBatchNorm, ResNextFpn, normalised


class Detectron2Backbone(nn.Module):
    """What detectron2 computes for LayoutLMv2, in its order: every level of the pyramid, though only p2 is used."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        # Hugging Face's weight initialisation reads and writes these.
        self.cfg = SimpleNamespace(MODEL=SimpleNamespace(PIXEL_MEAN=PIXEL_MEAN, PIXEL_STD=PIXEL_STD))
        self.pixel_mean, self.pixel_std = torch.zeros(3, 1, 1), torch.zeros(3, 1, 1)
        self.backbone = ResNextFpn(BackboneSize())

    def forward(self, images: Tensor) -> Tensor:
        """Float [P, 3, 224, 224] -> [P, 49, 256]."""
        net = self.backbone
        levels = net.bottom_up(normalised(images))
        laterals = (net.fpn_lateral2, net.fpn_lateral3, net.fpn_lateral4, net.fpn_lateral5)
        outputs = (net.fpn_output2, net.fpn_output3, net.fpn_output4, net.fpn_output5)
        merged = laterals[3](levels[3])
        results = [outputs[3](merged)]
        for number in (2, 1, 0):
            merged = laterals[number](levels[number]) + F.interpolate(merged, scale_factor=2.0, mode="nearest")
            results.append(outputs[number](merged))
        F.max_pool2d(results[0], kernel_size=1, stride=2)
        return F.adaptive_avg_pool2d(results[-1], (7, 7)).flatten(2).transpose(1, 2)


def hf_layoutlmv2(labels: int) -> nn.Module:
    """Hugging Face's class with `Detectron2Backbone` in the place of detectron2's."""
    from transformers import LayoutLMv2Config as HfConfig
    from transformers.models.layoutlmv2 import modeling_layoutlmv2 as module

    module.requires_backends = lambda *_: None
    module.LayoutLMv2VisualBackbone = Detectron2Backbone
    module.detectron2 = SimpleNamespace(layers=SimpleNamespace(FrozenBatchNorm2d=FrozenBatchNorm))
    FrozenBatchNorm.eps = FrozenBatchNorm.EPS  # type: ignore[attr-defined]
    return module.LayoutLMv2ForTokenClassification(HfConfig(num_labels=labels)).eval()


def hf_layoutlm(labels: int) -> nn.Module:
    from transformers import LayoutLMConfig as HfConfig
    from transformers import LayoutLMForTokenClassification

    model = LayoutLMForTokenClassification._from_config(HfConfig(num_labels=labels), attn_implementation="sdpa")
    return model.eval()
