from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_ray.encoding.reading_order import order_by_rows, order_lines, order_tb_yx_paddle
from kie_ray.errors import ConfigError
from kie_ray.records import Line

coordinate = st.integers(-50, 3000)
boxes_strategy = st.lists(
    st.tuples(coordinate, coordinate, st.integers(0, 500), st.integers(0, 90)).map(
        lambda item: (float(item[0]), float(item[1]), float(item[0] + item[2]), float(item[1] + item[3]))
    ),
    max_size=40,
)


def line(number: int, x0: float, y0: float, x1: float, y1: float, angle: float = 0.0) -> Line:
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    cos, sin = math.cos(angle), math.sin(angle)
    return Line(number, "x", tuple(v for x, y in corners for v in (x * cos - y * sin, x * sin + y * cos)))


def grid(rows: int, columns: int, angle: float = 0.0, height: float = 20, jitter: float = 0.0) -> list[Line]:
    noise = random.Random(1)
    return [
        line(
            r * columns + c,
            100 + c * 300,
            (shift := noise.uniform(-jitter, jitter)) + 100 + r * height * 1.5,
            300 + c * 300,
            shift + 100 + r * height * 1.5 + height,
            angle,
        )
        for r in range(rows)
        for c in range(columns)
    ]


# three vectors measured on PaddleOCR
def test_paddle_never_exchanges_the_first_two_lines() -> None:
    right, left, top = (300, 100, 400, 120), (10, 105, 90, 125), (10, 50, 90, 70)
    assert order_tb_yx_paddle([right, left]) == [0, 1]
    assert order_tb_yx_paddle([top, right, left]) == [0, 2, 1]


def test_paddle_is_not_transitive() -> None:
    names = "TABCD"
    tops = [(0, 0), (300, 100), (200, 115), (100, 130), (5, 145)]
    order = order_tb_yx_paddle([(x, y, x + 50, y + 20) for x, y in tops])
    assert "".join(names[k] for k in order) == "TBADC"


def test_ours_exchanges_the_first_two_lines() -> None:
    assert order_by_rows([(300, 100, 400, 120), (10, 105, 90, 125)]) == [1, 0]


@pytest.mark.parametrize("scale", [0.05, 0.3, 1, 7])
def test_rows_do_not_depend_on_resolution(scale: float) -> None:
    lines = grid(8, 4, height=20, jitter=4)
    boxes = [tuple(value * scale for value in item.box) for item in lines]
    assert order_by_rows(boxes) == list(range(32))  # type: ignore[arg-type]


@pytest.mark.parametrize("degrees", [-5, -2, 2, 5])
def test_a_turned_page_reads_as_the_upright_one(degrees: float) -> None:
    lines = grid(10, 5, math.radians(degrees))
    shuffled = random.Random(3).sample(lines, len(lines))
    order = order_lines(shuffled)
    assert [shuffled[k].id for k in order] == list(range(50))


def test_a_tall_neighbour_does_not_merge_rows() -> None:
    tall = (0, 100, 50, 190)
    rows = [(100, 100 + 30 * k, 300, 120 + 30 * k) for k in range(3)]
    assert order_by_rows([rows[2], tall, rows[0], rows[1]]) == [2, 1, 3, 0]


@settings(deadline=None)
@given(boxes_strategy)
def test_every_rule_gives_a_permutation(boxes: list[tuple[float, float, float, float]]) -> None:
    lines = [line(k, *box) for k, box in enumerate(boxes)]
    for method in ("tb-yx", "tb-yx-paddle", "none"):
        assert sorted(order_lines(lines, method)) == list(range(len(lines)))


@settings(deadline=None)
@given(boxes_strategy, st.randoms(use_true_random=False))
def test_ours_does_not_depend_on_the_input_order(
    boxes: list[tuple[float, float, float, float]], chance: random.Random
) -> None:
    boxes = list(dict.fromkeys(boxes))
    shuffled = chance.sample(boxes, len(boxes))
    first = [boxes[k] for k in order_by_rows(boxes)]
    second = [shuffled[k] for k in order_by_rows(shuffled)]
    assert first == second


def test_none_keeps_the_order_and_unknown_rules_are_named() -> None:
    lines = grid(2, 2)[::-1]
    assert order_lines(lines, "none") == [0, 1, 2, 3]
    with pytest.raises(ConfigError, match=r"'xy'.*tb-yx-paddle"):
        order_lines(lines, "xy")
