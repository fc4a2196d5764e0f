"""When a request is sent again, and after how long."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Retries:
    """Only 429, 503 and connections that broke before any answer are tried again.

    `attempts`: times that a request is sent at most; 1 is never again.
    `total_seconds`: no attempt begins later than this after the first one began.
    `first_seconds`, `longest_seconds`: the wait after attempt n is drawn evenly from 0 to first_seconds x 2^(n-1), at
    most `longest_seconds` (exponential backoff with full jitter). What a server asks for in Retry-After, itself at most
    `longest_seconds`, is waited before that, so that clients that were turned away together do not return together.

    Raises:
        ValueError: a value is out of range; names it.
    """

    attempts: int = 6
    total_seconds: float = 60.0
    first_seconds: float = 0.5
    longest_seconds: float = 20.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts = {self.attempts}: a request is sent at least once")
        for name in ("total_seconds", "first_seconds", "longest_seconds"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} = {getattr(self, name)}: it must be 0 or more")

    def wait(self, sent: int, elapsed: float, retry_after: float | None) -> float | None:
        """Seconds until the next attempt; None for no more.

        Args:
            sent: attempts so far, 1 or more.
            elapsed: seconds since the first one began.
            retry_after: what the server asked for, seconds.
        """
        if sent >= self.attempts:
            return None
        spread = min(self.longest_seconds, self.first_seconds * 2.0 ** min(sent - 1, 60))
        seconds = random.uniform(0.0, spread) + min(retry_after or 0.0, self.longest_seconds)
        return seconds if elapsed + seconds <= self.total_seconds else None


def retry_after_seconds(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds from a Retry-After header, a number or an HTTP date; None where there is none or it says neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:  # "-0000": a time in UTC of unknown origin
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return None if math.isnan(seconds) else max(0.0, seconds)
