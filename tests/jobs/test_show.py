"""Printing a run's fields."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.show import fit, main


@pytest.mark.parametrize(
    ("text", "expected"),
    [("abc", "abc  "), ("abcdef", "abcd…"), ("姓名", "姓名 "), ("姓名年", "姓名…"), ("a\x1bb", "a b  ")],
)
def test_fit_counts_terminal_cells(text: str, expected: str) -> None:
    assert fit(text, 5) == expected


def test_a_folder_without_a_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "holds no finished run" in capsys.readouterr().err
