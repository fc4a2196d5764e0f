"""The card of an imported model: where it is from, what became of its tensors and labels, how pages are prepared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from kie_ray.importing.labels import LabelRows
from kie_ray.importing.parts import Part


def model_card(
    name: str, parts: Sequence[Part], order: LabelRows | None, pages: Mapping[str, str], licence: str
) -> str:
    """Markdown text. `pages`: how they are prepared, a value by its name."""
    lines = [f"# {name}", "", "Imported by `jobs/import_model.py`; the weights are those of the source.", ""]
    lines += [f"Licence of the weights: {licence}", "", "## Source", ""]
    for part in parts:
        lines += [
            f"- {part.title}: `{part.source}`, {part.architecture}, {part.parameters / 1e6:.1f} M parameters",
            *(f"  - sha256 of `{name}`: `{value}`" for name, value in part.weights.items()),
            f"  - {part.used} tensors used, {len(part.skipped)} left over{_left_over(part.skipped)}",
            *(f"  - {note}" for note in part.notes),
        ]
    lines.append("")
    if order is not None:
        lines += ["## Labels", "", *_label_lines(order), ""]
    lines += ["## Preparation of pages", "", *(f"- {what}: {value}" for what, value in pages.items()), ""]
    return "\n".join(lines)


def _left_over(skipped: Sequence[str]) -> str:
    """Names of left-over tensors; those that differ in numbers only are counted together."""
    counts = Counter(re.sub(r"\d+", "N", name) if name.endswith("num_batches_tracked") else name for name in skipped)
    shown = [f"`{name}`" + (f" ({count})" if count > 1 else "") for name, count in counts.items()]
    return f": {', '.join(shown)}" if shown else ""


def _label_lines(order: LabelRows) -> list[str]:
    if not order.changed:
        return [f"{', '.join(order.labels.names)}, in the checkpoint's own order."]
    rows = ["| id | label | row of the checkpoint's classifier |", "|---|---|---|"]
    for index, (label, row) in enumerate(zip(order.labels.names, order.rows, strict=True)):
        rows.append(f"| {index} | {label} | {'none: never predicted' if row is None else row} |")
    return ["The classifier's rows were put into the order that follows from the class list.", "", *rows]
