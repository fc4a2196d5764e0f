"""LayoutLMv2, LayoutXLM and VI-LayoutXLM with their heads: SER, RE, both at once, masked language modelling.

All task models share one small interface, used by the extractor and by training: `encode`, `ser_logits`, `re_logits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import ACT2FN
from transformers.utils import ModelOutput

from kie_ray.encoding.batching import IGNORED_LABEL
from kie_ray.errors import ConfigError
from kie_ray.models.encoder import LayoutLMv2Config, LayoutLMv2Model, LayoutLMv2PreTrainedModel
from kie_ray.models.heads import ReHead, SerHead, relation_loss

__all__ = [
    "KieModel",
    "KieOutput",
    "LayoutLMv2Config",
    "LayoutLMv2ForKie",
    "LayoutLMv2ForMaskedLm",
    "LayoutLMv2ForRe",
    "LayoutLMv2ForSer",
    "LayoutLMv2Model",
    "ser_loss",
]


@dataclass
class KieOutput(ModelOutput):
    """What a task model's `forward` gives; fields of a task that the model does not have are None.

    `loss` [] is the sum of the given tasks' losses. `ser_logits` [B, T, num_labels], `re_logits` [P, 2],
    `mlm_logits` [N, vocab] of the N tokens that have a label, `hidden` [B, T, H].
    """

    loss: Tensor | None = None
    ser_loss: Tensor | None = None
    re_loss: Tensor | None = None
    ser_logits: Tensor | None = None
    re_logits: Tensor | None = None
    mlm_logits: Tensor | None = None
    hidden: Tensor | None = None


class KieModel(LayoutLMv2PreTrainedModel):
    """Base of the task models: the encoder as `layoutlmv2`, and `encode`."""

    has_ser = False
    has_re = False

    def __init__(self, config: LayoutLMv2Config) -> None:
        super().__init__(config)
        self.layoutlmv2 = LayoutLMv2Model(config)
        self._add_heads(config)
        self.post_init()

    def _add_heads(self, config: LayoutLMv2Config) -> None:
        dropout = float(config.hidden_dropout_prob)
        if self.has_ser:
            self.classifier = SerHead(config.hidden_size, int(config.num_labels or 0), dropout)
        if self.has_re:
            self.extractor = ReHead(config.hidden_size, config.num_entity_labels, dropout, config.relation_geometry)

    def get_input_embeddings(self) -> nn.Module:
        return self.layoutlmv2.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.layoutlmv2.set_input_embeddings(value)

    @overload
    def encode(
        self, input_ids: Tensor, bbox: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None = None
    ) -> Tensor: ...

    @overload
    def encode(
        self,
        input_ids: Tensor,
        bbox: Tensor,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None = None,
        *,
        layers: Sequence[int],
    ) -> tuple[Tensor, tuple[Tensor, ...]]: ...

    def encode(
        self,
        input_ids: Tensor,
        bbox: Tensor,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None = None,
        *,
        layers: Sequence[int] | None = None,
    ) -> Tensor | tuple[Tensor, tuple[Tensor, ...]]:
        """int64 [B, T], [B, T, 4], [B, T], [B, T] -> hidden states, float [B, T, H].

        With `layers` (0-based) also the outputs of those encoder layers, each float [B, T, H], in the order asked.

        Raises:
            ConfigError: a layer that the encoder does not have.
        """
        if layers is None:
            return self.layoutlmv2(input_ids, bbox, attention_mask, token_type_ids).last_hidden_state
        count = self.config.num_hidden_layers
        for layer in layers:
            if not 0 <= layer < count:
                raise ConfigError(f"no encoder layer {layer}; num_hidden_layers {count} gives layers 0 to {count - 1}")
        output = self.layoutlmv2(input_ids, bbox, attention_mask, token_type_ids, output_hidden_states=True)
        # hidden_states[0] is what enters the first layer
        return output.last_hidden_state, tuple(output.hidden_states[layer + 1] for layer in layers)

    def ser_logits(self, hidden: Tensor) -> Tensor:
        """Float [..., H] -> [..., num_labels]. Raises TypeError on a model without SER head."""
        if not self.has_ser:
            raise TypeError(f"{type(self).__name__} has no SER head")
        return self.classifier(hidden)

    def re_logits(
        self, states: Tensor, labels: Tensor, pairs: Tensor, boxes: Tensor | None = None, order: Tensor | None = None
    ) -> Tensor:
        """Scores of entity pairs, float [P, 2]: see `ReHead.forward`. Raises TypeError on a model without RE head."""
        if not self.has_re:
            raise TypeError(f"{type(self).__name__} has no RE head")
        return self.extractor(states, labels, pairs, boxes, order)

    def _run(
        self,
        input_ids: Tensor,
        bbox: Tensor,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None,
        labels: Tensor | None = None,
        entity_tokens: Tensor | None = None,
        entity_labels: Tensor | None = None,
        pairs: Tensor | None = None,
        pair_labels: Tensor | None = None,
        boxes: Tensor | None = None,
        order: Tensor | None = None,
    ) -> KieOutput:
        hidden = self.encode(input_ids, bbox, attention_mask, token_type_ids)
        output = KieOutput(hidden=hidden)
        if self.has_ser:
            output.ser_logits = self.ser_logits(hidden)
            if labels is not None:
                output.ser_loss = ser_loss(output.ser_logits, labels, attention_mask)
        if self.has_re and entity_tokens is not None and entity_labels is not None and pairs is not None:
            states = hidden[entity_tokens[:, 0], entity_tokens[:, 1]]
            output.re_logits = self.re_logits(states, entity_labels, pairs, boxes, order)
            if pair_labels is not None:
                output.re_loss = relation_loss(output.re_logits, pair_labels, entity_tokens[pairs[:, 0], 0])
        losses = [loss for loss in (output.ser_loss, output.re_loss) if loss is not None]
        if losses:
            output.loss = torch.stack(losses).sum()
        return output


class LayoutLMv2ForSer(KieModel):
    """Semantic entity recognition: a BIO label for every token."""

    has_ser = True

    def forward(
        self,
        input_ids: Tensor,
        bbox: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> KieOutput:
        """`labels`: int64 [B, T], -100 where a token does not count."""
        return self._run(input_ids, bbox, attention_mask, token_type_ids, labels=labels)


class LayoutLMv2ForRe(KieModel):
    """Relation extraction between given entities."""

    has_re = True

    def forward(
        self,
        input_ids: Tensor,
        bbox: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        entity_tokens: Tensor,
        entity_labels: Tensor,
        pairs: Tensor,
        pair_labels: Tensor | None = None,
        boxes: Tensor | None = None,
        order: Tensor | None = None,
    ) -> KieOutput:
        """One row of the batch is one page.

        Args:
            entity_tokens: int64 [E, 2], row and first token of each entity.
            entity_labels: int64 [E].
            pairs: int64 [P, 2], indices of entities; both of one row.
            pair_labels: int64 [P], 1 for a gold relation.
            boxes, order: see `ReHead.forward`.
        """
        return self._run(
            input_ids,
            bbox,
            attention_mask,
            token_type_ids,
            entity_tokens=entity_tokens,
            entity_labels=entity_labels,
            pairs=pairs,
            pair_labels=pair_labels,
            boxes=boxes,
            order=order,
        )


class LayoutLMv2ForKie(KieModel):
    """SER and RE on one encoder pass."""

    has_ser = True
    has_re = True

    def forward(
        self,
        input_ids: Tensor,
        bbox: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        entity_tokens: Tensor | None = None,
        entity_labels: Tensor | None = None,
        pairs: Tensor | None = None,
        pair_labels: Tensor | None = None,
        boxes: Tensor | None = None,
        order: Tensor | None = None,
    ) -> KieOutput:
        """Arguments of `LayoutLMv2ForSer` and `LayoutLMv2ForRe`; without entities only SER runs."""
        return self._run(
            input_ids,
            bbox,
            attention_mask,
            token_type_ids,
            labels,
            entity_tokens,
            entity_labels,
            pairs,
            pair_labels,
            boxes,
            order,
        )


class MaskedLmHead(nn.Module):
    """BERT's: dense, activation, LayerNorm, then the word embeddings as decoder (tied by the model) and a bias."""

    def __init__(self, config: LayoutLMv2Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float [N, H] -> [N, vocab_size]."""
        return self.decoder(self.LayerNorm(self.activation(self.dense(hidden))))


class LayoutLMv2ForMaskedLm(KieModel):
    """Masked visual-language modelling without the visual part (the text objective of LayoutLM)."""

    _tied_weights_keys = {  # noqa: RUF012 (read by the base class)
        "lm_head.decoder.weight": "layoutlmv2.embeddings.word_embeddings.weight"
    }

    def _add_heads(self, config: LayoutLMv2Config) -> None:
        self.lm_head = MaskedLmHead(config)

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head.decoder

    def forward(
        self,
        input_ids: Tensor,
        bbox: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> KieOutput:
        """`labels`: int64 [B, T], the true id at masked positions, -100 elsewhere; only those positions are decoded.

        Without `labels` every position is decoded: `mlm_logits` is then [B * T, vocab].
        """
        hidden = self.encode(input_ids, bbox, attention_mask, token_type_ids)
        if labels is None:
            return KieOutput(mlm_logits=self.lm_head(hidden.flatten(0, 1)), hidden=hidden)
        wanted = labels != IGNORED_LABEL
        logits = self.lm_head(hidden[wanted])
        # Sum over a count of at least one: a batch without masked token gives 0, not NaN.
        total = F.cross_entropy(logits.float(), labels[wanted], reduction="sum")
        return KieOutput(loss=total / wanted.sum().clamp(min=1), mlm_logits=logits, hidden=hidden)


def ser_loss(
    logits: Tensor, labels: Tensor, attention_mask: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy over the tokens that count: unmasked and labelled. Zero, not NaN, when there is none.

    Args:
        logits: float [B, T, C].
        labels: int64 [B, T], -100 where a token does not count.
        attention_mask: [B, T] or None.
    """
    counted = labels != IGNORED_LABEL
    if attention_mask is not None:
        counted = counted & (attention_mask != 0)
    total = F.cross_entropy(logits[counted].float(), labels[counted], reduction="sum", label_smoothing=label_smoothing)
    return total / counted.sum().clamp(min=1)
