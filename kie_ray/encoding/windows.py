"""Where to cut a page that is longer than the model's input."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from kie_ray.errors import ConfigError


def plan_windows(
    line_ends: Sequence[int], max_tokens: int, overlap_tokens: int, offset: int = 0
) -> list[tuple[int, int]]:
    """Overlapping windows that cover every token and are cut at line borders.

    A line is cut inside only when it is longer than a window; its pieces overlap by `overlap_tokens`. Windows are of
    similar length rather than full ones and a short rest. A page that fits is one window.

    Args:
        line_ends: token offset after each line with tokens, ascending; the last one is the page's token count.
        max_tokens: longest window.
        overlap_tokens: tokens that neighbours share at most; whole lines of them, fewer where a line would not fit.
        offset: > 0 ends the first window of a page that does not fit near this token, which shifts all others
            (training: other cuts each epoch).

    Returns:
        (start, end) token offsets, ends exclusive, both ascending.

    Raises:
        ConfigError: not 0 <= overlap_tokens < max_tokens.
    """
    if not 0 <= overlap_tokens < max_tokens:
        raise ConfigError(f"overlap_tokens = {overlap_tokens} must be at least 0 and below max_tokens = {max_tokens}")
    total = line_ends[-1] if line_ends else 0
    if total <= max_tokens:
        return [(0, total)] if total else []
    borders = [0, *line_ends]
    full = _cut(borders, max_tokens, overlap_tokens, offset)
    if offset:
        return full
    count = len(full)
    even = -(-(total + (count - 1) * overlap_tokens) // count)
    step = max(1, max_tokens // 16)
    for length in range(max(even, overlap_tokens + 1), max_tokens, step):
        plan = _cut(borders, length, overlap_tokens, 0)
        if len(plan) == count:
            return plan
    return full


def _cut(borders: Sequence[int], length: int, overlap: int, offset: int) -> list[tuple[int, int]]:
    total = borders[-1]
    windows: list[tuple[int, int]] = []
    start, covered = 0, 0
    while covered < total:
        reach = length if windows or not 0 < offset < length else offset
        end = borders[bisect_right(borders, start + reach) - 1]
        if end <= covered:  # the next line does not fit: cut inside it
            end = min(start + length, total)
        windows.append((start, end))
        covered = end
        start = _next_start(borders, start, end, length, overlap)
    return windows


def _next_start(borders: Sequence[int], start: int, end: int, length: int, overlap: int) -> int:
    following = bisect_right(borders, end)
    if borders[following - 1] != end:
        return max(end - overlap, start + 1)  # inside a long line
    if following == len(borders):
        return end
    earliest = max(end - overlap, start + 1)
    if borders[following] - end <= length:
        earliest = max(earliest, borders[following] - length)  # the next line shall fit whole
    return borders[bisect_left(borders, earliest)]
