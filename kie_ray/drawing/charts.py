"""Pictures of a run and of an evaluation: curves, confusion matrix, reliability. 1200 pixels wide PNG files.

matplotlib is imported where something is drawn: it takes a second to load. Figures are made without pyplot, which would
keep global state in a training process.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kie_ray.errors import ConfigError
from kie_ray.metrics.calibration import WANTED_PRECISION, Calibration, threshold_text
from kie_ray.metrics.confusion import Confusion

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

_WIDTH, _DPI = 8.0, 150  # inches, pixels an inch
_INK, _SOFT, _RULE = "#17191c", "#5b6470", "#d9dde3"
# Okabe and Ito (2008): apart for people with the common forms of colour blindness.
_SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#9467bd")
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
_MANY_STEPS = 40  # points from which on a curve is drawn smoothed over its faint self
_LOG_FROM = 10.0  # ratio of largest to smallest loss from which on the axis is logarithmic
_CJK_FONTS = ("Noto Sans CJK SC", "Noto Sans SC", "WenQuanYi Micro Hei", "PingFang SC", "Microsoft YaHei")
_MOST_NUMBERS = 24  # classes up to which the numbers in a confusion matrix can be read


def write_curves(metrics_jsonl: Path, target: Path) -> None:
    """Loss, learning rate and hmean over steps, from the JSON lines that training writes.

    Keys: `step`, `lr`, `loss` and others that start with `loss_`, and those that end with `hmean`. A record may lack
    any of them but `step`. Where a resumed run repeats a step, its last value counts.

    Raises:
        ConfigError: the file is missing or holds no figure to draw.
    """
    curves = _read_curves(metrics_jsonl)
    losses = {name: curve for name, curve in curves.items() if name == "loss" or name.startswith("loss_")}
    hmeans = {name: curve for name, curve in curves.items() if name.endswith("hmean")}
    rates = {"lr": curves["lr"]} if "lr" in curves else {}
    rows = [(draw, found) for draw, found in ((_losses, losses), (_hmeans, hmeans), (_rate, rates)) if found]
    if not rows:
        raise ConfigError(f"{metrics_jsonl} holds no loss, lr or hmean with a step: there is no curve to draw")
    share = [1.0 if draw is _rate else 1.7 for draw, _ in rows]
    figure = _figure(0.7 + 1.6 * sum(share))
    axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=share)[:, 0]
    for ax, (draw, found) in zip(axes, rows, strict=True):
        draw(ax, found)
        _plain(ax)
    axes[-1].set_xlabel("step")
    axes[-1].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    _title(figure, "Training", metrics_jsonl.parent.name)
    _save(figure, target)


def write_confusion(confusion: Confusion, target: Path) -> None:
    """The confusion matrix of line labels: the colour is the share of the gold label's lines, the number is lines."""
    labels, counts = confusion.labels, confusion.counts
    size = len(labels)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(2.0 + size * min(0.95, max(0.28, 5.5 / size)))
    ax = figure.subplots()
    picture = ax.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    point = 10 if size <= 10 else max(6.0, 130 / size)
    slanted: dict[str, Any] = {"rotation": 35, "rotation_mode": "anchor", "ha": "right"} if size > 5 else {}
    ax.set_xticks(range(size), labels, **slanted)
    ax.set_yticks(range(size), labels)
    for text in [*ax.get_xticklabels(), *ax.get_yticklabels()]:
        text.set(parse_math=False, fontsize=point, fontfamily=_fonts())  # a class may be called `$x$` or `姓名`
    if size <= _MOST_NUMBERS:
        for row, column in np.ndindex(size, size):
            if number := counts[row, column]:
                words = f"{number:,}\n{share[row, column]:.0%}" if size <= 10 else f"{number:,}"
                ink = "white" if share[row, column] > 0.55 else _INK
                ax.text(column, row, words, ha="center", va="center", color=ink, fontsize=point)
    ax.set_xlabel("predicted label")
    ax.set_ylabel("gold label")
    ax.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=2 if size <= 10 else 0.5)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(picture, ax=ax, pad=0.02, fraction=0.04)
    bar.set_label("share of the lines with this gold label")
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    bar.outline.set_visible(False)
    right, total = int(np.trace(counts)), int(counts.sum())
    _title(figure, "Line labels: gold against predicted", f"{right:,} of {total:,} lines have their gold label")
    _save(figure, target)


def write_reliability(calibrations: Mapping[str, Calibration], target: Path) -> None:
    """Reliability diagrams side by side, one for each kind of prediction: how often a score is right.

    Args:
        calibrations: by what they are of, such as "line labels"; at least one.
    """
    figure = _figure(5.4)
    panels = figure.subplots(2, len(calibrations), sharex=True, squeeze=False, height_ratios=[3.2, 1])
    for column, (name, calibration) in enumerate(calibrations.items()):
        _reliability(panels[0, column], panels[1, column], name, calibration)
    panels[0, 0].set_ylabel("share that is right")
    panels[1, 0].set_ylabel("predictions")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    _title(figure, "Reliability of the scores", "bars that end on the diagonal: a score of 0.9 is right 9 times in 10")
    _save(figure, target)


def _read_curves(file: Path) -> dict[str, tuple[list[float], list[float]]]:
    """(steps ascending, values) by key."""
    if not file.is_file():
        raise ConfigError(f"{file} does not exist: training writes it")
    last: dict[str, dict[float, float]] = {}
    broken = 0
    for row in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(row)
            step = float(record["step"])
        except (ValueError, KeyError, TypeError):
            broken += bool(row.strip())
            continue
        for name, value in record.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                last.setdefault(name, {})[step] = float(value)
    if broken:
        logger.warning("%s: %d lines are no JSON object with a step; the curves are without them", file, broken)
    return {name: (sorted(points), [points[step] for step in sorted(points)]) for name, points in last.items()}


def _losses(ax: Axes, curves: Mapping[str, tuple[list[float], list[float]]]) -> None:
    values = np.array([value for _, curve in curves.values() for value in curve])
    finite = values[np.isfinite(values)]
    for index, (name, (steps, curve)) in enumerate(sorted(curves.items())):
        colour = _INK if name == "loss" else _SERIES[(index - 1) % len(_SERIES)]
        label = "all (weighted sum)" if name == "loss" and len(curves) > 1 else name.removeprefix("loss_")
        if len(curve) >= _MANY_STEPS:
            ax.plot(steps, curve, color=colour, linewidth=0.7, alpha=0.25)
            ax.plot(steps, _smoothed(curve), color=colour, linewidth=1.8, label=label)
        else:
            ax.plot(steps, curve, color=colour, linewidth=1.8, label=label, marker="." if len(curve) < 3 else None)
    if len(finite) and finite.min() > 0 and finite.max() / finite.min() > _LOG_FROM:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_ylabel("loss")
    if len(curves) > 1:
        _legend(ax)


def _hmeans(ax: Axes, curves: Mapping[str, tuple[list[float], list[float]]]) -> None:
    for index, (name, (steps, curve)) in enumerate(sorted(curves.items(), reverse=True)):  # ser before re
        colour = _SERIES[index % len(_SERIES)]
        best = int(np.nanargmax(curve)) if not np.isnan(curve).all() else 0
        kind = name.removesuffix("hmean").rstrip("_").upper() or "hmean"
        label = f"{kind}: best {curve[best]:.4f} at step {steps[best]:,.0f}"
        mark = _MARKS[index % len(_MARKS)]
        ax.plot(steps, curve, color=colour, linewidth=1.8, marker=mark, markersize=3.5, label=label)
        ax.plot(steps[best], curve[best], color=colour, marker=mark, markersize=9, fillstyle="none", linestyle="none")
    ax.set_ylabel("hmean, held-out pages")
    _legend(ax)


def _rate(ax: Axes, curves: Mapping[str, tuple[list[float], list[float]]]) -> None:
    steps, rates = curves["lr"]
    ax.plot(steps, rates, color=_SERIES[0], linewidth=1.8, marker="." if len(rates) < 3 else None)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    ax.set_ylabel("learning rate")


def _reliability(upper: Axes, lower: Axes, name: str, calibration: Calibration) -> None:
    filled = [one for one in calibration.bins if one.count]
    left, width = [one.low for one in filled], [one.high - one.low for one in filled]
    accuracy = np.array([one.accuracy for one in filled], np.float64)
    score = np.array([one.score for one in filled], np.float64)
    both = np.minimum(accuracy, score)
    bars: dict[str, Any] = {"width": width, "align": "edge", "edgecolor": "white"}
    upper.bar(left, both, color=_SERIES[0], label="right as scored", **bars)
    upper.bar(left, accuracy - both, bottom=both, color=_SERIES[5], label="right more often than scored", **bars)
    bars["edgecolor"] = _SERIES[1]
    too_sure = "right less often than scored"
    upper.bar(left, score - both, bottom=both, color="white", hatch="////", linewidth=0.8, label=too_sure, **bars)
    upper.plot([0, 1], [0, 1], color=_INK, linewidth=1.2, linestyle="--", label="perfect")
    lower.bar(left, [one.count for one in filled], width, align="edge", color=_SOFT, edgecolor="white")
    words = "nothing was predicted"
    if calibration.ece is not None:
        words = f"ECE {calibration.ece:.3f}; no score gives precision {WANTED_PRECISION:g}"
        if calibration.threshold is not None:
            least = threshold_text(calibration.threshold)
            words = f"ECE {calibration.ece:.3f}; precision {WANTED_PRECISION:g} from {least} on"
            for ax in (upper, lower):
                ax.axvline(calibration.threshold, color=_INK, linewidth=1.4, linestyle=":")
    upper.set_title(f"{name}\n{words}", fontsize=10.5, color=_INK)
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1)
    lower.set_yscale("symlog", linthresh=10)
    lower.set_ylim(bottom=0)
    lower.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    lower.set_xlabel("score")
    _plain(upper)
    _plain(lower)


def _smoothed(values: Sequence[float]) -> list[float]:
    """Exponential moving average over about a fiftieth of the curve, started at its first value."""
    keep = 1 - 1 / max(2.0, len(values) / 50)
    smooth: list[float] = []
    for value in values:
        before = smooth[-1] if smooth and np.isfinite(smooth[-1]) else value
        smooth.append(keep * before + (1 - keep) * value if np.isfinite(value) else before)
    return smooth


def _figure(height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


@cache
def _fonts() -> list[str]:
    """matplotlib's own font, and for signs that it lacks the first CJK font that the machine has."""
    from matplotlib.font_manager import get_font_names

    found = set(get_font_names())
    return ["DejaVu Sans", *[name for name in _CJK_FONTS if name in found][:1]]


def _title(figure: Figure, title: str, subtitle: str) -> None:
    words: dict[str, Any] = {"x": 0.012, "ha": "left", "parse_math": False}
    # The empty lines make the layout leave room for the subtitle.
    figure.suptitle(f"{title}\n\n", fontsize=15, fontweight="bold", color=_INK, linespacing=0.9, **words)
    figure.text(y=1 - 0.43 / figure.get_figheight(), s=subtitle, fontsize=10, color=_SOFT, va="center", **words)


def _legend(ax: Axes) -> None:
    ax.legend(loc="best", fontsize=9, frameon=True, framealpha=0.85, edgecolor="none")


def _plain(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(_RULE)
    ax.grid(color=_RULE, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.tick_params(colors=_SOFT, labelsize=9)


def _save(figure: Figure, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, format="png")
