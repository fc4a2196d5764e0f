"""`key: value` read as one line becomes two; everything else stays one."""

from __future__ import annotations

import pytest

from kie_ray.ocr.splitting import split_pair
from kie_ray.records import Line

POINTS = (100.0, 10.0, 300.0, 20.0, 300.0, 40.0, 100.0, 30.0)  # leans: the right end is 10 pixels lower


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("Date: 3/14/94", "Date:", "3/14/94"),
        ("TO:Margaret Hollis", "TO:", "Margaret Hollis"),
        ("姓名：张三", "姓名：", "张三"),
        ("Time: 10:20", "Time:", "10:20"),
        ("No. 3: none", "No. 3:", "none"),
        ("电话(手机): 0512-65287431", "电话(手机):", "0512-65287431"),
    ],
)
def test_a_pair_becomes_two_lines(text: str, key: str, value: str) -> None:
    first, second = split_pair(Line(4, text, POINTS, ocr_score=0.8))
    assert (first.text, second.text) == (key, value)
    assert first.ocr_score == second.ocr_score == 0.8
    assert first.box[0] == 100
    assert second.box[2] == 300
    assert first.box[2] <= second.box[0] + 1e-6


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Name:",
        "10:20",
        "12:30 to 14:15",
        "https://example.org/a",
        "a ratio of 3:1",
        ": value",
        "no colon here",
        "This is a long sentence of many words: and it goes on",
        "x" * 41 + ": value",
    ],
)
def test_other_lines_stay_whole(text: str) -> None:
    line = Line(0, text, POINTS)
    assert split_pair(line) == [line]


def test_the_cut_follows_the_widths_of_the_characters_and_the_slope() -> None:
    first, second = split_pair(Line(0, "姓名:abcde", POINTS))  # 4 + 1 cells, then 5
    assert first.points == pytest.approx((100, 10, 200, 15, 200, 35, 100, 30))
    assert second.points == pytest.approx((200, 15, 300, 20, 300, 40, 200, 35))
