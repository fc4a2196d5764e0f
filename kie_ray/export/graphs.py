"""The models as modules that ONNX can express: tensors in, tensors out, no size that follows from a value.

`EncoderGraph`, `ImageGraph` and `RelationGraph` hold the bundle's own modules and add no weight. What they compute is
what the models compute; only sums run in another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kie_ray.models.geometry import pair_geometry
from kie_ray.models.heads import ReHead
from kie_ray.models.kie_model import KieModel
from kie_ray.models.relative_bias import attention_mask_bias, bucket_table

MASKED = -1e30
"""Added to attention scores of padding: nothing is left of it after the softmax, and it stays finite in float32."""

NO_RELATION = (0.0, -1e4)
"""Logits of a padded pair: a probability of exactly 0 in float32."""


class EncoderGraph(nn.Module):
    """Windows of tokens to hidden states, and to SER logits where the model has the head."""

    def __init__(self, model: KieModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, bbox: Tensor, attention_mask: Tensor, image_features: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """See `KieModel.encode`. Gives ([B, T, num_labels],) where there is a SER head, and [B, T, H] last."""
        hidden = self.model.encode(input_ids, bbox, attention_mask, image_features=image_features)
        return (self.model.ser_logits(hidden), hidden) if self.model.has_ser else (hidden,)


class ImageGraph(nn.Module):
    """Page images to what `EncoderGraph` takes as `image_features`."""

    def __init__(self, model: KieModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        """See `KieModel.image_features`."""
        return self.model.image_features(image)


class RelationGraph(nn.Module):
    """The RE head over a batch of pages with N entities and P pairs each, padded with zeros.

    All N x N products of the biaffine part are made and P of them read out: that is a matrix product, whatever the
    pairs are, and the size of every tensor is known beforehand.
    """

    def __init__(self, head: ReHead) -> None:
        super().__init__()
        self.head = head

    def forward(
        self,
        hidden: Tensor,
        entity_tokens: Tensor,
        entity_labels: Tensor,
        pairs: Tensor,
        pair_count: Tensor,
        entity_boxes: Tensor | None = None,
        entity_order: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Score the pairs of B pages.

        Args:
            hidden: float [B, T, H], states of the pages' tokens (or of their entities, one row each).
            entity_tokens: int64 [B, N], row of `hidden` with the entity's first token.
            entity_labels: int64 [B, N], row of the label embedding.
            pairs: int64 [B, P, 2], (head, tail) as indices into the page's entities.
            pair_count: int64 [B], pairs that are meant; those behind them are padding.
            entity_boxes: float [B, N, 4] in 0..1000 of the page, where the head has a geometry part.
            entity_order: int64 [B, N], index in the page's reading order, likewise.

        Returns:
            Logits of "no relation" and "relation", float [B, P, 2], and the probability of the relation, float [B, P].
            Padding has `NO_RELATION` and probability 0.
        """
        head, classifier = self.head, self.head.rel_classifier
        states = hidden.gather(1, entity_tokens[..., None].expand(-1, -1, hidden.shape[-1]))
        entities = torch.cat([states, head.entity_emb(entity_labels)], dim=-1)
        heads, tails = head.ffnn_head(entities), head.ffnn_tail(entities)
        width = heads.shape[-1]
        head_part = F.linear(heads, classifier.linear.weight[:, :width], classifier.linear.bias)
        tail_part = F.linear(tails, classifier.linear.weight[:, width:])
        of_head, of_tail = pairs.unbind(-1)
        cell = of_head * entity_tokens.shape[1] + of_tail
        logits = []
        for kind in range(2):
            grid = (heads @ classifier.bilinear.weight[kind]) @ tails.transpose(1, 2)
            picked = grid.flatten(1).gather(1, cell)
            logits.append(picked + head_part[..., kind].gather(1, of_head) + tail_part[..., kind].gather(1, of_tail))
        result = torch.stack(logits, dim=-1)
        if head.geometry is not None:
            assert entity_boxes is not None
            result = result + self._geometry(pairs, entity_boxes, entity_order)
        index = torch.arange(pairs.shape[1], device=pairs.device)
        meant = (index[None, :] < pair_count[:, None])[..., None]
        result = torch.where(meant, result, result.new_tensor(NO_RELATION))
        return result, torch.softmax(result, dim=-1)[..., 1]

    def _geometry(self, pairs: Tensor, boxes: Tensor, order: Tensor | None) -> Tensor:
        """Float [B, P, 2]: all pages in one list of entities, as the head takes them."""
        assert self.head.geometry is not None
        batch, count = boxes.shape[0], boxes.shape[1]
        first = torch.arange(batch, device=pairs.device)[:, None, None] * count
        flat = (pairs + first).flatten(0, 1)
        features = pair_geometry(boxes.flatten(0, 1), flat, None if order is None else order.flatten())
        return self.head.geometry(features).unflatten(0, (batch, -1))


@contextmanager
def expressible(model: KieModel) -> Iterator[None]:
    """Within this, the attention mask of `model` has a row a query, which ONNX Runtime's operator asks for.

    The relative position bias, where the model has one, is built from look-ups that ONNX Runtime does fast.
    """
    encoder: Any = model.base_model.encoder
    if hasattr(encoder, "mask"):
        encoder.mask = partial(relative_mask, encoder)
        try:
            yield
        finally:
            del encoder.mask
        return
    hooks = [layer.register_forward_pre_hook(_row_a_query) for layer in encoder.layer]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _row_a_query(_: nn.Module, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    hidden, mask = inputs
    return hidden, mask.expand(-1, -1, hidden.shape[1], -1)


def relative_mask(
    encoder: Any, bbox: Tensor, positions: Tensor, attention_mask: Tensor | None, dtype: torch.dtype
) -> Tensor | None:
    """`LayoutLMv2Encoder.mask` with tables of fixed size.

    A distance along the sequence beyond `max_rel_pos` has the bucket of `max_rel_pos`, so clamping it changes nothing.
    Padded keys get an x so far to the right that their distance falls into a row of its own, which holds `MASKED`: one
    look-up a pair of tokens then gives bias and padding at once.

    Returns:
        Float [B, heads, L, L] or [B, 1, L, L]; None when there is nothing to add.
    """
    config = encoder.config
    padded = None if attention_mask is None else attention_mask == 0
    bias: Tensor | None = None
    if config.has_spatial_attention_bias:
        reach, bins = config.max_2d_position_embeddings - 1, config.rel_2d_pos_bins
        buckets = bucket_table(reach, bins, config.max_rel_2d_pos)
        weight_x, weight_y = encoder.rel_pos_x_bias.weight, encoder.rel_pos_y_bias.weight
        joint = (weight_x[:, :, None] + weight_y[:, None, :]).flatten(1)
        joint = torch.cat([joint, joint.new_full((joint.shape[0], bins), MASKED)], dim=1)
        buckets_x = torch.cat([buckets, buckets.new_full((reach + 1,), bins)])
        x, y = bbox[..., 0], bbox[..., 3]
        key_x = x if padded is None else x.masked_fill(padded, 2 * reach + 1)
        distance_x = key_x[:, None, :] - x[:, :, None] + reach
        distance_y = y[:, None, :] - y[:, :, None] + reach
        index = _pick(buckets_x * bins, distance_x) + _pick(buckets, distance_y)
        bias = _heads_of(joint, index)
        padded = None
    if config.has_relative_attention_bias:
        reach = config.max_rel_pos
        table = encoder.rel_pos_bias.weight[:, bucket_table(reach, config.rel_pos_bins, reach)]
        along = _heads_of(table, (positions[None, :] - positions[:, None]).clamp(-reach, reach)[None] + reach)
        bias = along if bias is None else bias + along
    mask = attention_mask_bias(None if padded is None else attention_mask, bias, dtype)
    return mask if mask is None else mask.expand(-1, -1, bbox.shape[1], -1)


def _pick(table: Tensor, index: Tensor) -> Tensor:
    """`table[index]` for a table of one dimension, as one element-wise look-up, which is the fast one."""
    return table.gather(0, index.flatten()).view_as(index)


def _heads_of(tables: Tensor, index: Tensor) -> Tensor:
    """[heads, K] and int64 [B, L, L] -> [B, heads, L, L], a look-up a head, so that nothing has to be transposed."""
    return torch.stack([_pick(table, index) for table in tables.unbind(0)], dim=1)
