"""Printing a run's fields."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.show import main


def test_a_folder_without_a_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "holds no finished run" in capsys.readouterr().err
