"""LayoutLMv2, LayoutXLM and VI-LayoutXLM with their heads: SER, RE, both at once, masked language modelling."""

from __future__ import annotations

from kie_ray.models.encoder import LayoutLMv2Config, LayoutLMv2Model, LayoutLMv2PreTrainedModel
from kie_ray.models.task_models import JointModel, MaskedLmModel, ReModel, SerModel

__all__ = [
    "LayoutLMv2Config",
    "LayoutLMv2ForKie",
    "LayoutLMv2ForMaskedLm",
    "LayoutLMv2ForRe",
    "LayoutLMv2ForSer",
    "LayoutLMv2Model",
]


class LayoutLMv2ForSer(LayoutLMv2PreTrainedModel, SerModel):
    """See `SerModel`."""

    encoder_class = LayoutLMv2Model


class LayoutLMv2ForRe(LayoutLMv2PreTrainedModel, ReModel):
    """See `ReModel`."""

    encoder_class = LayoutLMv2Model


class LayoutLMv2ForKie(LayoutLMv2PreTrainedModel, JointModel):
    """See `JointModel`."""

    encoder_class = LayoutLMv2Model


class LayoutLMv2ForMaskedLm(LayoutLMv2PreTrainedModel, MaskedLmModel):
    """See `MaskedLmModel`."""

    encoder_class = LayoutLMv2Model
    _tied_weights_keys = {  # noqa: RUF012 (read by the base class)
        "lm_head.decoder.weight": "layoutlmv2.embeddings.word_embeddings.weight"
    }
