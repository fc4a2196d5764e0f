"""Tables on a terminal."""

from __future__ import annotations

import pytest

from kie_ray.text_table import fit, table


@pytest.mark.parametrize(
    ("text", "expected"),
    [("abc", "abc  "), ("abcdef", "abcd…"), ("姓名", "姓名 "), ("姓名年", "姓名…"), ("a\x1bb", "a b  ")],
)
def test_fit_counts_terminal_cells(text: str, expected: str) -> None:
    assert fit(text, 5) == expected


def test_columns_are_aligned_and_lines_end_with_their_text() -> None:
    assert table([("key", "value"), ("姓名", "Ada"), ("long key", "x")], (5, 6)).splitlines() == [
        "key    value",
        "-------------",
        "姓名   Ada",
        "long…  x",
    ]
