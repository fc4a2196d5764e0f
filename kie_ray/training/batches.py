"""Annotated pages to one training batch: masked tokens, BIO targets, candidate pairs with their gold answer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kie_ray.encoding import EncodedPage, LabelSet, PageEncoder, collate
from kie_ray.encoding.batching import IGNORED_LABEL
from kie_ray.records import OTHER, Page
from kie_ray.training.config import AugmentConfig


@dataclass(slots=True)
class TrainBatch:
    """W windows of all pages, E entities, P candidate pairs, A answers (tails that have at least one candidate).

    `input_ids`, `attention_mask`, `ser_targets`, `mlm_targets`: int64 [W, T]; `bbox`: int64 [W, T, 4].
    `occurrences`: int64 [N, 3] (window, token, entity). `entity_labels`, `entity_order`: int64 [E]; `entity_boxes`:
    float32 [E, 4] in 0..1000. `pairs`: int64 [P, 2]; `pair_targets`, `pair_tails`: int64 [P]. `num_tails`: A.
    """

    input_ids: Tensor
    bbox: Tensor
    attention_mask: Tensor
    ser_targets: Tensor
    mlm_targets: Tensor
    occurrences: Tensor
    entity_labels: Tensor
    entity_order: Tensor
    entity_boxes: Tensor
    pairs: Tensor
    pair_targets: Tensor
    pair_tails: Tensor
    num_tails: int
    num_tokens: int

    def to(self, device: torch.device) -> TrainBatch:
        """The same batch on `device`."""
        moved: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            moved[item.name] = value.to(device) if isinstance(value, Tensor) else value
        return TrainBatch(**moved)


def build_batch(
    pages: Sequence[Page],
    token_ids: Sequence[Sequence[Sequence[int]]],
    encoder: PageEncoder,
    labels: LabelSet,
    relation_pairs: Sequence[tuple[str, str]],
    augment: AugmentConfig,
    rng: random.Random,
) -> TrainBatch:
    """Encode gold pages into a batch; cuts of long pages fall elsewhere each time.

    `token_ids`: by page and line, as `PageEncoder.tokenize` gives them.
    """
    encoded = [
        encoder.encode(page, True, token_ids=ids, offset=rng.randrange(1, encoder.max_tokens), page_number=number)
        for number, (page, ids) in enumerate(zip(pages, token_ids, strict=True))
    ]
    windows = [window for item in encoded for window in item.windows]
    batch = collate(windows, encoder.tokenizer.pad_id)
    input_ids, mlm_targets = _mask_tokens(batch.input_ids, batch.line_index, batch.page, encoder, augment, rng)
    entities = _entities(pages, encoded, labels)
    pairs, targets, tails, num_tails = _candidates(pages, entities.lines, relation_pairs)
    return TrainBatch(
        input_ids=input_ids,
        bbox=batch.bbox,
        attention_mask=batch.attention_mask,
        ser_targets=batch.labels,
        mlm_targets=mlm_targets,
        occurrences=entities.occurrences,
        entity_labels=entities.labels,
        entity_order=entities.order,
        entity_boxes=entities.boxes,
        pairs=pairs,
        pair_targets=targets,
        pair_tails=tails,
        num_tails=num_tails,
        num_tokens=int(batch.lengths.sum()),
    )


def _mask_tokens(
    input_ids: Tensor,
    line_index: Tensor,
    page: Tensor,
    encoder: PageEncoder,
    augment: AugmentConfig,
    rng: random.Random,
) -> tuple[Tensor, Tensor]:
    """BERT's masking (80% mask, 10% random, 10% kept) of single tokens, and whole lines masked without a target."""
    generator = np.random.default_rng(rng.getrandbits(64))
    ids, lines = input_ids.numpy().copy(), line_index.numpy()
    real = lines >= 0
    chosen = real & (generator.random(ids.shape) < augment.token_mask)
    targets = np.where(chosen, ids, IGNORED_LABEL)
    kind = generator.random(ids.shape)
    ids[chosen & (kind < 0.8)] = encoder.tokenizer.mask_id
    swap = chosen & (kind >= 0.9)
    lowest = max(encoder.tokenizer.special_ids) + 1
    ids[swap] = generator.integers(lowest, encoder.tokenizer.vocab_size, int(swap.sum()))
    # A line is masked in every window that holds it, so its text cannot be read from a neighbour.
    keys = page.numpy()[:, None].astype(np.int64) * 1_000_000 + lines
    dropped = [key for key in np.unique(keys[real]).tolist() if generator.random() < augment.token_drop]
    hidden = real & np.isin(keys, dropped)
    ids[hidden] = encoder.tokenizer.mask_id
    targets[hidden] = IGNORED_LABEL
    return torch.from_numpy(ids), torch.from_numpy(targets)


@dataclass(slots=True)
class _Entities:
    lines: list[dict[int, int]]  # per page: line id -> entity
    occurrences: Tensor
    labels: Tensor
    order: Tensor
    boxes: Tensor


def _entities(pages: Sequence[Page], encoded: Sequence[EncodedPage], labels: LabelSet) -> _Entities:
    by_id: list[dict[int, int]] = []
    occurrences: list[tuple[int, int, int]] = []
    label_ids: list[int] = []
    order: list[int] = []
    boxes: list[tuple[float, ...]] = []
    row = 0
    for page, item in zip(pages, encoded, strict=True):
        known: dict[int, int] = {}
        scale = (1000 / page.width, 1000 / page.height) * 2
        for rank, index in enumerate(item.order):
            line = page.lines[index]
            positions = item.entity_positions(index)
            if line.label == OTHER or not positions:
                continue
            entity = len(label_ids)
            known[line.id] = entity
            occurrences += [(row + window, token, entity) for window, token in positions]
            label_ids.append(labels.class_id(line.label) - 1)
            order.append(rank)
            boxes.append(tuple(value * factor for value, factor in zip(line.box, scale, strict=True)))
        by_id.append(known)
        row += len(item.windows)
    return _Entities(
        by_id,
        torch.tensor(occurrences, dtype=torch.int64).reshape(-1, 3),
        torch.tensor(label_ids, dtype=torch.int64),
        torch.tensor(order, dtype=torch.int64),
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
    )


def _candidates(
    pages: Sequence[Page], known: Sequence[dict[int, int]], relation_pairs: Sequence[tuple[str, str]]
) -> tuple[Tensor, Tensor, Tensor, int]:
    pairs: list[tuple[int, int]] = []
    targets: list[int] = []
    tails: list[int] = []
    num_tails = 0
    for page, entities in zip(pages, known, strict=True):
        gold = {(link.key_line, link.value_line) for link in page.links}
        labelled = [(line.id, line.label) for line in page.lines if line.id in entities]
        for tail_id, tail_label in labelled:
            heads = [h for h, label in labelled if (label, tail_label) in relation_pairs and h != tail_id]
            if not heads:
                continue
            for head_id in heads:
                pairs.append((entities[head_id], entities[tail_id]))
                targets.append(int((head_id, tail_id) in gold))
                tails.append(num_tails)
            num_tails += 1
    return (
        torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2),
        torch.tensor(targets, dtype=torch.int64),
        torch.tensor(tails, dtype=torch.int64),
        num_tails,
    )
