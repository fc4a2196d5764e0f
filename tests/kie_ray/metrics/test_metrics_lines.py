import json

import pytest

from kie_ray.metrics import ClassScores, Score, re_scores, relations, ser_scores
from kie_ray.records import Line, Link, Page

POINTS = (0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0)


def page(labels: dict[int, str], links: list[tuple[int, int]] | None = None, index: int = 0, source: str = "a") -> Page:
    lines = [Line(line_id, "x", POINTS, label=label) for line_id, label in labels.items()]
    return Page(index, 10, 10, lines, [Link(*pair) for pair in links or []], source=source)


def test_ser_counts_every_line() -> None:
    gold = page({1: "QUESTION", 2: "ANSWER", 3: "OTHER", 4: "ANSWER", 5: "HEADER"})
    predicted = page({1: "QUESTION", 2: "QUESTION", 3: "ANSWER", 4: "ANSWER", 5: "OTHER"})
    scores = ser_scores([gold], [predicted])
    assert scores.classes == {
        "ANSWER": Score(correct=1, predicted=2, support=2),
        "HEADER": Score(correct=0, predicted=0, support=1),
        "QUESTION": Score(correct=1, predicted=2, support=1),
    }
    assert scores.overall == Score(correct=2, predicted=4, support=4)
    assert (scores.overall.precision, scores.overall.recall, scores.overall.hmean) == (0.5, 0.5, 0.5)


def test_ser_is_micro_averaged_over_pages() -> None:
    good, bad = page({1: "ANSWER", 2: "ANSWER", 3: "ANSWER"}), page({1: "ANSWER"})
    scores = ser_scores([good, bad], [good, page({1: "OTHER"})])
    assert scores.overall == Score(3, 3, 4)


def test_missing_and_extra_lines_count() -> None:
    scores = ser_scores([page({1: "ANSWER", 2: "ANSWER"})], [page({1: "ANSWER", -1: "ANSWER", -2: "OTHER"})])
    assert scores.overall == Score(1, 2, 2)


def test_order_of_lines_does_not_matter() -> None:
    gold = page({1: "QUESTION", 2: "ANSWER"})
    assert ser_scores([gold], [page({2: "ANSWER", 1: "QUESTION"})]).overall.hmean == 1


def test_nothing_to_find_scores_zero_like_the_reference() -> None:
    empty = page({1: "OTHER"})
    assert ser_scores([empty], [empty]).overall.to_dict()["hmean"] == 0
    assert ser_scores([], []).overall == Score()


def test_links_are_sets_per_page() -> None:
    labels = {1: "QUESTION", 2: "ANSWER", 3: "ANSWER", 4: "HEADER"}
    gold = page(labels, [(1, 2), (3, 1), (4, 1)])
    predicted = page(labels, [(1, 2), (1, 2), (2, 1)])
    assert relations(gold, [("QUESTION", "ANSWER")]) == {(1, 2), (1, 3)}
    assert re_scores([gold], [predicted]) == Score(correct=1, predicted=2, support=2)
    both = [("QUESTION", "ANSWER"), ("HEADER", "QUESTION")]
    assert re_scores([gold], [predicted], both).support == 3


def test_links_of_one_page_do_not_match_those_of_another() -> None:
    labels = {1: "QUESTION", 2: "ANSWER"}
    linked, bare = page(labels, [(1, 2)]), page(labels)
    assert re_scores([linked, bare], [bare, linked]) == Score(0, 1, 1)


def test_wrong_pages_are_refused() -> None:
    one = page({1: "ANSWER"})
    with pytest.raises(ValueError, match="1 gold pages but 0"):
        ser_scores([one], [])
    with pytest.raises(ValueError, match=r"a\[0\].*b\[0\]"):
        ser_scores([one], [page({1: "ANSWER"}, source="b")])
    with pytest.raises(ValueError, match=r"a\[1\]"):
        re_scores([one], [page({1: "ANSWER"}, index=1)])
    twice = Page(0, 1, 1, [one.lines[0], one.lines[0]])
    with pytest.raises(ValueError, match="share an id"):
        ser_scores([twice], [twice])


def test_scores_become_plain_json() -> None:
    scores = ClassScores(Score(1, 2, 4), {"ANSWER": Score(1, 2, 4)})
    row = json.loads(json.dumps(scores.to_dict()))
    assert row["precision"] == 0.5
    assert row["recall"] == 0.25
    assert row["hmean"] == pytest.approx(1 / 3)
    assert row["classes"]["ANSWER"] == {
        "precision": 0.5,
        "recall": 0.25,
        "hmean": pytest.approx(1 / 3),
        "support": 4,
        "predicted": 2,
        "correct": 1,
    }
    assert Score(1, 2, 4) + Score(1, 1, 1) == Score(2, 3, 5)
