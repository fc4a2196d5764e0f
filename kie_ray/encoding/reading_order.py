"""In which order the lines of a page are read.

`tb-yx` is ours: rows by the lines' own heights, so the result does not depend on resolution, and a total order, so it
does not depend on the order of the input. `tb-yx-paddle` is PaddleOCR's rule bit for bit, for weights trained with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Literal, get_args

from kie_ray.errors import ConfigError
from kie_ray.records import Box, Line

ReadingOrder = Literal["tb-yx", "tb-yx-paddle", "none"]

_PADDLE_ROW_PIXELS = 20
_ROW_TOLERANCE = 0.5  # of the lower height: centres closer than this overlap by more than half
_MIN_SKEW_LINES = 5
_MAX_SKEW = math.radians(15)


def order_lines(lines: Sequence[Line], method: str = "tb-yx") -> list[int]:
    """Permutation of the line indices in reading order.

    Raises:
        ConfigError: `method` is none of tb-yx, tb-yx-paddle, none.
    """
    rule = _RULES.get(method)
    if rule is None:
        raise ConfigError(f"reading order {method!r} is unknown; use one of {', '.join(get_args(ReadingOrder))}")
    return rule(lines)


def order_by_rows(boxes: Sequence[Box], skew: float = 0.0) -> list[int]:
    """Rows top to bottom, within a row left to right.

    A line joins the row above it in order of vertical centres when its centre is nearer to the row's mean centre than
    half of the lowest height in the row. Equal positions keep the order of the input.

    Args:
        boxes: x0, y0, x1, y1 of every line, any unit.
        skew: clockwise rotation of the page in radians, taken out before rows are formed.
    """
    cos, sin = math.cos(skew), math.sin(skew)
    placed: list[tuple[float, float, float, int]] = []  # centre y, left x, height, index
    for index, (x0, y0, x1, y1) in enumerate(boxes):
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        left = x * cos + y * sin - (x1 - x0) / 2
        placed.append((y * cos - x * sin, left, y1 - y0, index))
    placed.sort()

    rows: list[list[tuple[float, float, float, int]]] = []
    mean, lowest = 0.0, 0.0
    for item in placed:
        centre, _, height, _ = item
        if rows and centre - mean <= _ROW_TOLERANCE * min(height, lowest):
            rows[-1].append(item)
            mean += (centre - mean) / len(rows[-1])
            lowest = min(lowest, height)
        else:
            rows.append([item])
            mean, lowest = centre, height
    return [index for row in rows for _, _, _, index in sorted(row, key=lambda item: (item[1], item[0], item[3]))]


def order_tb_yx_paddle(boxes: Sequence[Sequence[float]]) -> list[int]:
    """PaddleOCR's `order_by_tbyx` with its quirks.

    20 pixels of the original image whatever the resolution, the first two lines are never exchanged (the inner walk
    stops before index 0), and the comparison is not transitive.
    """
    order = sorted(range(len(boxes)), key=lambda k: (boxes[k][1], boxes[k][0]))
    for i in range(len(order) - 1):
        for j in range(i, 0, -1):
            upper, lower = boxes[order[j]], boxes[order[j + 1]]
            if abs(lower[1] - upper[1]) >= _PADDLE_ROW_PIXELS or lower[0] >= upper[0]:
                break
            order[j], order[j + 1] = order[j + 1], order[j]
    return order


def integer_box(points: Sequence[float]) -> tuple[int, int, int, int]:
    """PaddleOCR's hull of a quadrilateral: the minima and maxima of x1,y1,...,xn,yn, truncated to whole pixels."""
    xs, ys = points[0::2], points[1::2]
    return int(min(xs)), int(min(ys)), int(max(xs)), int(max(ys))


def page_skew(lines: Sequence[Line]) -> float:
    """Clockwise rotation in radians: the median slope of the top edges of long lines, 0 where too few tell it."""
    slopes = []
    for line in lines:
        if len(line.points) != 8:
            continue
        x1, y1, x2, y2 = line.points[:4]
        x0, top, right, bottom = line.box
        if right - x0 > 3 * (bottom - top) and x2 > x1:
            slopes.append(math.atan2(y2 - y1, x2 - x1))
    if len(slopes) < _MIN_SKEW_LINES:
        return 0.0
    skew = median(slopes)
    return skew if abs(skew) <= _MAX_SKEW else 0.0


_RULES: dict[str, Callable[[Sequence[Line]], list[int]]] = {
    "tb-yx": lambda lines: order_by_rows([line.box for line in lines], page_skew(lines)),
    "tb-yx-paddle": lambda lines: order_tb_yx_paddle([integer_box(line.points) for line in lines]),
    "none": lambda lines: list(range(len(lines))),
}
