import pytest

from kie_ray.metrics.confusion import NO_LINE, page_errors, ser_confusion
from kie_ray.records import Line, Link, Page

POINTS = (0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0)
PAIRS = [("QUESTION", "ANSWER")]


def page(labels: dict[int, str], links: list[tuple[int, int]] | None = None, source: str = "a") -> Page:
    lines = [
        Line(line_id, f"text {line_id}", POINTS, label=label, label_score=0.5) for line_id, label in labels.items()
    ]
    return Page(0, 10, 10, lines, [Link(*pair) for pair in links or []], source=source)


def test_rows_are_gold_and_columns_are_predicted() -> None:
    gold = page({1: "QUESTION", 2: "ANSWER", 3: "OTHER", 4: "ANSWER"})
    predicted = page({1: "QUESTION", 2: "QUESTION", 3: "ANSWER", 4: "OTHER"})
    confusion = ser_confusion([gold, gold], [predicted, gold])
    assert confusion.labels == ("ANSWER", "QUESTION", "OTHER")
    assert confusion.counts.tolist() == [[2, 1, 1], [0, 2, 0], [1, 0, 1]]
    assert confusion.to_dict() == {"labels": ["ANSWER", "QUESTION", "OTHER"], "counts": confusion.counts.tolist()}


def test_given_labels_keep_their_order_and_their_empty_rows() -> None:
    only = page({1: "TOTAL"})
    confusion = ser_confusion([only], [only], ["OTHER", "QUESTION", "ANSWER"])
    assert confusion.labels == ("QUESTION", "ANSWER", "TOTAL", "OTHER")
    assert confusion.counts.sum() == confusion.counts[2, 2] == 1


def test_lines_that_one_side_lacks_have_a_row_and_a_column() -> None:
    confusion = ser_confusion([page({1: "ANSWER", 2: "OTHER"})], [page({-1: "QUESTION", 2: "OTHER"})])
    assert confusion.labels == ("ANSWER", "QUESTION", "OTHER", NO_LINE)
    assert confusion.counts.tolist() == [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]]


def test_other_pages_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a\[0\].*b\[0\]"):
        ser_confusion([page({1: "ANSWER"})], [page({1: "ANSWER"}, source="b")])


def test_errors_of_a_page() -> None:
    gold = page({1: "QUESTION", 2: "ANSWER", 3: "ANSWER", 4: "OTHER", 5: "HEADER"}, [(1, 2), (3, 1), (5, 1)])
    predicted = page({1: "QUESTION", 2: "QUESTION", 3: "ANSWER", 4: "OTHER", 5: "HEADER"}, [(1, 3), (1, 4)])
    errors = page_errors(gold, predicted, PAIRS)
    assert [(error.line.id, error.gold, error.predicted, error.score) for error in errors.labels] == [
        (2, "ANSWER", "QUESTION", 0.5)
    ]
    assert errors.missed == [Link(1, 2)]
    assert errors.wrong == [Link(1, 4)]
    assert errors.right == [Link(1, 3)]
    assert errors.count == 3
    assert page_errors(gold, gold, PAIRS).wrong == [Link(3, 1), Link(5, 1)]  # predictions count as they are
    assert page_errors(gold, page({}), []).missed == []


def test_unread_and_invented_lines_are_errors_unless_they_are_other() -> None:
    gold, predicted = page({1: "ANSWER", 2: "OTHER"}), page({-1: "QUESTION", -2: "OTHER"})
    errors = page_errors(gold, predicted, PAIRS).labels
    assert [(error.line.text, error.gold, error.predicted, error.score) for error in errors] == [
        ("text 1", "ANSWER", NO_LINE, 0.0),
        ("text -1", NO_LINE, "QUESTION", 0.5),
    ]
