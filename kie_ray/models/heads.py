"""Heads on top of the token encoder: SER (a label a token), RE (relation or not, a pair of entities), masked tokens.

The RE network is the biaffine decoder published with LayoutXLM (Xu et al. 2021, layoutlmft's `REDecoder`), vectorised:
its feed-forward networks run once an entity instead of once a pair, and all pairs of a batch are scored together.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import ACT2FN

from kie_ray.encoding.batching import IGNORED_LABEL
from kie_ray.models.geometry import PAIR_FEATURES, pair_geometry

GRID_WASTE = 16
"""Pairs are read out of a heads x tails grid as long as the grid holds at most this many cells a wanted pair."""


class SerHead(nn.Linear):
    """Dropout and a linear layer; a subclass so that its parameters are `classifier.weight` and `classifier.bias`."""

    def __init__(self, hidden_size: int, num_labels: int, dropout: float) -> None:
        super().__init__(hidden_size, num_labels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float [..., H] -> logits [..., num_labels]."""
        return super().forward(self.dropout(hidden))


class _PairClassifier(nn.Module):
    """Holds the parameters `bilinear.weight` [2, D, D] and `linear` (2D -> 2) under their published names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bilinear = nn.Bilinear(width, width, 2, bias=False)
        self.linear = nn.Linear(2 * width, 2)

    def forward(self, heads: Tensor, tails: Tensor, head_of: Tensor, tail_of: Tensor) -> Tensor:
        """Heads [N, D], tails [M, D], and for every pair its row in each, int64 [P] -> logits [P, 2]."""
        width = heads.shape[-1]
        head_part = F.linear(heads, self.linear.weight[:, :width], self.linear.bias)
        tail_part = F.linear(tails, self.linear.weight[:, width:])
        projected = torch.einsum("nd,kde->nke", heads, self.bilinear.weight)
        if heads.shape[0] * tails.shape[0] <= GRID_WASTE * head_of.shape[0]:
            grid = torch.einsum("nke,me->nmk", projected, tails)
            product = grid.reshape(-1, 2).index_select(0, head_of * tails.shape[0] + tail_of)
        else:
            product = torch.einsum("pke,pe->pk", projected[head_of], tails[tail_of])
        return product + head_part[head_of] + tail_part[tail_of]


class ReHead(nn.Module):
    """Scores pairs of entities. Dropout acts on entities, not on pairs, because the networks run once an entity.

    Args:
        hidden_size: H of the encoder.
        num_entity_labels: rows of the label embedding, in the bundle's `entity_labels` order.
        dropout: probability, on the entity states and inside the feed-forward networks.
        geometry: width of an extra network over the pair's geometry, added to the logits; 0 is the published head.
    """

    def __init__(self, hidden_size: int, num_entity_labels: int, dropout: float, geometry: int = 0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.entity_emb = nn.Embedding(num_entity_labels, hidden_size)
        self.ffnn_head = _feed_forward(hidden_size, dropout)
        self.ffnn_tail = _feed_forward(hidden_size, dropout)
        self.rel_classifier = _PairClassifier(hidden_size // 2)
        self.geometry: nn.Sequential | None = None
        if geometry > 0:
            self.geometry = nn.Sequential(
                nn.LayerNorm(PAIR_FEATURES),
                nn.Linear(PAIR_FEATURES, geometry),
                nn.GELU(),
                nn.Linear(geometry, geometry),
                nn.GELU(),
                nn.Linear(geometry, 2),
            )

    def forward(
        self, states: Tensor, labels: Tensor, pairs: Tensor, boxes: Tensor | None = None, order: Tensor | None = None
    ) -> Tensor:
        """Score pairs of entities; the entities of several pages may stand in one list.

        Args:
            states: float [E, H], hidden state of each entity's first token.
            labels: int64 [E], row of the label embedding.
            pairs: int64 [P, 2], (head, tail) as indices into the entities.
            boxes: float or int64 [E, 4], x0 y0 x1 y1 in 0..1000 of the page; needed when the head has a geometry part.
            order: int64 [E], index in the page's reading order; optional part of the geometry.

        Returns:
            Float [P, 2]: logits of "no relation" and "relation". No pair gives [0, 2], still attached to the graph.

        Raises:
            ValueError: the head has a geometry part and `boxes` is None.
        """
        entities = torch.cat([self.dropout(states), self.entity_emb(labels).to(states.dtype)], dim=-1)
        heads, head_of = torch.unique(pairs[:, 0], return_inverse=True)
        tails, tail_of = torch.unique(pairs[:, 1], return_inverse=True)
        logits = self.rel_classifier(self.ffnn_head(entities[heads]), self.ffnn_tail(entities[tails]), head_of, tail_of)
        if self.geometry is not None:
            if boxes is None:
                raise ValueError("this RE head was built with relation_geometry > 0: pass boxes [E, 4] in 0..1000")
            logits = logits + self.geometry(pair_geometry(boxes, pairs, order))
        return logits


def _feed_forward(hidden_size: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(2 * hidden_size, hidden_size),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden_size, hidden_size // 2),
        nn.ReLU(),
        nn.Dropout(dropout),
    )


class MaskedLmHead(nn.Module):
    """BERT's: dense, activation, LayerNorm, then the word embeddings as decoder (tied by the model) and a bias.

    Args:
        config: gives hidden_size, hidden_act, layer_norm_eps, vocab_size.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float [N, H] -> [N, vocab_size]."""
        return self.decoder(self.LayerNorm(self.activation(self.dense(hidden))))


def entity_states(hidden: Tensor, occurrences: Tensor, count: int) -> Tensor:
    """Average the hidden states of each entity's first token over the windows that contain the entity.

    Args:
        hidden: float [N, H], states of all tokens.
        occurrences: int64 [K, 2]: token, entity.
        count: E, the number of entities.

    Returns:
        Float [E, H].

    Raises:
        ValueError: an entity of 0..count-1 occurs in no window.
    """
    token, entity = occurrences.unbind(-1)
    times = torch.bincount(entity, minlength=count)
    if bool((times == 0).any()):
        missing = (times == 0).nonzero().flatten().tolist()
        raise ValueError(f"entities {missing[:10]} of {count} have no token in any window")
    picked = hidden[token]
    total = picked.new_zeros((count, hidden.shape[-1])).index_add(0, entity, picked)
    return total / times[:, None].to(total.dtype)


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


def relation_loss(logits: Tensor, targets: Tensor, pages: Tensor, positive_weight: float = 1.0) -> Tensor:
    """Mean cross-entropy of each page's candidates, summed over pages, as published (LayoutXLM, PaddleNLP).

    Args:
        logits: float [P, 2].
        targets: int64 [P], 1 for a gold relation.
        pages: int64 [P], any page number; pairs of one number form a page.
        positive_weight: factor on the terms of gold relations (published: 1).

    Returns:
        Float []. Exactly 0 (finite, differentiable) when there is no pair.
    """
    _, page_of, sizes = torch.unique(pages, return_inverse=True, return_counts=True)
    terms = F.cross_entropy(logits.float(), targets, reduction="none")
    if positive_weight != 1.0:
        terms = torch.where(targets == 1, terms * positive_weight, terms)
    return (terms / sizes[page_of].to(terms.dtype)).sum()
