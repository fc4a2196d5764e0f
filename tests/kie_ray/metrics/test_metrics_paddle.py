import numpy as np
import pytest

from kie_ray.metrics import Score, span_relation_scores, tag_scores, token_scores
from kie_ray.metrics.paddle import chunks


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O B-Q I-Q O", [("Q", 1, 3)]),
        ("I-Q I-Q", [("Q", 0, 2)]),  # I- opens at the start of a document
        ("O I-Q", [("Q", 1, 2)]),  # and after O
        ("B-Q I-A I-A", [("Q", 0, 1), ("A", 1, 3)]),  # and after another class
        ("B-Q B-Q I-Q", [("Q", 0, 1), ("Q", 1, 3)]),
        ("O O", []),
        ("", []),
        ("B-MULTI-PART I-MULTI-PART", [("MULTI-PART", 0, 2)]),
    ],
)
def test_chunk_rules(tags: str, expected: list[tuple[str, int, int]]) -> None:
    assert chunks(tags.split()) == expected


@pytest.mark.parametrize("tag", ["Q", "E-Q", "B-", ""])
def test_tags_that_are_not_bio_are_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="position 1"):
        chunks(["O", tag])


def test_merged_lines_count_wrong_twice() -> None:
    scores = tag_scores([["B-Q", "I-Q", "B-Q", "I-Q"]], [["B-Q", "I-Q", "I-Q", "I-Q"]])
    assert scores.overall == Score(correct=0, predicted=1, support=2)


def test_documents_are_separate() -> None:
    # Joined, the I-Q of the second document would continue the first one's entity.
    assert tag_scores([["B-Q"], ["B-Q"]], [["B-Q"], ["I-Q"]]).overall == Score(2, 2, 2)


def test_classes_are_scored_apart() -> None:
    scores = tag_scores([["B-Q", "B-A"]], [["B-Q", "B-H"]])
    assert scores.classes == {"A": Score(0, 0, 1), "H": Score(0, 1, 0), "Q": Score(1, 1, 1)}


def test_padding_is_not_scored() -> None:
    names = ["O", "B-Q", "I-Q"]
    gold, predicted = np.array([1, 2, -100, -100]), np.array([1, 2, 2, 1])
    assert token_scores([gold], [predicted], names).overall == Score(1, 1, 1)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="sequence 0: 1 gold tags but 2"):
        tag_scores([["O"]], [["O", "O"]])
    with pytest.raises(ValueError, match="1 gold sequences but 0"):
        tag_scores([["O"]], [])


def test_relations_are_sets_of_spans_per_window() -> None:
    first, second = ((0, 2), (2, 5)), ((0, 2), (5, 6))
    assert span_relation_scores([{first, second}, set()], [{first}, {second}]) == Score(1, 2, 2)
    assert span_relation_scores([set()], [set()]).hmean == 0
