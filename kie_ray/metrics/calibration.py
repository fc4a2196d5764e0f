"""Does a score mean what it says? Reliability bins, expected calibration error (ECE), thresholds for a precision.

Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 2.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kie_ray.metrics.fields import normal_text
from kie_ray.metrics.lines import paired, relations
from kie_ray.records import OTHER, Field, Page

BINS = 15
"""As in the paper."""

WANTED_PRECISION = 0.95
"""The precision whose threshold `Calibration` names."""

_ROUNDING = 1e-5  # sums of float32 probabilities end a little above 1


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions with a score above `low` and up to `high`.

    `score`: their mean score. `accuracy`: the share of them that is right. Both None where `count` is 0.
    """

    low: float
    high: float
    count: int
    score: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far the scores of one kind of prediction can be trusted.

    `bins`: equal-width reliability bins. `ece`: None where nothing was predicted. `threshold`: the lowest score at and
    above which WANTED_PRECISION is reached, None where no score reaches it. `kept`: share of the predictions that the
    threshold is for which it lets pass.
    """

    bins: tuple[Bin, ...]
    ece: float | None
    threshold: float | None
    kept: float

    @classmethod
    def of(cls, scores: ArrayLike, correct: ArrayLike, answers: ArrayLike | None = None) -> Calibration:
        """Measure N predictions.

        Args:
            scores: float [N], 0..1. correct: bool [N].
            answers: bool [N], the predictions that the threshold is for; all when not given.

        Raises:
            ValueError: shapes differ, or a score is not within 0..1.
        """
        values, right = _checked(scores, correct)
        asked = np.ones(len(values), np.bool_) if answers is None else np.asarray(answers, np.bool_)
        bins = reliability_bins(values, right)
        threshold = threshold_for_precision(values[asked], right[asked], WANTED_PRECISION)
        kept = 0.0 if threshold is None else float((values[asked] >= threshold).mean())
        return cls(tuple(bins), expected_calibration_error(bins), threshold, kept)

    def to_dict(self) -> dict[str, Any]:
        """`ece`, `reliability` (one object a bin) and `threshold` with its precision and the share that it keeps."""
        return {
            "ece": self.ece,
            "reliability": [asdict(one) for one in self.bins],
            "threshold": {"precision": WANTED_PRECISION, "score": self.threshold, "kept": self.kept},
        }


def label_calibration(gold_pages: Sequence[Page], predicted_pages: Sequence[Page]) -> Calibration:
    """Label scores of lines: a line is right when its label is the gold one. ECE and bins are over all lines.

    The threshold is for the lines that are predicted to be an entity, so its precision is the one of `ser_scores`. A
    line that the gold lacks should have been OTHER. Lines with score 0 (blank: the model had no token to judge by) say
    nothing and are left out.
    """
    scores, correct, entity = [], [], []
    for gold, predicted in paired(gold_pages, predicted_pages):
        label = {line.id: line.label for line in gold.lines}
        for line in predicted.lines:
            if line.label_score > 0:
                scores.append(line.label_score)
                correct.append(line.label == label.get(line.id, OTHER))
                entity.append(line.label != OTHER)
    return Calibration.of(scores, correct, entity)


def link_calibration(
    gold_pages: Sequence[Page], predicted_pages: Sequence[Page], relation_pairs: Sequence[tuple[str, str]]
) -> Calibration:
    """Scores of predicted links: a link is right when the gold has it. Links that were not predicted have no score."""
    scores, correct = [], []
    for gold, predicted in paired(gold_pages, predicted_pages):
        truth = relations(gold, relation_pairs)
        for link in predicted.links:
            scores.append(link.score)
            correct.append((link.key_line, link.value_line) in truth)
    return Calibration.of(scores, correct)


def field_calibration(
    gold_fields: Sequence[Sequence[Field]], predicted_fields: Sequence[Sequence[Field]]
) -> Calibration:
    """Scores of fields: right as in `field_scores`; of equal fields of a page the best-scored ones are right first."""
    scores, correct = [], []
    for gold, predicted in zip(gold_fields, predicted_fields, strict=True):
        left = Counter((normal_text(item.key), normal_text(item.value)) for item in gold)
        for item in sorted(predicted, key=lambda item: -item.score):
            text = normal_text(item.key), normal_text(item.value)
            scores.append(item.score)
            correct.append(left[text] > 0)
            left[text] -= 1
    return Calibration.of(scores, correct)


def reliability_bins(
    scores: ArrayLike, correct: ArrayLike, count: int = BINS, *, equal_mass: bool = False
) -> list[Bin]:
    """Mean score and accuracy by score.

    Args:
        scores: float [N], 0..1. correct: bool [N].
        count: number of bins.
        equal_mass: bins with about N / count predictions each, in place of bins of width 1 / count. Equal scores share
            a bin, so there may be fewer bins; none is empty.

    Raises:
        ValueError: shapes differ, or a score is not within 0..1.
    """
    values, right = _checked(scores, correct)
    edges = np.arange(count + 1) / count
    if equal_mass:
        if not len(values):
            return []
        # Edges are scores that occur, so that equal scores fall into one bin and no bin is empty.
        quantiles = np.quantile(values, edges[1:], method="inverted_cdf")
        edges = np.unique(np.concatenate([[0.0], quantiles]))
        if len(edges) == 1:  # every score is 0
            edges = np.array([0.0, 0.0])
    place = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, len(edges) - 2)
    bins = []
    for index, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        inside = place == index
        number = int(inside.sum())
        score, accuracy = (float(values[inside].mean()), float(right[inside].mean())) if number else (None, None)
        bins.append(Bin(low, high, number, score, accuracy))
    return bins


def expected_calibration_error(bins: Sequence[Bin]) -> float | None:
    """ECE: mean of |accuracy - score| over the bins, weighted by count (Guo et al., equation 3). None without counts.

    0.05 says: what carries a score of 0.90 is right in 85 % or 95 % of the cases, as a rule of thumb.
    """
    total = sum(one.count for one in bins)
    if not total:
        return None
    gaps = (
        one.count * abs(one.accuracy - one.score) for one in bins if one.accuracy is not None and one.score is not None
    )
    return sum(gaps) / total


def threshold_for_precision(scores: ArrayLike, correct: ArrayLike, precision: float) -> float | None:
    """The lowest score such that of all predictions with at least this score a share of `precision` is right.

    None where no score is high enough. Precision need not grow with the threshold: a few bad predictions at the very
    top do not hide a lower threshold that keeps more and is precise enough.
    """
    values, right = _checked(scores, correct)
    order = np.argsort(-values, kind="stable")
    values, hits = values[order], np.cumsum(right[order])
    last_of_tie = np.append(values[1:] != values[:-1], True)[: len(values)]
    # 0.55 * 100 is more than 55 in floating point.
    enough = last_of_tie & (hits >= precision * np.arange(1, len(values) + 1) - 1e-9)
    return float(values[np.flatnonzero(enough)[-1]]) if enough.any() else None


def threshold_text(threshold: float) -> str:
    """A threshold for people, rounded up: rounded down it would let more pass."""
    digits = 3 if threshold < 0.999 else 6
    return f"{math.ceil(threshold * 10**digits) / 10**digits:.{digits}f}"


def _checked(scores: ArrayLike, correct: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, right = np.asarray(scores, np.float64), np.asarray(correct, np.bool_)
    if values.ndim != 1 or values.shape != right.shape:
        raise ValueError(f"scores {list(values.shape)} and correct {list(right.shape)} must be [N] both")
    if len(values) and not (values.min() >= -_ROUNDING and values.max() <= 1 + _ROUNDING):
        raise ValueError(f"scores must lie within 0..1, they go from {values.min()} to {values.max()}")
    return np.clip(values, 0.0, 1.0), right
