"""A thread that lives as long as a block."""

from __future__ import annotations

import threading
import time

import pytest

from pipelines.beside import beside


def test_the_thread_is_told_and_waited_for_even_after_an_error() -> None:
    seen: list[str] = []

    def work(finished: threading.Event) -> None:
        seen.append("working")
        finished.wait(10)
        seen.append("ended")

    with pytest.raises(KeyError), beside(work, "work"):
        raise KeyError
    assert seen == ["working", "ended"]


def test_one_that_does_not_end_is_left_behind_when_patience_is_over() -> None:
    release = threading.Event()

    def stuck(finished: threading.Event) -> None:
        release.wait(10)

    started = time.monotonic()
    with beside(stuck, "stuck", patience=0.05):
        pass
    assert time.monotonic() - started < 5
    release.set()
