"""Gold lines against OCR lines: which belong together, and how much of the gold the detector found.

Geometry is on axis-aligned boxes in pixels of the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kie_ray.records import Line, Link, Page


def iou_matrix(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes [N, 4] and [M, 4] (x0, y0, x1, y1) as [N, M]; 0 where the union is empty."""
    overlap = _overlap(first, second)
    union = _area(first)[:, None] + _area(second)[None, :] - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def match_lines(
    gold_lines: Sequence[Line], predicted_lines: Sequence[Line], min_iou: float = 0.5
) -> list[tuple[int, int, float]]:
    """One-to-one matches as (gold index, predicted index, IoU), best IoU first.

    Greedy from the highest IoU down, like PaddleOCR's end-to-end evaluation; ties go to the smaller indices.
    """
    iou = iou_matrix(_boxes(gold_lines), _boxes(predicted_lines))
    rows, columns = np.nonzero((iou >= min_iou) & (iou > 0))
    order = np.argsort(-iou[rows, columns], kind="stable")
    matches, used_gold, used_predicted = [], set(), set()
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in used_gold and column not in used_predicted:
            used_gold.add(row)
            used_predicted.add(column)
            matches.append((row, column, float(iou[row, column])))
    return matches


def aligned_to_gold(gold: Page, predicted: Page, min_iou: float = 0.5) -> Page:
    """`predicted` with the ids of the gold lines that its lines match, ready for `ser_scores` and `re_scores`.

    A line without a match gets a negative id, so it counts as what it is: a false alarm unless its label is OTHER.
    Links and fields follow their lines.
    """
    gold_ids = {line.id for line in gold.lines}
    spare = min([0, *gold_ids]) - 1
    new_id = {line.id: spare - index for index, line in enumerate(predicted.lines)}
    for gold_index, index, _ in match_lines(gold.lines, predicted.lines, min_iou):
        new_id[predicted.lines[index].id] = gold.lines[gold_index].id
    return replace(
        predicted,
        lines=[replace(line, id=new_id[line.id]) for line in predicted.lines],
        links=[Link(new_id[link.key_line], new_id[link.value_line], link.score) for link in predicted.links],
        fields=[
            replace(
                field,
                key_lines=[new_id[line_id] for line_id in field.key_lines],
                value_lines=[new_id[line_id] for line_id in field.value_lines],
            )
            for field in predicted.fields
        ],
    )


def covered_lines(
    gold_lines: Sequence[Line], detected_lines: Sequence[Line], min_share: float = 0.5
) -> NDArray[np.bool_]:
    """bool [len(gold_lines)]: is at least `min_share` of the line's area inside the union of the detected boxes?

    Detectors split and merge lines, so coverage asks for the union and not for a single matching box. A gold box
    without area is covered when its centre lies in a detected box.
    """
    detected = _boxes(detected_lines)
    return np.array([_covered_share(box, detected) >= min_share for box in _boxes(gold_lines)], dtype=np.bool_)


def line_coverage(gold_pages: Sequence[Page], predicted_pages: Sequence[Page], min_share: float = 0.5) -> float:
    """Share of all gold lines that are covered (`covered_lines`) on their page; 1.0 when there is no gold line."""
    covered = [
        covered_lines(gold.lines, predicted.lines, min_share)
        for gold, predicted in zip(gold_pages, predicted_pages, strict=True)
    ]
    flags = np.concatenate(covered) if covered else np.empty(0, dtype=np.bool_)
    return float(flags.mean()) if len(flags) else 1.0


def _covered_share(box: NDArray[np.float64], detected: NDArray[np.float64]) -> float:
    x0, y0, x1, y1 = box
    if x1 <= x0 or y1 <= y0:
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        inside = (detected[:, 0] <= x) & (x <= detected[:, 2]) & (detected[:, 1] <= y) & (y <= detected[:, 3])
        return float(inside.any())
    touching = detected[_overlap(box[None], detected)[0] > 0]
    xs = np.unique(np.clip(np.concatenate([[x0, x1], touching[:, 0], touching[:, 2]]), x0, x1))
    ys = np.unique(np.clip(np.concatenate([[y0, y1], touching[:, 1], touching[:, 3]]), y0, y1))
    middle_x, middle_y = (xs[1:] + xs[:-1]) / 2, (ys[1:] + ys[:-1]) / 2
    in_x = (touching[:, :1] <= middle_x) & (middle_x <= touching[:, 2:3])
    in_y = (touching[:, 1:2] <= middle_y) & (middle_y <= touching[:, 3:])
    filled = (in_y[:, :, None] & in_x[:, None, :]).any(axis=0)
    area = float((np.diff(ys)[:, None] * np.diff(xs)[None, :] * filled).sum())
    return area / float((x1 - x0) * (y1 - y0))


def _boxes(lines: Sequence[Line]) -> NDArray[np.float64]:
    return np.array([line.box for line in lines], dtype=np.float64).reshape(-1, 4)


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)


def _overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=2)
