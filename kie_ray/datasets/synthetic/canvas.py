"""The sheet that blocks write on: gold lines and links, and the drawing list for the renderer, in points (1/72 inch).

Text widths come from a small table (CJK 1 em, Latin the published Helvetica advance widths), never from a font file, so
the layout of a seed is the same on a machine without fonts; the renderer stretches each run into its box.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import lru_cache

from kie_ray.records import OTHER, Box, Line, Link

HEADER, QUESTION, ANSWER = "HEADER", "QUESTION", "ANSWER"
LABELS = (HEADER, QUESTION, ANSWER, OTHER)

_HELVETICA = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778,
    722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278,
    278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556,
    556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
]  # fmt: skip
_SCALE = {"sans": 1.04, "serif": 0.94, "hand": 1.0}


@lru_cache(maxsize=16384)
def _em(character: str, family: str) -> float:
    code = ord(character)
    if 32 <= code < 127:
        return 0.6 if family == "mono" else _HELVETICA[code - 32] / 1000 * _SCALE[family]
    return 1.0 if code >= 0x2000 else 0.56


def text_width(text: str, size: float, family: str = "sans") -> float:
    """Width in points of one line of `text` at `size` points per em."""
    return sum(_em(character, family) for character in text) * size


@dataclass(frozen=True, slots=True)
class Style:
    """How a run of text looks. `family`: sans, serif, mono or hand. `ink`: RGB 0-255."""

    family: str = "sans"
    bold: bool = False
    ink: tuple[int, int, int] = (20, 20, 20)


@dataclass(frozen=True, slots=True)
class TextRun:
    """A drawn run of text; the em box, points. Several runs may belong to one gold line (a key wrapped in its cell)."""

    text: str
    box: Box
    size: float
    style: Style
    line_id: int | None


@dataclass(frozen=True, slots=True)
class Shape:
    """A drawn thing that is no text: `rule`, `fill`, `stamp` or `logo`. `value` is its width, grey level or seed."""

    kind: str
    box: Box
    value: float = 1.0
    text: str = ""


@dataclass
class Canvas:
    """Collects what blocks write. `width`, `height`: points. `jitter` is the looseness of annotated boxes, in em."""

    rng: random.Random
    width: float
    height: float
    strip_spaces: bool = False
    jitter: float = 0.1
    lines: list[Line] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    runs: list[TextRun] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)

    def write(
        self,
        text: str | list[str],
        x: float,
        y: float,
        size: float,
        label: str,
        style: Style,
        align: str = "left",
        spread: float = 0.0,
    ) -> int:
        """One gold line with its top left em corner at (x, y); a list is one annotation drawn on several rows.

        `align` places the rows within the widest one. `spread` adds points between characters. Returns its id.
        """
        rows = [text] if isinstance(text, str) else text
        widths = [text_width(row, size, style.family) + spread * (len(row) - 1) for row in rows]
        wide, step = max(widths), size * 1.25
        line_id = len(self.lines)
        for number, (row, width) in enumerate(zip(rows, widths, strict=True)):
            left = x + (wide - width) / 2 if align == "center" else x
            drawn = (" " * max(1, round(spread / (size * 0.28)))).join(row) if spread and len(row) > 1 else row
            top = y + number * step
            self.runs.append(TextRun(drawn, (left, top, left + width, top + size), size, style, line_id))
        joiner = "" if self.strip_spaces or any(ord(c) > 0x2E80 for c in rows[0]) else " "
        gold = joiner.join(rows)
        if self.strip_spaces:
            gold = gold.replace(" ", "")
        loose = self.jitter * size
        rnd = self.rng.random
        x0, y0 = max(0.0, x - rnd() * loose), max(0.0, y - rnd() * loose)
        x1 = min(self.width, x + wide + rnd() * loose)
        y1 = min(self.height, y + (len(rows) - 1) * step + size + rnd() * loose)
        self.lines.append(Line(line_id, gold, (x0, y0, x1, y0, x1, y1, x0, y1), label=label))
        return line_id

    def link(self, keys: int | list[int], values: int | list[int]) -> None:
        """Every key to every value, as PaddleOCR expands entities that span several lines."""
        for key in [keys] if isinstance(keys, int) else keys:
            for value in [values] if isinstance(values, int) else values:
                self.links.append(Link(key, value))

    def rule(self, x0: float, y0: float, x1: float, y1: float, width: float = 0.7) -> None:
        self.shapes.append(Shape("rule", (x0, y0, x1, y1), width))

    def frame(self, x0: float, y0: float, x1: float, y1: float, width: float = 0.7) -> None:
        self.rule(x0, y0, x1, y0, width)
        self.rule(x0, y1, x1, y1, width)
        self.rule(x0, y0, x0, y1, width)
        self.rule(x1, y0, x1, y1, width)

    def relabel(self, line_ids: list[int], label: str) -> None:
        for line_id in line_ids:
            self.lines[line_id].label = label


def wrap(text: str, size: float, width: float, family: str = "sans") -> list[str]:
    """Rows of at most `width` points; Latin text breaks at spaces, CJK text anywhere but before closing punctuation."""
    rows: list[str] = []
    row, used = "", 0.0
    latin = sum(ord(c) < 0x2E80 for c in text) > len(text) * 0.8 and " " in text
    pieces = [word + " " for word in text.split(" ")] if latin else list(text)
    for piece in pieces:
        need = text_width(piece.rstrip(" ") if latin else piece, size, family)
        if row and used + need > width and piece not in ",。、;:!?)」》.，；：":
            rows.append(row.rstrip(" "))
            row, used = "", 0.0
        row += piece
        used += text_width(piece, size, family)
    if row.strip(" "):
        rows.append(row.strip(" "))
    return rows
