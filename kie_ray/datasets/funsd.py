"""FUNSD (Jaume et al. 2019): `annotations/*.json` beside `images/*.png`."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Literal

from kie_ray.datasets.paddleocr import LabelFileError, make_links, with_sizes
from kie_ray.encoding.labels import canonical_label
from kie_ray.encoding.reading_order import order_tb_yx_paddle
from kie_ray.records import Line, Page

logger = logging.getLogger(__name__)

_NEW_LINE_GAP = 10


def read_funsd(directory: str | Path, level: Literal["line", "entity"] = "line") -> list[Page]:
    """Gold pages of one split, sorted by name, with sizes from the images.

    level="line": PaddleOCR's conversion (`trans_funsd_label.py`): an entity is split into visual lines, a new one where
    the next word starts left of the previous word's end (by 10 pixels or more); every piece keeps the entity's label,
    a link becomes all pairs of pieces of both ends; lines stand in PaddleOCR's tb-yx order; a piece whose first word is
    empty is left out even if more words follow, as there, so that scores compare. level="entity": one line an entity in
    the order of the file, those without text left out. What is left out and the links that lose an end are logged with
    their count.

    Raises:
        LabelFileError: names the file and what is wrong.
    """
    folder = Path(directory)
    files = sorted((folder / "annotations").glob("*.json"))
    if not files:
        raise LabelFileError(f"{folder} holds no annotations/*.json (FUNSD)")
    pages, blank, dropped = [], 0, 0
    for file in files:
        page, page_blank, page_dropped = _page(file, level)
        pages.append(page)
        blank += page_blank
        dropped += page_dropped
    if blank or dropped:
        logger.warning(
            "%s: %d entities or pieces that start without text left out, %d links dropped", folder, blank, dropped
        )
    return with_sizes(pages, folder / "images")


def split_entity(words: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Words of one entity, grouped into visual lines."""
    lines: list[list[dict[str, Any]]] = []
    for word in words:
        if lines and word["box"][0] + _NEW_LINE_GAP > lines[-1][-1]["box"][2]:
            lines[-1].append(word)
        else:
            lines.append([word])
    return lines


def _page(file: Path, level: str) -> tuple[Page, int, int]:
    try:
        form = json.loads(file.read_text(encoding="utf-8"))["form"]
        lines, pieces_of, blank = _lines(form, level)
        pairs = [
            [a, b]
            for item in form
            for first, second in item["linking"]
            for a in pieces_of.get(first, [])
            for b in pieces_of.get(second, [])
        ]
        lost = {
            (first, second)
            for item in form
            for first, second in item["linking"]
            if first not in pieces_of or second not in pieces_of
        }
        links, dropped = make_links(pairs, {line.id: line for line in lines})
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise LabelFileError(f"{file} is not a FUNSD annotation: {type(error).__name__}: {error}") from error
    if level == "line":
        lines = [lines[k] for k in order_tb_yx_paddle([line.box for line in lines])]
    return Page(0, 0, 0, lines, links, source=f"{file.stem}.png"), blank, len(lost) + len(dropped)


def _lines(form: list[dict[str, Any]], level: str) -> tuple[list[Line], dict[int, list[int]], int]:
    lines: list[Line] = []
    pieces_of: dict[int, list[int]] = {}
    blank = 0
    for entity in form:
        words = entity["words"]
        if level == "entity":
            pieces = [(entity["text"], entity["text"].strip(), [entity["box"]])]
        else:
            pieces = [
                (" ".join(word["text"] for word in line), line[0]["text"], [word["box"] for word in line])
                for line in split_entity(words)
            ]
        for text, telling, boxes in pieces:
            if not telling:
                blank += 1
                continue
            pieces_of.setdefault(entity["id"], []).append(len(lines))
            lines.append(Line(len(lines), text, _hull(boxes), label=canonical_label(entity["label"]), label_score=1.0))
    return lines, pieces_of, blank


def _hull(boxes: list[list[float]]) -> tuple[float, ...]:
    x0, y0 = float(min(b[0] for b in boxes)), float(min(b[1] for b in boxes))
    x1, y1 = float(max(b[2] for b in boxes)), float(max(b[3] for b in boxes))
    return x0, y0, x1, y0, x1, y1, x0, y1
