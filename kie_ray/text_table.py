"""Rows of text as a table on a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence


def table(rows: Iterable[Sequence[str]], widths: Sequence[int]) -> str:
    """Aligned columns of `widths` terminal cells, two cells apart; the first row is the head."""
    lines = ["  ".join(fit(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]])


def fit(text: str, width: int) -> str:
    """`text` cut or filled to `width` terminal cells; control characters are shown as spaces.

    Chinese characters are two cells wide.
    """
    text = "".join(" " if unicodedata.category(c).startswith("C") else c for c in text)
    cells = 0
    for index, character in enumerate(text):
        size = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if cells + size > width - (1 if index < len(text) - 1 else 0):
            return text[:index] + "…" + " " * (width - cells - 1)
        cells += size
    return text + " " * (width - cells)
