"""FUNSD (Jaume et al. 2019): `annotations/*.json` beside `images/*.png`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

from kie_ray.datasets.gold import LabelFileError, LabelReport, Malformed, check_page, finite, make_links, parse_json
from kie_ray.datasets.images import with_size
from kie_ray.encoding.labels import canonical_label
from kie_ray.encoding.reading_order import order_tb_yx_paddle
from kie_ray.records import Line, Page

logger = logging.getLogger(__name__)

_NEW_LINE_GAP = 10

Level = Literal["line", "entity"]


def read_funsd(directory: str | Path, level: Level = "line") -> list[Page]:
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
    pages, report = read_funsd_with_report(directory, level)
    if report.left_out or report.dropped_links:
        logger.warning(
            "%s: %d entities or pieces that start without text left out, %d links dropped",
            directory,
            len(report.left_out),
            len(report.dropped_links),
        )
    return pages


def read_funsd_with_report(
    directory: str | Path, level: Level = "line", *, strict: bool = True
) -> tuple[list[Page], LabelReport]:
    """As `read_funsd`, and everything that was left out.

    Args:
        strict: a malformed annotation or a missing image is an error; otherwise the page is skipped and reported.
    """
    folder = Path(directory)
    files = sorted((folder / "annotations").glob("*.json"))
    if not files:
        raise LabelFileError(f"{folder} holds no annotations/*.json (FUNSD)")
    pages: list[Page] = []
    report = LabelReport()
    for file in files:
        found = LabelReport()
        try:
            page = _read_page(file, level, found)
            try:
                pages.append(with_size(page, folder / "images"))
            except LabelFileError as error:
                raise LabelFileError(f"{file}: {error}") from error
        except LabelFileError as error:
            if strict:
                raise
            report.bad_lines.append(str(error))
        else:
            report.add(found, str(file))
    return pages, report


def split_entity(words: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Words of one entity, grouped into visual lines."""
    lines: list[list[dict[str, Any]]] = []
    for word in words:
        if lines and word["box"][0] + _NEW_LINE_GAP > lines[-1][-1]["box"][2]:
            lines[-1].append(word)
        else:
            lines.append([word])
    return lines


def _read_page(file: Path, level: Level, found: LabelReport) -> Page:
    try:
        page = _page(parse_json(file.read_text(encoding="utf-8-sig"))["form"], f"{file.stem}.png", level, found)
        check_page(page)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        what = str(error) if isinstance(error, Malformed) else f"{type(error).__name__}: {error}"
        raise LabelFileError(f"{file} is not a FUNSD annotation: {what}") from error
    except OSError as error:
        raise LabelFileError(f"{file} cannot be read: {error}") from error
    return page


def _page(form: list[dict[str, Any]], source: str, level: Level, found: LabelReport) -> Page:
    if not isinstance(form, list):
        raise Malformed(f"'form' must be a list of entities, it is {type(form).__name__}")
    lines, pieces_of = _lines(form, level, found)
    pairs: list[list[int]] = []
    lost: dict[str, None] = {}  # both ends carry a link: name it once
    for entity in form:
        for first, second in entity["linking"]:
            pairs += [[a, b] for a in pieces_of.get(first, []) for b in pieces_of.get(second, [])]
            for end in (first, second):
                if end not in pieces_of:
                    lost[f"link {first}-{second} names entity {end}, which is missing or without text"] = None
                    break
    links, dropped = make_links(pairs, {line.id: line for line in lines})
    found.dropped_links += [*lost, *dropped]
    if level == "line":
        lines = [lines[k] for k in order_tb_yx_paddle([line.box for line in lines])]
    return Page(0, 0, 0, lines, links, source=source)


def _lines(form: list[dict[str, Any]], level: Level, found: LabelReport) -> tuple[list[Line], dict[int, list[int]]]:
    lines: list[Line] = []
    pieces_of: dict[int, list[int]] = {}
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
                found.left_out.append(f"entity {entity['id']}: {text!r} starts without text")
                continue
            pieces_of.setdefault(entity["id"], []).append(len(lines))
            label = canonical_label(entity["label"])
            lines.append(Line(len(lines), text, _hull(entity["id"], boxes), label=label, label_score=1.0))
    return lines, pieces_of


def _hull(entity: Any, boxes: list[list[float]]) -> tuple[float, ...]:
    corners = [finite(f"entity {entity}", box) for box in boxes]
    x0, y0 = min(b[0] for b in corners), min(b[1] for b in corners)
    x1, y1 = max(b[2] for b in corners), max(b[3] for b in corners)
    return x0, y0, x1, y0, x1, y1, x0, y1
