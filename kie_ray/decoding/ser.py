"""From token scores to one label and one score a line.

Default: averaged class probabilities. PaddleOCR's majority vote stays available for comparison with its figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kie_ray.encoding.labels import LabelSet
from kie_ray.records import OTHER


@dataclass(frozen=True, slots=True)
class LineLabels:
    """Labels of L lines in the class order of the bundle's `LabelSet`.

    `class_ids` int64 [L] indexes `LabelSet.classes`; `scores` float32 [L] is the averaged probability of that class;
    `class_probabilities` float32 [L, C] holds all classes (rows sum to 1, or to 0 for a line without a token).
    """

    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    class_probabilities: NDArray[np.float32]


def decode_ser(probabilities: Tensor, line_index: Tensor, num_lines: int, labels: LabelSet) -> LineLabels:
    """Average the token probabilities of each line and take its best class.

    B-X and I-X are summed to X: which of the two a token is says nothing about the class of its line. Averages run over
    every (token, window) occurrence. Windows are cut at line borders, so this equals the mean over windows of the mean
    over tokens. Several pages can be decoded at once by giving their lines consecutive indices.

    Args:
        probabilities: float [N, len(labels.names)], softmax over BIO labels, the tokens of all windows in any order.
        line_index: int64 [N], the line of each token in [0, num_lines); negative for tokens that belong to no line
            (padding, special tokens), which are ignored.
        num_lines: L. A line without a token (blank text) keeps its index: OTHER with score 0 and an all-zero row of
            class probabilities, because the model said nothing about it.

    Ties go to the smallest class id. Sums run on the CPU in float64, so the result does not depend on the order in
    which a GPU happens to add.

    Raises:
        ValueError: shapes disagree, a line index is too large, or a probability is not finite.
    """
    num_bio = len(labels.names)
    if probabilities.ndim != 2 or probabilities.shape[1] != num_bio or line_index.shape != probabilities.shape[:1]:
        raise ValueError(
            f"probabilities must be [N, {num_bio}] and line_index [N], "
            f"got {list(probabilities.shape)} and {list(line_index.shape)}"
        )
    values = probabilities.detach().to("cpu", torch.float64)
    index = line_index.detach().to("cpu", torch.int64)
    if not bool(torch.isfinite(values).all()):
        raise ValueError("token probabilities hold NaN or infinity: the model's weights or inputs are broken")
    kept = index >= 0
    values, index = values[kept], index[kept]
    if index.numel() and int(index.max()) >= num_lines:
        raise ValueError(f"line_index goes up to {int(index.max())}, but there are {num_lines} lines")

    of_line = torch.zeros(num_lines, num_bio, dtype=torch.float64).index_add_(0, index, values)
    sums = torch.zeros(num_lines, len(labels.classes), dtype=torch.float64)
    sums.index_add_(1, torch.from_numpy(bio_to_class(labels)), of_line)
    counts = torch.bincount(index, minlength=num_lines)
    means = (sums / counts.clamp(min=1).unsqueeze(1)).numpy()

    class_ids = np.where(counts.numpy() > 0, means.argmax(axis=1), labels.class_id(OTHER)).astype(np.int64)
    scores = np.take_along_axis(means, class_ids[:, None], axis=1)[:, 0]
    return LineLabels(class_ids, scores.astype(np.float32), means.astype(np.float32))


def vote_paddle(
    token_ids: NDArray[np.int64], line_index: NDArray[np.int64], num_lines: int, labels: LabelSet
) -> NDArray[np.int64]:
    """PaddleOCR's rule (`vqa_token_ser_layoutlm_postprocess.py`): majority of the tokens' classes.

    Args:
        token_ids: int64 [N], the arg-max BIO label of each token.
        line_index: int64 [N], as in `decode_ser`.

    Returns:
        int64 [num_lines], index into `labels.classes`. Ties go to the smallest id, so OTHER wins any tie that it is in;
        a line without a token (beyond the window) is OTHER.
    """
    num_classes = len(labels.classes)
    kept = line_index >= 0
    votes = line_index[kept] * num_classes + bio_to_class(labels)[token_ids[kept]]
    counts = np.bincount(votes, minlength=num_lines * num_classes).reshape(num_lines, num_classes)
    return np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), labels.class_id(OTHER)).astype(np.int64)


def lines_of_offsets(segment_ends: Sequence[int], num_tokens: int) -> NDArray[np.int64]:
    """PaddleOCR's `segment_offset_id` (end offset of each line, ascending) as a line index per token.

    Returns int64 [num_tokens]; tokens behind the last line (padding) get -1. Ends beyond `num_tokens` are cut.
    """
    ends = np.asarray(segment_ends, dtype=np.int64)
    index = np.searchsorted(ends, np.arange(num_tokens), side="right").astype(np.int64)
    index[index >= len(ends)] = -1
    return index


def bio_to_class(labels: LabelSet) -> NDArray[np.int64]:
    """int64 [len(labels.names)]: the class id of each BIO label; O is OTHER."""
    return np.array([labels.class_id(labels.class_of(index)) for index in range(labels.num_labels)], dtype=np.int64)
