from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_ray.encoding.windows import plan_windows
from kie_ray.errors import ConfigError

lengths_strategy = st.lists(st.integers(1, 90), max_size=60)


@settings(deadline=None)
@given(lengths_strategy, st.integers(2, 70), st.data())
def test_windows_cover_every_token_and_respect_the_limit(lengths: list[int], longest: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, longest - 1))
    offset = data.draw(st.integers(0, longest))
    ends = list(accumulate(lengths))
    total = ends[-1] if ends else 0
    windows = plan_windows(ends, longest, overlap, offset)
    assert {k for start, end in windows for k in range(start, end)} == set(range(total))
    assert all(0 < end - start <= longest for start, end in windows)
    assert windows == sorted(windows)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(windows))
    assert len(windows) <= max(1, total)


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), max_size=60), st.integers(0, 59))
def test_a_line_that_fits_is_never_cut(lengths: list[int], overlap: int) -> None:
    ends = list(accumulate(lengths))
    borders = {0, *ends}
    for start, end in plan_windows(ends, 60, overlap):
        assert start in borders
        assert end in borders


def test_neighbours_overlap_by_whole_lines() -> None:
    windows = plan_windows(list(range(10, 1001, 10)), 200, 50)
    shared = [a[1] - b[0] for a, b in pairwise(windows)]
    assert all(item == 50 for item in shared)


def test_a_line_longer_than_a_window_is_cut_with_overlap() -> None:
    windows = plan_windows([5, 305, 310], 100, 20)
    assert len(windows) <= 6
    inner = [(a, b) for a, b in pairwise(windows) if 5 < b[0] < 305 and a[1] < 305]
    assert inner
    assert all(a[1] - b[0] == 20 for a, b in inner)


def test_windows_are_even() -> None:
    windows = plan_windows(list(range(6, 601, 6)), 512, 128)
    assert len(windows) == 2
    assert max(end - start for start, end in windows) < 400


def test_a_page_that_fits_is_one_window_whatever_the_offset() -> None:
    assert plan_windows([100, 512], 512, 128, offset=77) == [(0, 512)]
    assert plan_windows([], 512, 128) == []


def test_an_offset_moves_the_cuts() -> None:
    ends = list(range(5, 1501, 5))
    plans = {tuple(plan_windows(ends, 512, 128, offset)) for offset in (0, 100, 200, 300)}
    assert len(plans) == 4


@pytest.mark.parametrize("overlap", [-1, 512, 600])
def test_bad_overlap_is_named(overlap: int) -> None:
    with pytest.raises(ConfigError, match=f"overlap_tokens = {overlap}"):
        plan_windows([], 512, overlap)
