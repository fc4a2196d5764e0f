"""Annotated pages to one training batch: masked tokens, BIO targets, candidate pairs with their gold answer.

Windows of similar length are padded together; after the encoder only real tokens are left, in one flat row ("the
tokens" below), so no loss sees padding.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kie_ray.encoding import EncodedPage, LabelSet, PageEncoder, Window
from kie_ray.encoding.batching import IGNORED_LABEL, collate, padded_length
from kie_ray.encoding.page_image import ImageKind, model_images
from kie_ray.records import OTHER, Page
from kie_ray.training.alignment import PageImages, hide_regions
from kie_ray.training.config import AugmentConfig

PADDING_WASTE = 0.08
"""Share of padding that a group of windows may have; a window that would exceed it starts a group of its own."""

PAD_TO = 8
"""Windows are padded to a multiple of so many tokens."""


@dataclass(frozen=True, slots=True)
class WindowGroup:
    """Windows padded to one length: int64 [W, T], [W, T, 4], [W, T]; `pages` int64 [W], the page of each."""

    input_ids: Tensor
    bbox: Tensor
    attention_mask: Tensor
    pages: Tensor

    def to(self, device: torch.device) -> WindowGroup:
        """The same on `device`."""
        return WindowGroup(
            self.input_ids.to(device), self.bbox.to(device), self.attention_mask.to(device), self.pages.to(device)
        )


@dataclass(slots=True)
class TrainBatch:
    """N tokens in `groups`, E entities, P candidate pairs, A answers (tails that have at least one candidate).

    `ser_targets`, `mlm_targets`: int64 [N]. `occurrences`: int64 [K, 2] (token, entity), an entity's first token in
    each window that holds it. `entity_labels`, `entity_order`: int64 [E]; `entity_boxes`: float32 [E, 4] in 0..1000.
    `pairs`: int64 [P, 2]; `pair_targets`, `pair_tails`, `pair_pages`: int64 [P]. `num_tails`: A. `num_pages`: pages.
    `images`: of the pages, where the model sees them.
    """

    groups: tuple[WindowGroup, ...]
    ser_targets: Tensor
    mlm_targets: Tensor
    occurrences: Tensor
    entity_labels: Tensor
    entity_order: Tensor
    entity_boxes: Tensor
    pairs: Tensor
    pair_targets: Tensor
    pair_tails: Tensor
    pair_pages: Tensor
    num_tails: int
    num_pages: int
    images: PageImages | None = None

    @property
    def num_tokens(self) -> int:
        return len(self.ser_targets)

    @property
    def num_padded_tokens(self) -> int:
        """Tokens that the encoder computes, padding included."""
        return sum(group.input_ids.numel() for group in self.groups)

    def to(self, device: torch.device) -> TrainBatch:
        """The same batch on `device`."""
        moved: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            moved[item.name] = value.to(device) if isinstance(value, Tensor | PageImages) else value
        moved["groups"] = tuple(group.to(device) for group in self.groups)
        return TrainBatch(**moved)


def build_batch(
    pages: Sequence[Page],
    encoder: PageEncoder,
    labels: LabelSet,
    relation_pairs: Sequence[tuple[str, str]],
    augment: AugmentConfig,
    rng: random.Random,
    image: ImageKind = "none",
    matched: Sequence[bool] | None = None,
) -> TrainBatch:
    """Encode gold pages into a batch; the cuts of long pages fall elsewhere each time.

    Args:
        image: how a page becomes the model's image; all pages then have `pixels`.
        matched: whether a page has its own image, see `kie_ray.training.alignment.mismatch`; None: all have.
    """
    encoded = [
        encoder.encode(page, True, token_ids=ids, offset=rng.randrange(1, encoder.max_tokens), page_number=number)
        for number, (page, ids) in enumerate(zip(pages, encoder.tokenize(pages), strict=True))
    ]
    windows = [window for item in encoded for window in item.windows]
    mlm_targets = _mask_tokens(windows, encoder, augment, rng)
    chosen = group_windows([len(window) for window in windows])
    entities = _entities(pages, encoded, labels, _first_tokens(windows, chosen))
    candidates = _candidates(pages, entities.lines, relation_pairs)
    order = [index for group in chosen for index in group]
    groups = []
    for group in chosen:
        batch = collate([windows[index] for index in group], encoder.tokenizer.pad_id, PAD_TO)
        groups.append(WindowGroup(batch.input_ids, batch.bbox, batch.attention_mask, batch.page))
    images: PageImages | None = None
    if image != "none":
        own = [True] * len(pages) if matched is None else matched
        mask_id = encoder.tokenizer.mask_id
        hidden = hide_regions(pages, own, encoded, windows, mlm_targets, mask_id, augment.line_cover, rng)
        covered = _flat([hidden[1][index] for index in order])
        images = PageImages(model_images(hidden[0], image), covered, torch.tensor(own, dtype=torch.int64))
    return TrainBatch(
        groups=tuple(groups),
        ser_targets=_flat([windows[index].labels for index in order]),
        mlm_targets=_flat([mlm_targets[index] for index in order]),
        occurrences=entities.occurrences,
        entity_labels=entities.labels,
        entity_order=entities.order,
        entity_boxes=entities.boxes,
        pairs=candidates.pairs,
        pair_targets=candidates.targets,
        pair_tails=candidates.tails,
        pair_pages=candidates.pages,
        num_tails=candidates.num_tails,
        num_pages=len(pages),
        images=images,
    )


def group_windows(lengths: Sequence[int], waste: float = PADDING_WASTE) -> list[list[int]]:
    """Indices of windows, longest first, in groups of which each has at most the share `waste` of padding.

    The last few tokens up to a multiple of 8 do not count as waste: a single window has them as well.
    """
    groups: list[list[int]] = []
    used = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        size = padded_length(lengths[index], PAD_TO)
        if groups:
            longest = padded_length(lengths[groups[-1][0]], PAD_TO)
            computed = longest * (len(groups[-1]) + 1)
            if computed - used - size <= waste * computed:
                groups[-1].append(index)
                used += size
                continue
        groups.append([index])
        used = size
    return groups


def _flat(parts: Sequence[NDArray[np.int64] | None]) -> Tensor:
    known = [part for part in parts if part is not None]
    return torch.from_numpy(np.concatenate(known) if known else np.empty(0, np.int64))


def _first_tokens(windows: Sequence[Window], groups: Sequence[Sequence[int]]) -> dict[tuple[int, int], int]:
    """Flat position of each window's first token, by (page, window of the page)."""
    positions: dict[tuple[int, int], int] = {}
    offset = 0
    for group in groups:
        for index in group:
            positions[windows[index].page, windows[index].index] = offset
            offset += len(windows[index])
    return positions


def _mask_tokens(
    windows: Sequence[Window], encoder: PageEncoder, augment: AugmentConfig, rng: random.Random
) -> list[NDArray[np.int64]]:
    """BERT's masking (80% mask, 10% random, 10% kept) of single tokens, and whole lines masked without a target.

    Changes the windows' `input_ids` and gives the targets of each window.
    """
    tokenizer = encoder.tokenizer
    generator = np.random.default_rng(rng.getrandbits(64))
    lowest = max(tokenizer.special_ids) + 1
    # A line is masked in every window that holds it, so its text cannot be read from a neighbour.
    keys = sorted({(window.page, line) for window in windows for line in np.unique(window.line_index).tolist()})
    dropped = {key for key in keys if generator.random() < augment.token_drop}
    targets = []
    for window in windows:
        ids = window.input_ids.copy()
        chosen = generator.random(len(ids)) < augment.token_mask
        target = np.where(chosen, ids, IGNORED_LABEL)
        kind = generator.random(len(ids))
        ids[chosen & (kind < 0.8)] = tokenizer.mask_id
        swap = chosen & (kind >= 0.9)
        ids[swap] = generator.integers(lowest, tokenizer.vocab_size, int(swap.sum()))
        hidden = np.array([(window.page, line) in dropped for line in window.line_index.tolist()], bool)
        ids[hidden] = tokenizer.mask_id
        target[hidden] = IGNORED_LABEL
        window.input_ids = ids
        targets.append(target)
    return targets


@dataclass(slots=True)
class _Entities:
    lines: list[dict[int, int]]  # per page: line id -> entity
    occurrences: Tensor
    labels: Tensor
    order: Tensor
    boxes: Tensor


def _entities(
    pages: Sequence[Page],
    encoded: Sequence[EncodedPage],
    labels: LabelSet,
    first_tokens: dict[tuple[int, int], int],
) -> _Entities:
    by_id: list[dict[int, int]] = []
    occurrences: list[tuple[int, int]] = []
    label_ids: list[int] = []
    order: list[int] = []
    boxes: list[tuple[float, ...]] = []
    for number, (page, item) in enumerate(zip(pages, encoded, strict=True)):
        known: dict[int, int] = {}
        scale = (1000 / page.width, 1000 / page.height) * 2
        for rank, index in enumerate(item.order):
            line = page.lines[index]
            positions = item.entity_positions(index)
            if line.label == OTHER or not positions:
                continue
            entity = len(label_ids)
            known[line.id] = entity
            occurrences += [(first_tokens[number, window] + token, entity) for window, token in positions]
            label_ids.append(labels.class_id(line.label) - 1)
            order.append(rank)
            boxes.append(tuple(value * factor for value, factor in zip(line.box, scale, strict=True)))
        by_id.append(known)
    return _Entities(
        by_id,
        torch.tensor(occurrences, dtype=torch.int64).reshape(-1, 2),
        torch.tensor(label_ids, dtype=torch.int64),
        torch.tensor(order, dtype=torch.int64),
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
    )


@dataclass(slots=True)
class _Candidates:
    pairs: Tensor
    targets: Tensor
    tails: Tensor
    pages: Tensor
    num_tails: int


def _candidates(
    pages: Sequence[Page], known: Sequence[dict[int, int]], relation_pairs: Sequence[tuple[str, str]]
) -> _Candidates:
    pairs: list[tuple[int, int]] = []
    targets: list[int] = []
    tails: list[int] = []
    page_of: list[int] = []
    num_tails = 0
    for number, (page, entities) in enumerate(zip(pages, known, strict=True)):
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
                page_of.append(number)
            num_tails += 1
    return _Candidates(
        torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2),
        torch.tensor(targets, dtype=torch.int64),
        torch.tensor(tails, dtype=torch.int64),
        torch.tensor(page_of, dtype=torch.int64),
        num_tails,
    )
