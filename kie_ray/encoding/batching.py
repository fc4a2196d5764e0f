"""Windows to padded torch batches, and back to (page, line)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from kie_ray.encoding.page_encoder import Window
from kie_ray.errors import ConfigError

IGNORED_LABEL = -100
"""Label of padding, skipped by torch's cross entropy."""


@dataclass(slots=True)
class Batch:
    """B windows padded to T tokens, all int64.

    `input_ids` [B, T]; `bbox` [B, T, 4], zeros in padding; `attention_mask` [B, T] 1 for tokens; `labels` [B, T] with
    -100 in padding and for windows without gold labels; `line_index` [B, T] index into the page's lines, -1 in
    padding; `page` [B]; `window` [B] index of the window within its page; `lengths` [B] tokens without padding.
    """

    input_ids: torch.Tensor
    bbox: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    line_index: torch.Tensor
    page: torch.Tensor
    window: torch.Tensor
    lengths: torch.Tensor

    def __len__(self) -> int:
        return int(self.input_ids.shape[0])

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with the model inputs and labels on `device`; bookkeeping stays where it is."""
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            bbox=self.bbox.to(device),
            attention_mask=self.attention_mask.to(device),
            labels=self.labels.to(device),
        )


def collate(windows: Sequence[Window], pad_id: int, pad_to_multiple: int = 8) -> Batch:
    """Pad windows on the right to the longest one, rounded up to a multiple of `pad_to_multiple`.

    Raises:
        ValueError: no window given.
    """
    if not windows:
        raise ValueError("collate needs at least one window")
    rows, width = len(windows), padded_length(max(map(len, windows)), pad_to_multiple)
    input_ids = np.full((rows, width), pad_id, np.int64)
    bbox = np.zeros((rows, width, 4), np.int64)
    mask = np.zeros((rows, width), np.int64)
    labels = np.full((rows, width), IGNORED_LABEL, np.int64)
    line_index = np.full((rows, width), -1, np.int64)
    for row, window in enumerate(windows):
        length = len(window)
        input_ids[row, :length] = window.input_ids
        bbox[row, :length] = window.bbox
        mask[row, :length] = 1
        line_index[row, :length] = window.line_index
        if window.labels is not None:
            labels[row, :length] = window.labels
    return Batch(
        torch.from_numpy(input_ids),
        torch.from_numpy(bbox),
        torch.from_numpy(mask),
        torch.from_numpy(labels),
        torch.from_numpy(line_index),
        torch.tensor([window.page for window in windows]),
        torch.tensor([window.index for window in windows]),
        torch.tensor([len(window) for window in windows]),
    )


def padded_length(length: int, multiple: int) -> int:
    """`length` rounded up to a multiple, at least one multiple."""
    return max(1, -(-length // multiple)) * multiple


def tokens_at_once(device: str) -> int:
    """Padded tokens that should go through an encoder together at inference, by the kind of device (cpu, cuda).

    On a CPU more are slower: the widest states of a base-size layer no longer fit its cache (50 MB at 4096 tokens), and
    a batch of more windows holds more padding.
    """
    return 1024 if device == "cpu" else 4096


def batches_by_tokens(
    windows: Sequence[Window],
    max_tokens_per_batch: int,
    pad_to_multiple: int = 8,
    generator: np.random.Generator | None = None,
) -> list[list[int]]:
    """Group windows of similar length: indices into `windows`, longest batch first.

    Padded tokens of a batch (rows x padded length) stay within `max_tokens_per_batch`; a single longer window makes a
    batch of its own. With a `generator` equal lengths are mixed and the batches come in random order (training).

    Raises:
        ConfigError: `max_tokens_per_batch` is not positive.
    """
    if max_tokens_per_batch <= 0:
        raise ConfigError(f"max_tokens_per_batch = {max_tokens_per_batch} must be positive")
    padded = [padded_length(len(window), pad_to_multiple) for window in windows]
    shuffled = range(len(windows)) if generator is None else generator.permutation(len(windows)).tolist()
    batches: list[list[int]] = []
    for index in sorted(shuffled, key=lambda k: -padded[k]):
        if batches and padded[batches[-1][0]] * (len(batches[-1]) + 1) <= max_tokens_per_batch:
            batches[-1].append(index)
        else:
            batches.append([index])
    if generator is not None:
        batches = [batches[k] for k in generator.permutation(len(batches)).tolist()]
    return batches
