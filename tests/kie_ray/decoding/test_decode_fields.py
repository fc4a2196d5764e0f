from pathlib import Path

import pytest

from kie_ray.datasets.paddleocr import read_labels
from kie_ray.decoding.fields import NO_BOX, build_fields, join_texts
from kie_ray.metrics import relations
from kie_ray.records import Line, Link, Page


def line(line_id: int, text: str, x: float, y: float, label: str = "ANSWER", score: float = 1.0) -> Line:
    points = (x, y, x + 50, y, x + 50, y + 10, x, y + 10)
    return Line(line_id, text, points, label=label, label_score=score)


@pytest.mark.parametrize(
    ("pieces", "joined"),
    [
        (["12 Main Street", "Springfield"], "12 Main Street Springfield"),
        (["北京市朝阳区", "建国路1号"], "北京市朝阳区建国路1号"),
        (["建国路", "No. 1"], "建国路No. 1"),
        (["住所：", "Paris"], "住所：Paris"),
        (["東京都", "ミナト"], "東京都ミナト"),
        (["서울특별시", "종로구"], "서울특별시 종로구"),
        (["010-", "1234"], "010-1234"),
        (["inter-", "national"], "inter-national"),
        (["Name -", "Title"], "Name - Title"),
        (["-", "5"], "- 5"),
        ([" padded ", "", "  ", " text "], "padded text"),
        ([], ""),
        (["", "  "], ""),
    ],
)
def test_joining_follows_the_script(pieces: list[str], joined: str) -> None:
    assert join_texts(pieces) == joined


def test_answer_lines_of_one_question_become_one_field_in_reading_order() -> None:
    page = Page(
        0,
        400,
        400,
        [
            line(5, "second", 100, 40),
            line(3, "Address", 0, 20, "QUESTION"),
            line(9, "first", 100, 20),
        ],
        [Link(3, 5, 0.8), Link(3, 9, 0.9)],
    )
    (field,) = build_fields(page)
    assert (field.key, field.value) == ("Address", "first second")
    assert (field.key_lines, field.value_lines) == ([3], [9, 5])
    assert field.key_box == (0, 20, 50, 30)
    assert field.value_box == (100, 20, 150, 50)
    assert field.score == pytest.approx(0.8)


def test_a_given_order_overrules_the_boxes() -> None:
    lines = [line(0, "a", 0, 0), line(1, "K", 0, 50, "QUESTION"), line(2, "b", 0, 20)]
    page = Page(0, 9, 9, lines, [Link(1, 0), Link(1, 2)])
    assert build_fields(page)[0].value == "a b"
    assert build_fields(page, order=[2, 1, 0])[0].value == "b a"


def test_question_pieces_of_one_answer_become_one_key() -> None:
    page = Page(
        0,
        400,
        400,
        [line(0, "Date of", 0, 0, "QUESTION"), line(1, "birth", 0, 20, "QUESTION"), line(2, "1970", 100, 0)],
        [Link(1, 2), Link(0, 2)],
    )
    (field,) = build_fields(page)
    assert (field.key, field.value, field.key_lines) == ("Date of birth", "1970", [0, 1])


def test_score_is_the_weakest_pair() -> None:
    lines = [line(0, "k", 0, 0, "QUESTION", 0.9), line(1, "a", 100, 0, score=0.8), line(2, "b", 200, 0, score=0.5)]
    (field,) = build_fields(Page(0, 400, 400, lines, [Link(0, 1, 0.7), Link(0, 2, 1.0)]))
    assert field.score == pytest.approx(min(0.9 * 0.8 * 0.7, 0.9 * 0.5))


def test_links_between_other_labels_make_no_field() -> None:
    lines = [line(0, "Part A", 0, 0, "HEADER"), line(1, "Name", 0, 20, "QUESTION"), line(2, "Ann", 100, 20)]
    page = Page(0, 400, 400, lines, [Link(0, 1), Link(1, 2)])
    assert [(field.key, field.value) for field in build_fields(page)] == [("Name", "Ann")]
    pairs = [("HEADER", "QUESTION")]
    assert [(field.key, field.value) for field in build_fields(page, relation_pairs=pairs)] == [("Part A", "Name")]


def test_unanswered_questions_are_kept_on_request() -> None:
    lines = [line(0, "Fax", 0, 0, "QUESTION", 0.7), line(1, "Name", 0, 20, "QUESTION"), line(2, "Ann", 100, 20)]
    page = Page(0, 400, 400, lines, [Link(1, 2)])
    assert [field.key for field in build_fields(page)] == ["Name"]
    fields = build_fields(page, keep_unanswered=True)
    assert [(field.key, field.value) for field in fields] == [("Fax", ""), ("Name", "Ann")]
    assert (fields[0].value_lines, fields[0].value_box, fields[0].score) == ([], NO_BOX, 0.7)


def test_a_link_to_nowhere_is_an_error_that_names_it() -> None:
    page = Page(2, 9, 9, [line(0, "k", 0, 0, "QUESTION")], [Link(0, 42)], source="form.png")
    with pytest.raises(ValueError, match=r"form\.png page 2.*line 42"):
        build_fields(page)


def test_an_empty_page_has_no_fields() -> None:
    assert build_fields(Page(0, 9, 9)) == []


def test_every_gold_relation_of_xfund_is_in_one_field(xfund_zh: Path) -> None:
    pages = read_labels(xfund_zh / "zh_val" / "val.json")
    assert pages
    for page in pages:
        fields = build_fields(page)
        pairs = [(key, value) for field in fields for key in field.key_lines for value in field.value_lines]
        assert len(pairs) == len(set(pairs))
        assert set(pairs) == relations(page, [("QUESTION", "ANSWER")])
        assert all(field.key and field.value and field.score == 1 for field in fields)
