"""Given lines: right ones become pages, the first wrong value is named by its path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kie_ray.limits import Limits
from pipelines.online.api.given import parse_annotations, parse_lines
from pipelines.online.api.problems import Problem
from pipelines.online.api.settings import ApiSettings
from tests.pipelines.online.api.support import json_body, json_line, json_page

SETTINGS = ApiSettings(limits=Limits(max_pages=3), max_lines=4)
POINTS = [1, 2, 30, 2, 30, 12, 1, 12]
CORNERS = [[1, 2], [30, 2], [30, 12], [1, 12]]


def changed(**changes: Any) -> bytes:
    return json_body(json_page([json_line(), json_line(**changes)]))


def annotated(*items: Any) -> bytes:
    return json.dumps(items).encode()


def mark(text: str = "Name", **changes: Any) -> dict[str, Any]:
    return {"transcription": text, "points": CORNERS, **changes}


def test_lines() -> None:
    first = json_line("Name", id=9, ocr_score=0.5)
    name, pages = parse_lines(json_body(json_page([first, json_line("")]), json_page([]), name="form"), SETTINGS)
    assert name == "form"
    shapes = [(page.index, page.width, page.height, len(page.lines)) for page in pages]
    assert shapes == [(0, 100, 50, 2), (1, 100, 50, 0)]
    lines = pages[0].lines
    assert [(line.id, line.text, line.ocr_score) for line in lines] == [(9, "Name", 0.5), (1, "", 1.0)]
    assert lines[0].points == tuple(map(float, POINTS))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "the JSON body is not JSON: Expecting value at character 0"),
        (b"{", "the JSON body is not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[1]", "the JSON body = a list of 1: it must be an object"),
        (b"{}", "pages is missing"),
        (b'{"pages": []}', "pages is empty"),
        (b'{"pages": {}}', "pages = an object of 0: it must be a list"),
        (b'{"pages": [1]}', "pages[0] = 1: it must be an object"),
        (b'{"pgaes": []}', "unknown key 'pgaes'; did you mean pages?"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"pages":' * 100_000, "nested too deeply"),
        (b'{"pages": NaN}', "NaN is no number"),
        (b'{"pages": -Infinity}', "-Infinity is no number"),
        (b'{"pages": ' + b"1" * 5000 + b"}", "understood"),
        (json_body(name=3), "name = 3: it must be a string"),
        (json_body(json_page([], width=0)), "pages[0].width = 0: it must be a whole number from 1"),
        (json_body(json_page([]), json_page([], height=1.5)), "pages[1].height = 1.5"),
        (json_body(json_page([], height=True)), "pages[0].height = true"),
        (json_body(json_page([], width=10**9)), "pages[0].width = 1000000000"),
        (json_body(json_page([], dpi=1)), "pages[0]: unknown key 'dpi'; there are: width, height, lines"),
        (json_body({"width": 1, "height": 1}), "pages[0].lines is missing"),
        (json_body(json_page([json_line()] * 5)), "pages[0].lines has 5 lines, a page may have 4"),
        (changed(text=None), "pages[0].lines[1].text = null: it must be a string"),
        (changed(text="\ud800"), "pages[0].lines[1].text holds half of a surrogate pair"),
        (changed(text="x" * 5000), "pages[0].lines[1].text has 5000 characters"),
        (changed(points=POINTS[:7]), "pages[0].lines[1].points has 7 numbers, it must have 8"),
        (changed(points=[*POINTS[:2], "a", *POINTS[3:]]), "pages[0].lines[1].points[2] = 'a': it must be a finite"),
        (changed(points=[*POINTS[:2], None, *POINTS[3:]]), "pages[0].lines[1].points[2] = null"),
        (changed(points=[*POINTS[:2], 1e300, *POINTS[3:]]), "pages[0].lines[1].points[2] = 1e+300"),
        (changed(points=[*POINTS[:2], 10**400, *POINTS[3:]]), "pages[0].lines[1].points[2]"),
        (changed().replace(b"30", b"1e999"), "pages[0].lines[0].points[2] = Infinity"),
        (changed(points=CORNERS), "pages[0].lines[1].points has 4 numbers"),
        (changed(id="1"), "pages[0].lines[1].id = '1'"),
        (changed(id=2**31), "pages[0].lines[1].id = 2147483648"),
        (changed(id=0), "pages[0].lines[1].id = 0 is the id of pages[0].lines[0] too"),
        (changed(ocr_score=1.5), "pages[0].lines[1].ocr_score = 1.5: it must be a number from 0 to 1"),
        (changed(ocr_score=[]), "pages[0].lines[1].ocr_score = a list of 0"),
        (changed(txt="x"), "pages[0].lines[1]: unknown key 'txt'; did you mean text?"),
    ],
)
def test_wrong_lines(raw: bytes, words: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_lines(raw, SETTINGS)
    assert (caught.value.status, caught.value.category) == (422, "invalid_request")
    assert words in caught.value.detail
    assert len(caught.value.detail) < 400


@pytest.mark.parametrize("parse", [parse_lines, parse_annotations])
def test_too_many_pages(parse: Any) -> None:
    raw = json_body(*[json_page([])] * 4) if parse is parse_lines else annotated([], [], [], [])
    with pytest.raises(Problem, match="4 pages are over the limit of max_pages = 3") as caught:
        parse(raw, SETTINGS)
    assert (caught.value.status, caught.value.category) == (413, "too_many_pages")


def test_annotations_of_one_page_and_of_several() -> None:
    (page,) = parse_annotations(annotated(mark(label="question", linking=[[0, 1]], id=5), mark("")), SETTINGS)
    assert [(line.id, line.text, line.label, line.ocr_score) for line in page.lines] == [
        (5, "Name", "OTHER", 1.0),
        (1, "", "OTHER", 1.0),
    ]
    assert page.lines[0].points == tuple(map(float, POINTS))
    assert (page.links, page.width, page.height) == ([], 0, 0)
    several = parse_annotations(annotated([mark()], [], [mark(), mark()]), SETTINGS)
    assert [(page.index, len(page.lines)) for page in several] == [(0, 1), (1, 0), (2, 2)]
    assert [len(page.lines) for page in parse_annotations(b"[]", SETTINGS)] == [0]


def test_a_polygon_of_more_corners_becomes_its_hull() -> None:
    (page,) = parse_annotations(annotated(mark(points=[[0, 5], [5, 0], [9, 1], [10, 5], [5, 9]])), SETTINGS)
    assert page.lines[0].points == (0, 0, 10, 0, 10, 9, 0, 9)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "annotations is not JSON"),
        (b"{}", "annotations = an object of 0: it must be a list"),
        (annotated(1), "annotations[0] = 1: it must be an object with transcription and points"),
        (annotated(mark(), []), "annotations[1] = a list of 0: it must be an object"),
        (annotated([mark()], [mark(), 1]), "annotations[1][1] = 1"),
        (annotated({"points": CORNERS}), "annotations[0].transcription is missing"),
        (annotated(mark(), {"transcription": "a"}), "annotations[1].points is missing"),
        (annotated(mark(points=CORNERS[:3])), "annotations[0].points has 3 corners, it must have 4"),
        (annotated(mark(points=POINTS)), "annotations[0].points[0] = 1: it must be a pair [x, y]"),
        (annotated(mark(points=[*CORNERS[:3], [1, "x"]])), "annotations[0].points[3][1] = 'x'"),
        (annotated([], [mark(id=1), mark()]), "annotations[1][1].id = 1 is the id of annotations[1][0] too"),
        (annotated(*[mark()] * 5), "annotations has 5 lines, a page may have 4"),
    ],
)
def test_wrong_annotations(raw: bytes, words: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_annotations(raw, SETTINGS)
    assert caught.value.status == 422
    assert words in caught.value.detail
