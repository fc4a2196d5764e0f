"""From what a recogniser has read to the lines of a page: the last step of every engine that works on pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kie_ray.ocr.splitting import split_pair
from kie_ray.records import Line


def finished_lines(
    quads: NDArray[np.float32], results: Sequence[tuple[str, float]], min_score: float, split_pairs: bool
) -> list[Line]:
    """Lines in the order given, `id` = index on the page.

    `quads`: float32 [lines, 4, 2], corners x, y in pixels of the page, clockwise from the top left. `results`: text and
    score of each. A text of blanks becomes "" with score 0 and stays as a line, unless `min_score` leaves it out.
    """
    lines: list[Line] = []
    for quad, (text, score) in zip(quads, results, strict=True):
        text, score = (text, score) if text.strip() else ("", 0.0)
        if score >= min_score:
            line = Line(0, text, tuple(float(value) for value in quad.reshape(-1)), ocr_score=score)
            lines += split_pair(line) if split_pairs else [line]
    for index, line in enumerate(lines):
        line.id = index
    return lines
