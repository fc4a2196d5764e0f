"""Lines about phases that take a while."""

from __future__ import annotations

import re
import time

import pytest

from pipelines import phases
from pipelines.phases import Counted, phase


def test_a_short_phase_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with phase("listing documents", seconds=10.0):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_long_one_says_how_long_and_how_far(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phases, "_PATIENCE_SECONDS", 0.05)
    items = Counted("abc")
    with phase("listing documents", items, seconds=0.1):
        assert list(items) == ["a", "b", "c"]
        time.sleep(0.4)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) >= 2
    assert all(re.fullmatch(r"listing documents: 0\.\d s, 3 so far", line) for line in lines)
    time.sleep(0.2)
    assert capsys.readouterr().err == "", "it is over"


def test_an_error_passes_and_ends_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "_PATIENCE_SECONDS", 0.05)
    with pytest.raises(KeyError), phase("merging", seconds=0.05):
        raise KeyError
    time.sleep(0.15)
    assert capsys.readouterr().err == ""
