"""PaddleOCR's label file (`image<TAB>json`, one page a line) and XFUND's json: read and write."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from kie_ray.datasets.gold import (
    LabelFileError,
    LabelReport,
    MakePage,
    Malformed,
    check_page,
    collect_pages,
    finite,
    is_id,
    is_side,
    make_links,
    parse_json,
    quadrilateral,
    read_document,
)
from kie_ray.encoding.labels import canonical_label
from kie_ray.records import OTHER, Line, Page

logger = logging.getLogger(__name__)


def read_labels(path: str | Path, *, strict: bool = True) -> list[Page]:
    """Read a PaddleOCR label file or an XFUND json file into gold pages.

    `Page.source` is the image name as written; width and height are 0 unless the file has them (XFUND does), see
    `with_sizes`. A line's label is upper case, `other`, `others` and `ignore` are OTHER; PPOCRLabel's `key_cls` stands
    in for a missing `label`. A link runs from HEADER to QUESTION to ANSWER; between other labels it keeps the order of
    the file. Links to unknown ids or to the line itself are dropped and logged with their count.

    Args:
        strict: a malformed line is an error; otherwise it is skipped and logged.

    Raises:
        LabelFileError: names file, line number and reason.
    """
    pages, report = read_labels_with_report(path, strict=strict)
    for what, items in (("links dropped", report.dropped_links), ("lines skipped", report.bad_lines)):
        if items:
            logger.warning("%d %s, the first is %s", len(items), what, items[0])
    return pages


def read_labels_with_report(path: str | Path, *, strict: bool = True) -> tuple[list[Page], LabelReport]:
    """As `read_labels`, and everything that was left out."""
    file = Path(path)
    document = read_document(file)
    if isinstance(document, list):
        raise LabelFileError(
            f"{file} is a json list (Label Studio?), not a label file; "
            "`python -m kie_ray.datasets convert` makes one of a Label Studio export"
        )
    records = label_records(document) if isinstance(document, str) else xfund_records(file, document)
    return collect_pages(file, records, strict=strict)


def label_records(text: str) -> Iterator[tuple[str, MakePage]]:
    """The lines of a label file, each with its number, for `collect_pages`."""
    for number, row in enumerate(text.split("\n"), 1):
        if row.strip():
            yield str(number), partial(_label_page, row.rstrip("\r"))


def xfund_records(file: Path, tree: dict[str, Any]) -> Iterator[tuple[str, MakePage]]:
    """The documents of an XFUND json object, each with its number, for `collect_pages`.

    Raises:
        LabelFileError: the object is not XFUND's.
    """
    documents = tree.get("documents")
    if documents is None:
        form = "; for FUNSD give the folder that holds annotations/ and images/" if "form" in tree else ""
        raise LabelFileError(f"{file}: a json object needs 'documents' (XFUND){form}")
    if not isinstance(documents, list):
        raise LabelFileError(f"{file}: 'documents' must be a list, it is {type(documents).__name__}")
    for number, document in enumerate(documents, 1):
        yield f"document {number}", partial(_xfund_page, document)


def write_labels(pages: Iterable[Page], path: str | Path) -> None:
    """Write a PaddleOCR label file that `read_labels` reads back to the same lines and links.

    Labels are written in lower case (PaddleOCR matches question and answer in lower case only); both ends of a link
    carry it. Sizes, scores and fields have no place in the format. The file appears whole or not at all.

    Raises:
        LabelFileError: an image name or a text has no place in the format.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as out:
            for page in pages:
                check_page(page)
                out.write(f"{page.source}\t{json.dumps(annotation(page), ensure_ascii=False)}\n")
        temporary.replace(target)
    except Malformed as error:
        raise LabelFileError(f"{target}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def annotation(page: Page) -> list[dict[str, Any]]:
    """The page's lines as PaddleOCR writes them: transcription, label, points, id, linking."""
    linking: dict[int, list[list[int]]] = {line.id: [] for line in page.lines}
    for link in page.links:
        for end in {link.key_line, link.value_line}:
            linking[end].append([link.key_line, link.value_line])
    return [
        {
            "transcription": line.text,
            "label": line.label.lower(),
            "points": [[_plain(x), _plain(y)] for x, y in zip(line.points[0::2], line.points[1::2], strict=True)],
            "id": line.id,
            "linking": linking[line.id],
        }
        for line in page.lines
    ]


def _label_page(row: str, found: LabelReport) -> Page:
    source, tab, payload = row.partition("\t")
    if not tab or not source.strip():
        raise Malformed("expected image name, tab, json list")
    return _page(source.strip(), 0, 0, parse_json(payload), found)


def _xfund_page(document: Any, found: LabelReport) -> Page:
    if not isinstance(document, dict) or not isinstance(document.get("img"), dict):
        raise Malformed("an XFUND document needs 'img' and 'document'")
    image = document["img"]
    if not isinstance(image.get("fname"), str):
        raise Malformed("'img' needs 'fname'")
    width, height = image.get("width", 0), image.get("height", 0)
    if not all(side == 0 or is_side(side) for side in (width, height)):
        raise Malformed(f"'img' has width {width!r} and height {height!r}")
    return _page(image["fname"], width, height, document.get("document"), found)


def _page(source: str, width: int, height: int, items: Any, found: LabelReport) -> Page:
    if not isinstance(items, list):
        raise Malformed(f"expected a json list of text lines, found {type(items).__name__}")
    lines: list[Line] = []
    pairs: list[Any] = []
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise Malformed(f"text line {index} must be an object, it is {type(item).__name__}")
        lines.append(_line(index, item))
        linking = item.get("linking") or []
        if not isinstance(linking, list):
            raise Malformed(f"text line {index}: 'linking' must be a list of pairs, it is {linking!r}")
        pairs.extend(linking)
    by_id = {line.id: line for line in lines}
    if len(by_id) < len(lines):
        ((double, _),) = Counter(line.id for line in lines).most_common(1)
        raise Malformed(f"id {double} is used by several text lines")
    links, dropped = make_links(pairs, by_id)
    found.dropped_links += dropped
    return Page(0, width, height, lines, links, source=source)


def _line(index: int, item: dict[str, Any]) -> Line:
    text = item.get("transcription", item.get("text"))
    if not isinstance(text, str):
        raise Malformed(f"text line {index} needs 'transcription', found {text!r}")
    label = item.get("label")
    if label is None:
        label = item.get("key_cls")
        label = OTHER if label is None or str(label).lower() == "none" else label
    if not isinstance(label, str):
        raise Malformed(f"text line {index}: label {label!r} must be a string")
    identity = item.get("id")
    if identity is None:
        identity = index
    if not is_id(identity):
        raise Malformed(f"text line {index}: id {identity!r} must be a whole number")
    return Line(identity, text, _points(index, item), label=canonical_label(label), label_score=1.0)


def _points(index: int, item: dict[str, Any]) -> tuple[float, ...]:
    what = f"text line {index}"
    points = item.get("points")
    if points is None:
        box = item.get("bbox", item.get("box"))
        if not isinstance(box, list) or len(box) != 4:
            raise Malformed(f"{what} needs 'points' (4 x [x, y]) or 'bbox' (x0, y0, x1, y1), found {box!r}")
        x0, y0, x1, y1 = finite(what, box)
        return x0, y0, x1, y0, x1, y1, x0, y1
    if not isinstance(points, list) or len(points) < 4 or not all(isinstance(p, list) and len(p) == 2 for p in points):
        raise Malformed(f"{what}: 'points' must be at least 4 x [x, y], found {points!r}")
    return quadrilateral(finite(what, [coordinate for point in points for coordinate in point]))


def _plain(value: float) -> int | float:
    return int(value) if float(value).is_integer() else float(value)
