"""Which label is taken for which: the SER confusion matrix by line, and every error of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kie_ray.metrics.lines import paired, relations
from kie_ray.records import OTHER, Line, Link, Page

NO_LINE = "(no line)"
"""Stands for the label where OCR did not read a gold line, or read a line that the gold lacks."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """`counts` int64 [C, C]: lines by gold label (row) and predicted label (column), both in the order of `labels`.

    OTHER follows the entity labels; NO_LINE comes last, and only where it occurs.
    """

    labels: tuple[str, ...]
    counts: NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        return {"labels": list(self.labels), "counts": self.counts.tolist()}


def ser_confusion(gold_pages: Sequence[Page], predicted_pages: Sequence[Page], labels: Sequence[str] = ()) -> Confusion:
    """Count lines by gold and predicted label; lines are paired by id, as in `ser_scores`.

    Args:
        labels: labels to list first and in this order, whether they occur or not; others follow by name.

    Raises:
        ValueError: the two are not the same pages.
    """
    cells: dict[tuple[str, str], int] = {}
    for gold, predicted in paired(gold_pages, predicted_pages):
        gold_label = {line.id: line.label for line in gold.lines}
        predicted_label = {line.id: line.label for line in predicted.lines}
        for line_id in gold_label.keys() | predicted_label.keys():
            cell = gold_label.get(line_id, NO_LINE), predicted_label.get(line_id, NO_LINE)
            cells[cell] = cells.get(cell, 0) + 1
    found = {name for cell in cells for name in cell}
    last = [OTHER, *([NO_LINE] if NO_LINE in found else [])]
    names = [name for name in dict.fromkeys([*labels, *sorted(found)]) if name not in last] + last
    place = {name: index for index, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.int64)
    for (row, column), number in cells.items():
        counts[place[row], place[column]] = number
    return Confusion(tuple(names), counts)


@dataclass(frozen=True, slots=True)
class LabelError:
    """A line with a wrong label. `line`: the gold line, or the predicted one where the gold is NO_LINE.

    `score`: of the predicted label, 0 where the prediction is NO_LINE.
    """

    line: Line
    gold: str
    predicted: str
    score: float


@dataclass(frozen=True, slots=True)
class PageErrors:
    """Everything that `ser_scores` and `re_scores` count against one page.

    `labels`: wrong lines. `missed`: gold links (score 1) that were not predicted. `wrong`: predicted links that the
    gold lacks. `right`: predicted links that the gold has.
    """

    labels: list[LabelError]
    missed: list[Link]
    wrong: list[Link]
    right: list[Link]

    @property
    def count(self) -> int:
        return len(self.labels) + len(self.missed) + len(self.wrong)


def page_errors(gold: Page, predicted: Page, relation_pairs: Sequence[tuple[str, str]]) -> PageErrors:
    """Compare one page with its prediction; lines are paired by id.

    As in `ser_scores`, a line that only one side has is an error unless its label is OTHER.
    """
    gold_lines = {line.id: line for line in gold.lines}
    given = {line.id: line for line in predicted.lines}
    labels = []
    for line in [*gold.lines, *(line for line in predicted.lines if line.id not in gold_lines)]:
        truth, guess = gold_lines.get(line.id), given.get(line.id)
        if (truth.label if truth else OTHER) != (guess.label if guess else OTHER):
            score = guess.label_score if guess else 0.0
            names = truth.label if truth else NO_LINE, guess.label if guess else NO_LINE
            labels.append(LabelError(line, *names, score))
    wanted = relations(gold, relation_pairs)
    found = {(link.key_line, link.value_line) for link in predicted.links}
    return PageErrors(
        labels,
        [Link(*ends) for ends in sorted(wanted - found)],
        [link for link in predicted.links if (link.key_line, link.value_line) not in wanted],
        [link for link in predicted.links if (link.key_line, link.value_line) in wanted],
    )
