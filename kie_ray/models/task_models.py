"""The task models of both families: SER, RE, both at once, masked language modelling, over any encoder of the family.

An architecture joins by deriving from these classes and naming its encoder (see `layoutlmv2.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from transformers.utils import ModelOutput

from kie_ray.encoding.batching import IGNORED_LABEL
from kie_ray.models.heads import MaskedLmHead, relation_loss, ser_loss
from kie_ray.models.kie_model import KieModel


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


class SerModel(KieModel):
    """Semantic entity recognition: a BIO label for every token."""

    has_ser = True

    def forward(
        self,
        input_ids: Tensor,
        bbox: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        image: Tensor | None = None,
    ) -> KieOutput:
        """One row of the batch is one page.

        Args:
            labels: int64 [B, T], -100 where a token does not count.
            image: float [B, 3, 224, 224], see `image_features`; None where the model sees no pixels.
        """
        hidden = self.encode_pages(input_ids, bbox, attention_mask, token_type_ids, image)
        output = KieOutput(hidden=hidden)
        _add_ser(self, output, hidden, labels, attention_mask)
        return output


class ReModel(KieModel):
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
        image: Tensor | None = None,
    ) -> KieOutput:
        """One row of the batch is one page.

        Args:
            entity_tokens: int64 [E, 2], row and first token of each entity.
            entity_labels: int64 [E].
            pairs: int64 [P, 2], indices of entities; both of one row.
            pair_labels: int64 [P], 1 for a gold relation.
            boxes, order: see `ReHead.forward`.
            image: float [B, 3, 224, 224], see `image_features`; None where the model sees no pixels.
        """
        hidden = self.encode_pages(input_ids, bbox, attention_mask, token_type_ids, image)
        output = KieOutput(hidden=hidden)
        _add_re(self, output, hidden, entity_tokens, entity_labels, pairs, pair_labels, boxes, order)
        return output


class JointModel(KieModel):
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
        image: Tensor | None = None,
    ) -> KieOutput:
        """Arguments of `SerModel` and `ReModel`; without entities only SER runs."""
        hidden = self.encode_pages(input_ids, bbox, attention_mask, token_type_ids, image)
        output = KieOutput(hidden=hidden)
        _add_ser(self, output, hidden, labels, attention_mask)
        if entity_tokens is not None and entity_labels is not None and pairs is not None:
            _add_re(self, output, hidden, entity_tokens, entity_labels, pairs, pair_labels, boxes, order)
        return output


class MaskedLmModel(KieModel):
    """Masked visual-language modelling (the objective of LayoutLM; who calls it masks the pixels, see
    `kie_ray.training.alignment`).

    A family adds `_tied_weights_keys`: the decoder's weight is that of the word embeddings.
    """

    def _add_heads(self, config: Any) -> None:
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
        image: Tensor | None = None,
    ) -> KieOutput:
        """`labels`: int64 [B, T], the true id at masked positions, -100 elsewhere; only those positions are decoded.

        Without `labels` every position is decoded: `mlm_logits` is then [B * T, vocab].
        """
        hidden = self.encode_pages(input_ids, bbox, attention_mask, token_type_ids, image)
        if labels is None:
            return KieOutput(mlm_logits=self.lm_head(hidden.flatten(0, 1)), hidden=hidden)
        wanted = labels != IGNORED_LABEL
        logits = self.lm_head(hidden[wanted])
        # Sum over a count of at least one: a batch without masked token gives 0, not NaN.
        total = F.cross_entropy(logits.float(), labels[wanted], reduction="sum")
        return KieOutput(loss=total / wanted.sum().clamp(min=1), mlm_logits=logits, hidden=hidden)


def _add_ser(
    model: KieModel, output: KieOutput, hidden: Tensor, labels: Tensor | None, attention_mask: Tensor | None
) -> None:
    output.ser_logits = model.ser_logits(hidden)
    if labels is not None:
        output.ser_loss = ser_loss(output.ser_logits, labels, attention_mask)
        _add_loss(output, output.ser_loss)


def _add_re(
    model: KieModel,
    output: KieOutput,
    hidden: Tensor,
    entity_tokens: Tensor,
    entity_labels: Tensor,
    pairs: Tensor,
    pair_labels: Tensor | None,
    boxes: Tensor | None,
    order: Tensor | None,
) -> None:
    states = hidden[entity_tokens[:, 0], entity_tokens[:, 1]]
    output.re_logits = model.re_logits(states, entity_labels, pairs, boxes, order)
    if pair_labels is not None:
        output.re_loss = relation_loss(output.re_logits, pair_labels, entity_tokens[pairs[:, 0], 0])
        _add_loss(output, output.re_loss)


def _add_loss(output: KieOutput, loss: Tensor) -> None:
    output.loss = loss if output.loss is None else output.loss + loss
