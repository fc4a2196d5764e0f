"""The charts of a run's report as SVG: speed over time, how busy a stage was, histograms of scores.

Shapes stretch with the page while letters keep their size: horizontal positions are percentages, heights are pixels.
Colours are classes of run.css, so that they follow the reader's light or dark theme.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kie_ray.durations import duration

_HEIGHT = 200  # of the throughput's plot, pixels
_MOST_INTERVALS, _LEAST_INTERVALS, _PAGES_AN_INTERVAL = 90, 12, 4
_SPARK_INTERVALS = 48
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


def throughput_svg(timeline: Sequence[Mapping[str, Any]], seconds: float) -> str:
    """Pages per second over the whole run, with a mark where it was started again; heights start at 0."""
    intervals = min(_MOST_INTERVALS, max(_LEAST_INTERVALS, timeline[-1]["pages"] // _PAGES_AN_INTERVAL))
    edges = np.linspace(0.0, seconds, intervals + 1)
    pages = _at(timeline, seconds, edges, [sample["pages"] for sample in timeline])
    rates = np.diff(pages) / np.diff(edges)
    top, step = _nice(float(rates.max(initial=0.0)), 4)
    mean = timeline[-1]["pages"] / seconds
    grid = "".join(
        f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick halo" x="2" y="{y - 4:.1f}">{value:g}{" pages/s" if index == 0 else ""}</text>'
        for index, value in enumerate(np.arange(top, step / 2, -step))
        for y in [_y(float(value), top)]
    )
    starts = "".join(
        f'<line class="start" x1="{share:.2%}" x2="{share:.2%}" y1="0" y2="{_HEIGHT}"/>'
        f'<text class="tick halo" x="{share:.2%}" y="{_HEIGHT - 6}" dx="5">started again</text>'
        for share in (first["seconds"] / seconds for first in _restarts(timeline))
    )
    y_mean = _y(mean, top)
    label = f"Pages per second over {duration(seconds)}: {mean:.2f} on average, {rates.max(initial=0.0):.2f} at most"
    return (
        f'<svg class="plot" width="100%" height="{_HEIGHT + 26}" role="img" aria-label="{escape(label)}">'
        f'<svg width="100%" height="{_HEIGHT}" viewBox="0 0 {intervals} 1000" preserveAspectRatio="none">'
        f'<path class="area" d="{_steps(rates / top)}"/></svg>{grid}'
        f'<line class="axis" x1="0" x2="100%" y1="{_HEIGHT}" y2="{_HEIGHT}"/>{starts}'
        f'<line class="mean" x1="0" x2="100%" y1="{y_mean:.1f}" y2="{y_mean:.1f}"/>'
        f'<text class="tick halo mean-text" x="100%" y="{y_mean - 5:.1f}" text-anchor="end">mean {mean:.2f}</text>'
        f"{_time_axis(seconds)}</svg>"
    )


def busy_svg(timeline: Sequence[Mapping[str, Any]], seconds: float, stage: str, workers: int) -> str:
    """A sparkline: the share of the time of its `workers` that a stage was busy, 0 to 1, over the whole run."""
    edges = np.linspace(0.0, seconds, _SPARK_INTERVALS + 1)
    busy = _at(timeline, seconds, edges, [sample["busy"].get(stage, 0.0) for sample in timeline])
    shares = np.minimum(1.0, np.diff(busy) / np.diff(edges) / workers)
    return (
        f'<svg class="spark" width="100%" height="26" viewBox="0 0 {_SPARK_INTERVALS} 1000" preserveAspectRatio="none" '
        f'aria-hidden="true"><path class="area" d="{_steps(shares)}"/></svg>'
    )


def share_svg(share: float) -> str:
    """A bar from 0 to 1 beside its number, which says the same in text."""
    width = f"{min(1.0, max(0.0, share)):.1%}"
    return (
        '<svg class="share" height="10" aria-hidden="true"><rect class="track" width="100%" height="10" rx="3"/>'
        f'<rect class="fill" width="{width}" height="10" rx="3"/></svg>'
    )


def histogram_svg(counts: Sequence[int], label: str) -> str:
    """How many scores fall into each of the equal bins from 0 to 1; bins below 0.5 look weaker."""
    bins = len(counts)
    top = max(*counts, 1)
    bars = "".join(
        f'<rect class="{"weak" if index < bins / 2 else "strong"}" x="{100 * index / bins + 0.4:.2f}%" '
        f'width="{100 / bins - 0.8:.2f}%" y="{110 - height:.1f}" height="{height:.1f}">'
        f"<title>{index / bins:.2f} to {(index + 1) / bins:.2f}: {count:,}</title></rect>"
        for index, count in enumerate(counts)
        for height in [max(1.5, 106 * count / top) if count else 0.0]
    )
    ticks = "".join(
        f'<text class="tick" x="{100 * value}%" y="127" text-anchor="{anchor}">{value:g}</text>'
        for value, anchor in ((0.0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1.0, "end"))
    )
    return (
        f'<svg class="plot" width="100%" height="132" role="img" aria-label="{escape(label)}">{bars}'
        f'<line class="axis" x1="0" x2="100%" y1="110.5" y2="110.5"/>{ticks}</svg>'
    )


def _at(
    timeline: Sequence[Mapping[str, Any]], seconds: float, edges: NDArray[np.float64], values: Sequence[float]
) -> NDArray[np.float64]:
    """A cumulative value at `edges`; before the first and after the last sample nothing was done."""
    times = [0.0, *(min(sample["seconds"], seconds) for sample in timeline), seconds]
    return np.interp(edges, times, [0.0, *values, values[-1]])


def _restarts(timeline: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [now for before, now in pairwise(timeline) if now["start"] != before["start"]]


def _steps(shares: NDArray[np.float64]) -> str:
    """Outline of bars without gaps, 1 wide each; a share of 1 is 1000 high, the ground is at y 1000."""
    corners = [f"M0 1000V{1000 * (1 - shares[0]):.0f}"]
    for index, share in enumerate(shares):
        corners.append(f"V{1000 * (1 - share):.0f}H{index + 1}")
    return "".join(corners) + "V1000Z"


def _y(value: float, top: float) -> float:
    return _HEIGHT * (1 - value / top)


def _nice(most: float, ticks: int) -> tuple[float, float]:
    """(upper end of an axis, step of its ticks): round numbers, `most` within, about `ticks` steps."""
    if most <= 0:
        return 1.0, 0.5
    rough = 1.12 * most / ticks
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough)
    return step * math.ceil(1.12 * most / step), step


def _time_axis(seconds: float) -> str:
    step = next((step for step in _TIME_STEPS if seconds / step <= 6), 86400 * math.ceil(seconds / 86400 / 6))
    texts = ['<text class="tick" x="0" y="218">0</text>']
    for at in np.arange(step, 0.86 * seconds, step).tolist():
        texts.append(f'<text class="tick" x="{at / seconds:.2%}" y="218" text-anchor="middle">{_time(at)}</text>')
    texts.append(f'<text class="tick" x="100%" y="218" text-anchor="end">{duration(seconds)}</text>')
    return "".join(texts)


def _time(seconds: float) -> str:
    """A round time of an axis: `30 s`, `5 min`, `1.5 h`, `2 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:g} s"
