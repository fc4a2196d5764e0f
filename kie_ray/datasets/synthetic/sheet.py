"""State that the blocks of one page share: canvas, lexicon, styles, margins and the habits of the page's designer."""

from __future__ import annotations

import random
from dataclasses import dataclass

from kie_ray.datasets.synthetic.canvas import ANSWER, QUESTION, Canvas, Style, text_width, wrap
from kie_ray.datasets.synthetic.lexicon import Lexicon
from kie_ray.records import OTHER


@dataclass
class Sheet:
    """`left`, `right`, `bottom`: the live area, points. `size`: em of the print. `fill`: share of answered keys."""

    canvas: Canvas
    words: Lexicon
    left: float
    right: float
    bottom: float
    size: float
    fill: float
    key_style: Style
    value_style: Style
    value_size: float
    colon: bool
    stacked: bool
    unsteady: float = 0.2
    """How far values stray from the middle of their cell, as a share of the free height, each way."""

    @property
    def rng(self) -> random.Random:
        return self.canvas.rng

    @property
    def unfilled(self) -> str:
        """XFUND annotates a key without value as OTHER, FUNSD as QUESTION."""
        return OTHER if self.words.is_zh else QUESTION

    def key_text(self, name: str) -> str:
        return self.words.punctuate(name + ":") if self.colon else name

    def fits(self, text: str, width: float, size: float, style: Style) -> bool:
        return text_width(text, size, style.family) <= width

    def key(
        self,
        name: str,
        x: float,
        y: float,
        width: float,
        height: float,
        label: str,
        align: str = "center",
        size: float | None = None,
    ) -> list[int]:
        """A key inside a cell, wrapped when it is too wide; one annotation, or one a row (about one in four)."""
        size = size or self.size
        rng = self.rng
        inner = width - size * 0.5
        rows = (
            wrap(name, size, inner, self.key_style.family)
            if not self.fits(name, inner, size, self.key_style)
            else [name]
        )
        while (
            len(rows) * size * 1.25 > height or any(not self.fits(row, inner, size, self.key_style) for row in rows)
        ) and size > 3.0:
            size *= 0.93
            rows = wrap(name, size, inner, self.key_style.family)
        if len(rows) > 1 and self.words.is_zh and ord(name[0]) > 0x2E80 and len(name) > len(rows):
            share = -(-len(name) // len(rows))
            even = [name[start : start + share] for start in range(0, len(name), share)]
            if all(self.fits(row, inner, size, self.key_style) for row in even):
                rows = even
        total = (len(rows) - 1) * size * 1.25 + size
        wide = max(text_width(row, size, self.key_style.family) for row in rows)
        left = x + (width - wide) / 2 if align == "center" else x + size * 0.3
        top = y + (height - total) / 2
        spread = 0.0
        if len(rows) == 1 and self.words.is_zh and len(name) == 2 and rng.random() < 0.3:
            spread = min(size * rng.uniform(0.4, 2), inner - wide)
            spread = max(0.0, spread)
            left -= spread / 2 if align == "center" else 0
        if len(rows) > 1 and not (self.words.is_zh and rng.random() < 0.8):
            return [
                self.canvas.write(
                    row,
                    x + (width - text_width(row, size, self.key_style.family)) / 2 if align == "center" else left,
                    top + i * size * 1.25,
                    size,
                    label,
                    self.key_style,
                )
                for i, row in enumerate(rows)
            ]
        return [self.canvas.write(rows, left, top, size, label, self.key_style, align, spread)]

    def value(
        self, text: str, x: float, y: float, width: float, height: float, align: str = "left", label: str = ANSWER
    ) -> list[int]:
        """A value inside a cell: one gold line a row."""
        if not text:
            return []
        style, size = self.value_style, self.value_size
        inner, smallest = width - size * 0.6, size * 0.68
        rows = [text] if self.fits(text, inner, size, style) else wrap(text, size, inner, style.family)
        while (
            len(rows) * size * 1.2 > height or any(not self.fits(row, inner, size, style) for row in rows)
        ) and size > smallest:
            size *= 0.93
            rows = wrap(text, size, inner, style.family)
        step = size * 1.2
        rows = [self._cut(row, inner, size, style) for row in rows[: max(1, int(height / step))]]
        slack = max(0.0, height - ((len(rows) - 1) * step + size))
        top = y + slack * self.rng.uniform(0.5 - self.unsteady, 0.5 + self.unsteady)
        out = []
        for number, row in enumerate(rows):
            wide = text_width(row, size, style.family)
            left = x + (width - wide) / 2 if align == "center" else x + size * 0.3
            out.append(self.canvas.write(row, left, top + number * step, size, label, style))
        return out

    def _cut(self, row: str, width: float, size: float, style: Style) -> str:
        """The part of a row that fits its cell: a person who runs out of room stops writing."""
        while len(row) > 1 and not self.fits(row, width, size, style):
            row = row[:-1].rstrip()
        return row

    def short_field(self, width: float, rows: int) -> tuple[str, str]:
        """A field whose key fits `rows` rows of `width` points without small print; the last of four draws if none."""
        for _ in range(4):
            name, kind = self.words.field()
            if text_width(name, self.size * 0.85, self.key_style.family) < (width - self.size * 0.5) * rows * (
                1.0 if rows == 1 else 0.85
            ):
                break
        return name, kind

    def pair(
        self,
        name: str,
        kind: str,
        key_cell: tuple[float, float, float, float],
        value_cell: tuple[float, float, float, float],
        align: str,
        value_align: str = "left",
    ) -> tuple[list[int], list[int]]:
        """Key and, with probability `fill`, its value; cells are x, y, width, height. Returns the line ids of both."""
        answered = self.rng.random() < self.fill
        text = self.words.value(kind) if answered else ""
        keys = self.key(self.key_text(name), *key_cell, QUESTION if text else self.unfilled, align)
        values = self.value(text, *value_cell, value_align)
        self.canvas.link(keys, values)
        return keys, values
