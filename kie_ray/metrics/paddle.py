"""The `paddle` protocol: PaddleOCR's own measures, to compare with published figures.

SER: entities of the token tags of each window, by seqeval's default mode. RE: spans of gold entities.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence, Set

import numpy as np
from numpy.typing import NDArray

from kie_ray.metrics.score import ClassScores, Score

IGNORED = -100
"""Gold id of tokens that are not scored (padding)."""

Chunk = tuple[str, int, int]
"""(class, first token, one past the last token)."""


def chunks(tags: Sequence[str]) -> list[Chunk]:
    """Entities of one tag sequence by the rules of the CoNLL-2000 script, seqeval's default mode.

    B-X always opens an entity. I-X opens one at the start, after O and after another class, otherwise it continues.

    Raises:
        ValueError: a tag is neither O nor B-<class> nor I-<class>.
    """
    found: list[Chunk] = []
    current, start = "", 0
    for position, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if tag != "O" and (prefix not in ("B", "I") or not name):
            raise ValueError(f"tag {tag!r} at position {position} is neither O nor B-<class> nor I-<class>")
        if current and (prefix != "I" or name != current):
            found.append((current, start, position))
            current = ""
        if name and not current:
            current, start = name, position
    return found


def tag_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> ClassScores:
    """Micro-averaged entity score of BIO tags, one sequence a document (no entity crosses two documents).

    An entity is right when class, first and last token agree with a gold one.

    Raises:
        ValueError: lengths differ, or a tag is not BIO.
    """
    correct: dict[str, int] = defaultdict(int)
    given: dict[str, int] = defaultdict(int)
    wanted: dict[str, int] = defaultdict(int)
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold sequences but {len(predicted)} predicted ones")
    for number, (gold_tags, predicted_tags) in enumerate(zip(gold, predicted, strict=True)):
        if len(gold_tags) != len(predicted_tags):
            raise ValueError(f"sequence {number}: {len(gold_tags)} gold tags but {len(predicted_tags)} predicted ones")
        gold_chunks, predicted_chunks = set(chunks(gold_tags)), set(chunks(predicted_tags))
        for counter, found in (
            (wanted, gold_chunks),
            (given, predicted_chunks),
            (correct, gold_chunks & predicted_chunks),
        ):
            for chunk in found:
                counter[chunk[0]] += 1
    classes = {name: Score(correct[name], given[name], wanted[name]) for name in sorted(wanted.keys() | given.keys())}
    return ClassScores(sum(classes.values(), Score()), classes)


def token_scores(
    gold_ids: Iterable[NDArray[np.int64]], predicted_ids: Iterable[NDArray[np.int64]], names: Sequence[str]
) -> ClassScores:
    """`tag_scores` of label ids (PaddleOCR's `VQASerTokenMetric`); tokens whose gold id is `IGNORED` are left out.

    Args:
        gold_ids, predicted_ids: one int64 [T] a window; T may differ between windows.
        names: BIO label of each id.
    """
    gold_tags, predicted_tags = [], []
    for gold, predicted in zip(gold_ids, predicted_ids, strict=True):
        scored = np.asarray(gold) != IGNORED
        gold_tags.append([names[index] for index in np.asarray(gold)[scored]])
        predicted_tags.append([names[index] for index in np.asarray(predicted)[scored]])
    return tag_scores(gold_tags, predicted_tags)


def span_relation_scores(gold: Iterable[Set[Hashable]], predicted: Iterable[Set[Hashable]]) -> Score:
    """PaddleOCR's RE measure: per window sets of ((head start, end), (tail start, end)), pooled.

    Entity classes are not compared; the model is given the gold entities. Only relations that lie in the scored window
    belong into `gold`, as PaddleOCR does not count the others as misses.
    """
    score = Score()
    for wanted, given in zip(gold, predicted, strict=True):
        score += Score(len(wanted & given), len(given), len(wanted))
    return score
