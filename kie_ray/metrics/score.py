"""Precision, recall and their harmonic mean from counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of one comparison; adding two scores pools them (micro average).

    `correct`: true positives. `predicted`: everything predicted. `support`: everything in the gold.
    A quotient with denominator 0 is 0, as in seqeval and PaddleOCR.
    """

    correct: int = 0
    predicted: int = 0
    support: int = 0

    @property
    def precision(self) -> float:
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        return self.correct / self.support if self.support else 0.0

    @property
    def hmean(self) -> float:
        """F1: 2PR / (P + R)."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    def __add__(self, other: Score) -> Score:
        return Score(self.correct + other.correct, self.predicted + other.predicted, self.support + other.support)

    def to_dict(self) -> dict[str, float]:
        return {
            "precision": self.precision,
            "recall": self.recall,
            "hmean": self.hmean,
            "support": self.support,
            "predicted": self.predicted,
            "correct": self.correct,
        }


@dataclass(frozen=True, slots=True)
class ClassScores:
    """A pooled score and its parts by class name."""

    overall: Score
    classes: dict[str, Score]

    def to_dict(self) -> dict[str, object]:
        """`Score.to_dict` of the pooled score with `classes` beside it."""
        return {**self.overall.to_dict(), "classes": {name: score.to_dict() for name, score in self.classes.items()}}
