"""A detected line that holds a key and its value becomes two lines.

Detectors join `Date: 3/14/94` when the gap is narrow, but a line carries one label. Forms mark the border with a colon.
"""

from __future__ import annotations

import re
import unicodedata

from kie_ray.records import Line

_MAX_KEY_CHARACTERS = 40
_MAX_KEY_WORDS = 6
_PAIR = re.compile(r"^(?P<key>[^:：]*?[^\W\d_][^:：]*[:：])\s*(?P<value>[^\s:：/].*)$", re.DOTALL)


def split_pair(line: Line) -> list[Line]:
    """`[key line, value line]` where the text reads `key: value`, else `[line]`.

    The key is short (40 characters, 6 words at most), holds a letter and ends at the first colon. A colon between
    digits (a time) or before a slash (an address) is none. The quadrilateral is cut where the text's widths put the
    border: a full-width character counts 2, another 1. Both parts keep the line's id and score; the caller numbers
    lines anew.
    """
    match = _PAIR.match(line.text)
    if match is None:
        return [line]
    key, value = match["key"], match["value"]
    if len(key) > _MAX_KEY_CHARACTERS or len(key.split()) > _MAX_KEY_WORDS:
        return [line]
    if key[-2].isdigit() and value[0].isdigit():
        return [line]
    whole = text_width(line.text)
    start = text_width(line.text[: match.start("value")])
    left, right = cut(line.points, text_width(key) / whole, start / whole)
    return [
        Line(line.id, key, left, line.ocr_score, line.label, line.label_score),
        Line(line.id, value, right, line.ocr_score, line.label, line.label_score),
    ]


def text_width(text: str) -> int:
    """Cells of a fixed-width font: 2 for wide characters, 1 for the others."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def cut(points: tuple[float, ...], end: float, start: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The quadrilateral up to share `end` of its length, and from share `start` on.

    `points`: x1,y1,...,x4,y4 clockwise from the top left.
    """
    x1, y1, x2, y2, x3, y3, x4, y4 = points

    def between(share: float) -> tuple[float, float, float, float]:
        top = (x1 + (x2 - x1) * share, y1 + (y2 - y1) * share)
        bottom = (x4 + (x3 - x4) * share, y4 + (y3 - y4) * share)
        return *top, *bottom

    ax, ay, bx, by = between(end)
    cx, cy, dx, dy = between(start)
    return (x1, y1, ax, ay, bx, by, x4, y4), (cx, cy, x2, y2, x3, y3, dx, dy)
