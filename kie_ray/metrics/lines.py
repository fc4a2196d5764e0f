"""The `lines` protocol: every line of every page counts, once, with the label and links that a user gets.

Lines are compared by id, so predictions made on gold lines can be scored as they are; predictions made on OCR lines go
through `matching.aligned_to_gold` first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kie_ray.decoding.re import DEFAULT_RELATION_PAIRS
from kie_ray.metrics.score import ClassScores, Score
from kie_ray.records import OTHER, Page


def ser_scores(gold_pages: Sequence[Page], predicted_pages: Sequence[Page]) -> ClassScores:
    """Labels line by line; micro average and rows over the classes that are not OTHER.

    A gold line that the prediction lacks is a miss, a predicted line that the gold lacks a false alarm (unless OTHER).

    Args:
        gold_pages, predicted_pages: the same pages in the same order.

    Raises:
        ValueError: the two are not the same pages, or a page holds a line id twice.
    """
    correct: Counter[str] = Counter()
    predicted: Counter[str] = Counter()
    support: Counter[str] = Counter()
    for gold, prediction in paired(gold_pages, predicted_pages):
        gold_label, predicted_label = _labels(gold), _labels(prediction)
        support.update(gold_label.values())
        predicted.update(predicted_label.values())
        correct.update(label for line_id, label in gold_label.items() if predicted_label.get(line_id) == label)
    names = sorted((support.keys() | predicted.keys()) - {OTHER})
    classes = {name: Score(correct[name], predicted[name], support[name]) for name in names}
    return ClassScores(sum(classes.values(), Score()), classes)


def re_scores(
    gold_pages: Sequence[Page],
    predicted_pages: Sequence[Page],
    relation_pairs: Sequence[tuple[str, str]] = DEFAULT_RELATION_PAIRS,
) -> Score:
    """Links of each page compared as sets of (key line id, value line id), pooled over pages.

    Gold links are oriented by the gold labels; gold links between other classes than `relation_pairs` are not asked of
    a model that is not built to give them. Predicted links are all counted, as they are.

    Raises:
        ValueError: the two are not the same pages.
    """
    score = Score()
    for gold, prediction in paired(gold_pages, predicted_pages):
        truth = relations(gold, relation_pairs)
        given = {(link.key_line, link.value_line) for link in prediction.links}
        score += Score(len(truth & given), len(given), len(truth))
    return score


def relations(page: Page, relation_pairs: Sequence[tuple[str, str]]) -> set[tuple[int, int]]:
    """(key line id, value line id) of the page's links whose labels form a relation pair, whichever end comes first."""
    label = _labels(page)
    allowed = set(relation_pairs)
    found = set()
    for link in page.links:
        for head, tail in ((link.key_line, link.value_line), (link.value_line, link.key_line)):
            if (label.get(head), label.get(tail)) in allowed:
                found.add((head, tail))
                break
    return found


def paired(gold_pages: Sequence[Page], predicted_pages: Sequence[Page]) -> list[tuple[Page, Page]]:
    """Gold and prediction side by side.

    Raises:
        ValueError: the numbers differ, or a page's source (where both name one) or index does.
    """
    if len(gold_pages) != len(predicted_pages):
        raise ValueError(f"{len(gold_pages)} gold pages but {len(predicted_pages)} predicted ones")
    for gold, prediction in zip(gold_pages, predicted_pages, strict=True):
        named = bool(gold.source and prediction.source)
        if gold.index != prediction.index or (named and gold.source != prediction.source):
            raise ValueError(
                f"gold page {gold.source}[{gold.index}] stands against predicted page "
                f"{prediction.source}[{prediction.index}]"
            )
    return list(zip(gold_pages, predicted_pages, strict=True))


def _labels(page: Page) -> dict[int, str]:
    labels = {line.id: line.label for line in page.lines}
    if len(labels) != len(page.lines):
        raise ValueError(f"{page.source} page {page.index}: two lines share an id")
    return labels
