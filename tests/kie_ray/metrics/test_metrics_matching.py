import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_ray.metrics import aligned_to_gold, covered_lines, line_coverage, match_lines, re_scores, ser_scores
from kie_ray.metrics.matching import iou_matrix
from kie_ray.records import Field, Line, Link, Page


def line(line_id: int, x0: float, y0: float, x1: float, y1: float, label: str = "OTHER") -> Line:
    return Line(line_id, f"text {line_id}", (x0, y0, x1, y0, x1, y1, x0, y1), label=label)


def test_iou() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 20, 20, 20]], float)
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [20, 20, 20, 20]], float)
    assert iou_matrix(boxes, others)[0].tolist() == pytest.approx([1, 1 / 3, 0, 0])
    assert iou_matrix(boxes, others)[1].tolist() == [0, 0, 0, 0]
    assert iou_matrix(boxes, np.empty((0, 4))).shape == (2, 0)


def test_best_overlap_wins_and_nothing_is_matched_twice() -> None:
    gold = [line(0, 0, 0, 100, 10), line(1, 0, 12, 100, 22)]
    predicted = [line(0, 0, 2, 100, 12), line(1, 0, 0, 100, 10), line(2, 300, 0, 400, 10)]
    matches = match_lines(gold, predicted)
    assert [(g, p) for g, p, _ in matches] == [(0, 1)]
    assert matches[0][2] == 1
    assert [(g, p) for g, p, _ in match_lines(gold, predicted, min_iou=0.0)] == [(0, 1)]
    assert match_lines([], predicted) == match_lines(gold, []) == []


def test_predictions_on_ocr_lines_are_scored_against_gold_lines() -> None:
    gold = Page(
        0,
        500,
        100,
        [line(7, 0, 0, 100, 10, "QUESTION"), line(9, 200, 0, 300, 10, "ANSWER"), line(11, 0, 50, 90, 60, "ANSWER")],
        [Link(7, 9)],
    )
    predicted = Page(
        0,
        500,
        100,
        [
            line(0, 1, 0, 100, 10, "QUESTION"),
            line(1, 201, 0, 300, 11, "ANSWER"),
            line(2, 400, 0, 450, 10, "ANSWER"),
            line(3, 400, 50, 450, 60),
        ],
        [Link(0, 1, 0.9), Link(0, 2, 0.8)],
        [Field("text 0", "text 1", 0.9, [0], [1], (0, 0, 1, 1), (0, 0, 1, 1))],
    )
    aligned = aligned_to_gold(gold, predicted)
    assert [one.id for one in aligned.lines][:2] == [7, 9]
    assert all(one.id < 0 for one in aligned.lines[2:])
    assert len({one.id for one in aligned.lines}) == 4
    assert aligned.links[0] == Link(7, 9, 0.9)
    assert (aligned.fields[0].key_lines, aligned.fields[0].value_lines) == ([7], [9])
    assert [one.id for one in predicted.lines] == [0, 1, 2, 3]
    scores = ser_scores([gold], [aligned]).overall
    assert (scores.correct, scores.predicted, scores.support) == (2, 3, 3)
    links = re_scores([gold], [aligned])
    assert (links.correct, links.predicted, links.support) == (1, 2, 1)


def test_coverage_asks_for_the_union_of_the_detections() -> None:
    gold = [line(0, 0, 0, 100, 10)]
    left, right = line(0, 0, 0, 40, 10), line(1, 60, 0, 100, 10)
    assert covered_lines(gold, [left]).tolist() == [False]
    assert covered_lines(gold, [left, right]).tolist() == [True]
    assert covered_lines(gold, [left, left]).tolist() == [False]  # the overlap counts once
    assert covered_lines(gold, [line(0, -50, -50, 500, 500)]).tolist() == [True]
    assert covered_lines(gold, []).tolist() == [False]
    point = [line(0, 5, 5, 5, 5)]
    assert covered_lines(point, [left]).tolist() == [True]
    assert covered_lines(point, [right]).tolist() == [False]


def test_coverage_of_pages() -> None:
    page = Page(0, 10, 10, [line(0, 0, 0, 10, 10)])
    empty = Page(0, 10, 10)
    assert line_coverage([page, page, empty], [page, empty, page]) == 0.5
    assert line_coverage([], []) == line_coverage([empty], [page]) == 1.0


BOXES = st.lists(
    st.tuples(*[st.integers(0, 12)] * 4).map(
        lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
    ),
    max_size=6,
)


@settings(max_examples=80, deadline=None)
@given(BOXES, st.floats(0.05, 1))
def test_covered_share_equals_counting_cells(boxes: list[tuple[int, int, int, int]], share: float) -> None:
    gold = (2, 3, 9, 8)
    cells = np.zeros((12, 12), bool)
    for x0, y0, x1, y1 in boxes:
        cells[y0:y1, x0:x1] = True
    counted = cells[3:8, 2:9].mean()
    lines = [line(index, *box) for index, box in enumerate(boxes)]
    if abs(counted - share) > 1e-9:
        assert covered_lines([line(0, *gold)], lines, share).tolist() == [bool(counted > share)]
