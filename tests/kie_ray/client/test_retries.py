"""Waits between attempts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kie_ray.client import Retries
from kie_ray.client.retries import retry_after_seconds

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("Sun, 01 Mar 2026 13:00:30 +0100", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, NOW) == seconds


def test_without_a_header_the_wait_is_drawn_from_a_span_that_doubles() -> None:
    retries = Retries(attempts=50, first_seconds=1.0, longest_seconds=6.0, total_seconds=1e9)
    for sent, limit in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 6.0), (40, 6.0)):
        waits = [retries.wait(sent, 0.0, None) for _ in range(400)]
        assert all(wait is not None and 0 <= wait <= limit for wait in waits)
        values = [wait for wait in waits if wait is not None]
        assert min(values) < 0.1 * limit
        assert max(values) > 0.9 * limit


def test_a_server_s_wish_is_waited_and_capped() -> None:
    retries = Retries(first_seconds=0.5, longest_seconds=10.0, total_seconds=100.0)
    assert all(3.0 <= (retries.wait(1, 0.0, 3.0) or 0) <= 3.5 for _ in range(100))
    assert all(10.0 <= (retries.wait(1, 0.0, float("inf")) or 0) <= 10.5 for _ in range(100))


def test_the_end_of_number_and_time() -> None:
    retries = Retries(attempts=3, total_seconds=10.0, first_seconds=0.0)
    assert retries.wait(2, 0.0, None) == 0.0
    assert retries.wait(3, 0.0, None) is None
    assert retries.wait(1, 9.0, 1.0) == 1.0
    assert retries.wait(1, 9.5, 1.0) is None


@pytest.mark.parametrize(("name", "value"), [("attempts", 0), ("total_seconds", -1.0), ("first_seconds", float("nan"))])
def test_values_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Retries(**{name: value})  # type: ignore[arg-type]
