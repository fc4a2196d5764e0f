"""From pair scores to links: which answer belongs to which question.

The module speaks line *indices* (positions in `Page.lines`) until the last step, which gives `Link`s by line id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kie_ray.records import Link

DEFAULT_RELATION_PAIRS: tuple[tuple[str, str], ...] = (("QUESTION", "ANSWER"),)
"""(label of the key line, label of the value line) of pairs that may be linked, where a bundle names none."""

Rule = Literal["best", "first", "all"]


@dataclass(frozen=True, slots=True)
class PairScores:
    """Every candidate pair of a page with its score.

    `pairs` int64 [P, 2]: index of the key line (head), index of the value line (tail). `scores` float32 [P]:
    probability that the two are linked.
    """

    pairs: NDArray[np.int64]
    scores: NDArray[np.float32]


def candidate_pairs(
    labels: Sequence[str], relation_pairs: Sequence[tuple[str, str]] = DEFAULT_RELATION_PAIRS
) -> NDArray[np.int64]:
    """All (i, j), i != j, whose labels form one of `relation_pairs`.

    Args:
        labels: label of each of the L lines.

    Returns:
        int64 [P, 2], sorted by i, then j (PaddleOCR's order), without duplicates; [0, 2] when there is none. Memory is
        proportional to P, not to L squared.
    """
    names = np.asarray(labels, dtype=np.str_)
    keys = [np.empty(0, dtype=np.int64)]
    for head_label, tail_label in relation_pairs:
        heads, tails = np.flatnonzero(names == head_label), np.flatnonzero(names == tail_label)
        keys.append((heads[:, None] * len(names) + tails[None, :]).ravel())
    key = np.unique(np.concatenate(keys))
    pairs = np.stack(np.divmod(key, max(1, len(names))), axis=1)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def score_pairs(logits: Tensor, pairs: NDArray[np.int64]) -> PairScores:
    """Softmax probability of class 1 ("linked").

    Args:
        logits: float [P, 2]: not linked, linked.
        pairs: int64 [P, 2] in the same order.

    Raises:
        ValueError: the shapes disagree or a logit is NaN.
    """
    if logits.shape != (len(pairs), 2):
        raise ValueError(f"{len(pairs)} pairs need logits [{len(pairs)}, 2], got {list(logits.shape)}")
    scores = torch.softmax(logits.detach().to("cpu", torch.float32), dim=-1)[:, 1].numpy()
    if np.isnan(scores).any():
        raise ValueError("pair logits hold NaN: the model's weights or inputs are broken")
    return PairScores(pairs, scores)


def select_links(
    scored: PairScores,
    line_ids: Sequence[int],
    *,
    threshold: float = 0.5,
    rule: Rule = "best",
    order: Sequence[int] | None = None,
) -> list[Link]:
    """The links that are kept, those with a score below `threshold` never among them.

    Args:
        scored: candidate pairs over line indices.
        line_ids: [L] id of each line of the page.
        threshold: least probability of a link.
        rule: "best": each value line goes to its best-scored key line; equal scores go to the key line that is nearest
            in reading order, then to the earlier one. "first": PaddleOCR's inference
            (`vqa_re_layoutlm_postprocess.py`), the first passing pair in the given order wins its value line, whatever
            the scores. "all": every passing pair (what PaddleOCR's RE metric counts). A key line may own many value
            lines under each rule.
        order: line indices in reading order, a permutation of [L]; the order of the lines when not given.

    Returns:
        Links in the order of `scored.pairs`.
    """
    passing = np.flatnonzero(scored.scores >= threshold)
    heads, tails = scored.pairs[passing].T
    if rule == "best":
        position = np.arange(len(line_ids)) if order is None else np.argsort(order)
        distance = np.abs(position[heads] - position[tails])
        walk = np.lexsort((position[heads], distance, -scored.scores[passing]))
    else:
        walk = np.arange(len(passing))
    if rule != "all":
        _, first = np.unique(tails[walk], return_index=True)
        walk = walk[first]
    return [
        Link(int(line_ids[scored.pairs[row, 0]]), int(line_ids[scored.pairs[row, 1]]), float(scored.scores[row]))
        for row in np.sort(passing[walk])
    ]
