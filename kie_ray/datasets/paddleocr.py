"""PaddleOCR's label file (`image<TAB>json`, one page a line) and XFUND's json: read, write, add page sizes."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from kie_ray.encoding.labels import canonical_label
from kie_ray.errors import ConfigError
from kie_ray.records import OTHER, Line, Link, Page

logger = logging.getLogger(__name__)

_KEY_SIDE = {"HEADER": 0, "QUESTION": 1, "ANSWER": 2}
_EXIF_ORIENTATION = 0x0112


class LabelFileError(ConfigError):
    """An annotation file is wrong: names file, line number and reason."""


@dataclass(slots=True)
class LabelReport:
    """What reading left out. `dropped_links`: "where: reason" for each link; `bad_lines`: the same for each line of the
    file that was skipped because `strict` was off."""

    dropped_links: list[str] = field(default_factory=list)
    bad_lines: list[str] = field(default_factory=list)


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
    if not file.is_file():
        raise LabelFileError(f"label file {file} does not exist")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelFileError(f"label file {file} is not UTF-8: {error}") from error
    report = LabelReport()
    records = _xfund_records(file, text) if text.lstrip().startswith("{") else _label_records(text)
    pages: list[Page] = []
    first_seen: dict[str, str] = {}
    for where, make in records:
        try:
            source, width, height, items = make()
            page = _page(source, width, height, items, report, f"{file}:{where}")
            if source in first_seen:
                raise _Malformed(f"image {source!r} is annotated already in {first_seen[source]}")
        except _Malformed as error:
            message = f"{file}:{where}: {error}"
            if strict:
                raise LabelFileError(message) from error
            report.bad_lines.append(message)
            continue
        first_seen[source] = where
        pages.append(page)
    return pages, report


def write_labels(pages: Iterable[Page], path: str | Path) -> None:
    """Write a PaddleOCR label file that `read_labels` reads back to the same lines and links.

    Labels are written in lower case (PaddleOCR matches question and answer in lower case only); both ends of a link
    carry it. Sizes, scores and fields have no place in the format. The file appears whole or not at all.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8", newline="\n") as out:
        for page in pages:
            if "\t" in page.source or "\n" in page.source or not page.source:
                raise LabelFileError(
                    f"{target}: image name {page.source!r} must not be empty or hold a tab or line break"
                )
            out.write(f"{page.source}\t{json.dumps(annotation(page), ensure_ascii=False)}\n")
    temporary.replace(target)


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


def with_sizes(pages: Iterable[Page], image_dir: str | Path) -> list[Page]:
    """The same pages with width and height (pixels, EXIF orientation applied) read from the image headers.

    A page that knows its size keeps it. The image is `image_dir/source` or, as PPOCRLabel writes a folder before the
    name, `image_dir/<last part of source>`.

    Raises:
        LabelFileError: an image is missing or is no image; names page and path.
    """
    sized = []
    for page in pages:
        if not (page.width and page.height):
            width, height = _size(page, Path(image_dir))
            page = replace(page, width=width, height=height)
        sized.append(page)
    return sized


def oriented(label_a: str, label_b: str) -> bool:
    """Whether a link a-b runs from a (key) to b (value); an undecided pair keeps its order."""
    a, b = _KEY_SIDE.get(label_a), _KEY_SIDE.get(label_b)
    return a is None or b is None or a <= b


class _Malformed(ValueError):
    pass


def _label_records(text: str) -> Iterator[tuple[str, Any]]:
    for number, row in enumerate(text.split("\n"), 1):
        row = row.rstrip("\r")
        if row.strip():
            yield str(number), lambda row=row: _label_record(row)


def _label_record(row: str) -> tuple[str, int, int, Any]:
    source, tab, payload = row.partition("\t")
    if not tab or not source.strip():
        raise _Malformed("expected image name, tab, json list")
    try:
        return source.strip(), 0, 0, json.loads(payload)
    except (json.JSONDecodeError, RecursionError) as error:
        raise _Malformed(f"not valid json after the tab: {error}") from error


def _xfund_records(file: Path, text: str) -> Iterator[tuple[str, Any]]:
    try:
        tree = json.loads(text)
        documents = tree["documents"]
    except (json.JSONDecodeError, RecursionError) as error:
        raise LabelFileError(f"{file}: not valid json: {error}") from error
    except KeyError as error:
        raise LabelFileError(f"{file}: a json object needs 'documents' (XFUND)") from error
    if not isinstance(documents, list):
        raise LabelFileError(f"{file}: 'documents' must be a list, it is {type(documents).__name__}")
    for number, document in enumerate(documents, 1):
        yield f"document {number}", lambda document=document: _xfund_record(document)


def _xfund_record(document: Any) -> tuple[str, int, int, Any]:
    if not isinstance(document, dict) or not isinstance(document.get("img"), dict):
        raise _Malformed("an XFUND document needs 'img' and 'document'")
    image = document["img"]
    if not isinstance(image.get("fname"), str):
        raise _Malformed("'img' needs 'fname'")
    width, height = image.get("width", 0), image.get("height", 0)
    if not all(isinstance(side, int) and side >= 0 for side in (width, height)):
        raise _Malformed(f"'img' has width {width!r} and height {height!r}")
    return image["fname"], width, height, document.get("document")


def _page(source: str, width: int, height: int, items: Any, report: LabelReport, where: str) -> Page:
    if not isinstance(items, list):
        raise _Malformed(f"expected a json list of text lines, found {type(items).__name__}")
    lines: list[Line] = []
    pairs: list[Any] = []
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise _Malformed(f"text line {index} must be an object, it is {type(item).__name__}")
        lines.append(_line(index, item))
        linking = item.get("linking") or []
        if not isinstance(linking, list):
            raise _Malformed(f"text line {index}: 'linking' must be a list of pairs, it is {linking!r}")
        pairs.extend(linking)
    by_id = {line.id: line for line in lines}
    if len(by_id) < len(lines):
        ids = [line.id for line in lines]
        raise _Malformed(f"id {next(one for one in ids if ids.count(one) > 1)} is used by several text lines")
    links, dropped = make_links(pairs, by_id)
    report.dropped_links.extend(f"{where}: {reason}" for reason in dropped)
    return Page(0, width, height, lines, links, source=source)


def make_links(pairs: Sequence[Any], by_id: dict[int, Line]) -> tuple[list[Link], list[str]]:
    """Unordered id pairs, each perhaps twice, to oriented links, and the reason for each pair that is none."""
    links: dict[frozenset[int], Link] = {}
    dropped: dict[str, None] = {}
    for pair in pairs:
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(_is_id(end) for end in pair)):
            raise _Malformed(f"'linking' must hold pairs of ids, it holds {pair!r}")
        a, b = pair
        if a == b:
            dropped[f"link {a}-{b} joins a line to itself"] = None
        elif a not in by_id or b not in by_id:
            dropped[f"link {a}-{b} names id {a if a not in by_id else b}, which no line has"] = None
        else:
            key, value = (a, b) if oriented(by_id[a].label, by_id[b].label) else (b, a)
            links.setdefault(frozenset((a, b)), Link(key, value))
    return list(links.values()), list(dropped)


def _line(index: int, item: dict[str, Any]) -> Line:
    text = item.get("transcription", item.get("text"))
    if not isinstance(text, str):
        raise _Malformed(f"text line {index} needs 'transcription', found {text!r}")
    label = item.get("label")
    if label is None:
        label = item.get("key_cls")
        label = OTHER if label is None or str(label).lower() == "none" else label
    if not isinstance(label, str):
        raise _Malformed(f"text line {index}: label {label!r} must be a string")
    identity = item.get("id")
    if identity is None:
        identity = index
    if not _is_id(identity):
        raise _Malformed(f"text line {index}: id {identity!r} must be a whole number")
    return Line(identity, text, _points(index, item), label=canonical_label(label), label_score=1.0)


def _points(index: int, item: dict[str, Any]) -> tuple[float, ...]:
    points = item.get("points")
    if points is None:
        box = item.get("bbox", item.get("box"))
        if not isinstance(box, list) or len(box) != 4:
            raise _Malformed(f"text line {index} needs 'points' (4 x [x, y]) or 'bbox' (x0, y0, x1, y1), found {box!r}")
        x0, y0, x1, y1 = _finite(index, box)
        return x0, y0, x1, y0, x1, y1, x0, y1
    if not isinstance(points, list) or len(points) < 4 or not all(isinstance(p, list) and len(p) == 2 for p in points):
        raise _Malformed(f"text line {index}: 'points' must be at least 4 x [x, y], found {points!r}")
    flat = _finite(index, [coordinate for point in points for coordinate in point])
    if len(points) == 4:
        return flat
    left, top, right, bottom = min(flat[0::2]), min(flat[1::2]), max(flat[0::2]), max(flat[1::2])
    return left, top, right, top, right, bottom, left, bottom


def _finite(index: int, values: list[Any]) -> tuple[float, ...]:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _Malformed(f"text line {index}: coordinate {value!r} must be a finite number")
    return tuple(float(value) for value in values)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _plain(value: float) -> int | float:
    return int(value) if float(value).is_integer() else float(value)


def _size(page: Page, image_dir: Path) -> tuple[int, int]:
    candidates = [image_dir / page.source, image_dir / Path(page.source).name]
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        raise LabelFileError(f"image of page {page.source!r} is missing: {candidates[0]} does not exist")
    try:
        with Image.open(file) as image:
            width, height = image.size
            turned = image.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise LabelFileError(f"image of page {page.source!r} cannot be read: {file}: {error}") from error
    return (height, width) if turned else (width, height)
