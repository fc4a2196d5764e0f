"""What is left of a page's boxes and texts."""

from __future__ import annotations

import numpy as np

from kie_ray.ocr.lines import finished_lines

QUADS = np.array([[[x, 0], [x + 50, 0], [x + 50, 20], [x, 20]] for x in (0, 100, 200)], dtype=np.float32)
READ = [("Name: Ada", 0.9), ("\u3000 ", 0.8), (" kept as read ", 0.4)]


def test_a_blank_box_stays_as_an_empty_line() -> None:
    lines = finished_lines(QUADS, READ, 0.0, False)
    assert [(line.id, line.text, line.ocr_score) for line in lines] == [
        (0, "Name: Ada", 0.9),
        (1, "", 0.0),
        (2, " kept as read ", 0.4),
    ]
    assert lines[1].points == (100, 0, 150, 0, 150, 20, 100, 20)


def test_lines_left_out_and_split_are_numbered_anew() -> None:
    lines = finished_lines(QUADS, READ, 0.3, True)
    assert [(line.id, line.text) for line in lines] == [(0, "Name:"), (1, "Ada"), (2, " kept as read ")]
    assert finished_lines(QUADS[:0], [], 0.0, True) == []
