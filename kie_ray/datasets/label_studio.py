"""Label Studio's JSON export: a list of tasks, whose results (box, label, text) are joined by region id.

Format: https://labelstud.io/guide/task_format and https://labelstud.io/tags/rectanglelabels. Corners are percent of the
page, `rotation` turns a rectangle clockwise about its top left corner.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from kie_ray.datasets.gold import (
    LabelFileError,
    LabelReport,
    MakePage,
    Malformed,
    collect_pages,
    finite,
    is_side,
    make_links,
    quadrilateral,
    read_document,
)
from kie_ray.encoding.labels import canonical_label
from kie_ray.records import OTHER, Line, Page

_UPLOADS = "/data/upload/"
_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")
_IMAGE_KEYS = ("image", "ocr")
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif")
_TEXT_CONTROL = "transcription"  # its name in Label Studio's OCR template
_DIRECTIONS = (None, "right", "left", "bi")


def read_label_studio(path: str | Path, *, strict: bool = True) -> tuple[list[Page], LabelReport]:
    """Read Label Studio's JSON export (not JSON-MIN, which has neither region ids nor relations) into gold pages.

    A region with a rectangle or polygon is a line, in the order of the file, `id` counts from 0; its label is the one
    of `labels`, `rectanglelabels` or `polygonlabels`, OTHER without one; its text is that of its `textarea` (several
    entries joined by a space; of several text areas the one named `transcription`), empty without one. A `relation` is
    a link in its direction, turned as `read_labels` turns it. Of several annotations of a task the one marked ground
    truth counts, otherwise the one updated last; tasks that nobody annotated are left out. Whatever else an annotation
    holds (choices, ratings) is counted in the report.

    `Page.source` is the last part of the image's path. Label Studio stores an uploaded `form.png` as
    `/data/upload/<project>/<8 hex digits>-form.png`; that prefix is taken off, so that the name is the one that was
    uploaded (but blanks, which Label Studio makes underscores), unless two uploads then had the same name: those keep
    it. Names from storages and URLs stay as they are, percent escapes of a URL are decoded. Width and height are
    `original_width` and `original_height`.

    Args:
        strict: a malformed task is an error; otherwise it is skipped and reported.

    Raises:
        LabelFileError: names file, task and reason.
    """
    file = Path(path)
    tasks = read_document(file)
    if not isinstance(tasks, list):
        raise LabelFileError(f"{file} is no Label Studio export: a json list of tasks is needed")
    return collect_pages(file, task_records(tasks), strict=strict)


def task_records(tasks: list[Any]) -> Iterator[tuple[str, MakePage]]:
    """The tasks of an export, each with its number and id, for `collect_pages`."""
    paths = {path for task in tasks if isinstance(path := _image_path(task), str)}
    uploads = Counter(_image_name(path) for path in paths)
    for number, task in enumerate(tasks, 1):
        identity = task.get("id") if isinstance(task, dict) else None
        place = f"task {number}" + (f" (id {identity!r})" if isinstance(identity, int | str) else "")
        yield place, partial(_page, task, uploads)


@dataclass(slots=True)
class _Region:
    """What the results of one id say together. `points`: pixels, None without a rectangle or polygon."""

    points: tuple[float, ...] | None = None
    labels: dict[str, None] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    types: dict[str, None] = field(default_factory=dict)


def _page(task: Any, uploads: Counter[str], found: LabelReport) -> Page | None:
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict) or "annotations" not in task:
        raise Malformed(
            "a task needs 'data' and 'annotations' (JSON-MIN has neither region ids nor relations: export as JSON)"
        )
    path = _image_path(task)
    if path is None:
        raise Malformed(f"'data' needs one image path, as 'image' or 'ocr'; it has {sorted(task['data'])}")
    name = _image_name(path)
    source = name if uploads[name] == 1 else _last_part(path)
    results = _chosen_results(task["annotations"], found)
    if results is None:
        return None
    regions, width, height = _regions(results)
    lines: list[Line] = []
    index_of: dict[str, int] = {}
    for identity, region in regions.items():
        if region.points is None:
            _note_without_box(identity, region, found)
            continue
        index_of[identity] = len(lines)
        label = canonical_label(_only(identity, "labels", list(region.labels)) or OTHER)
        lines.append(Line(len(lines), _text(identity, region), region.points, label=label, label_score=1.0))
    pairs = _pairs(results, index_of, found)
    links, dropped = make_links(pairs, {line.id: line for line in lines})
    found.dropped_links += dropped
    return Page(0, width, height, lines, links, source=source)


def _chosen_results(annotations: Any, found: LabelReport) -> list[dict[str, Any]] | None:
    if not isinstance(annotations, list) or not all(isinstance(one, dict) for one in annotations):
        raise Malformed("'annotations' must be a list of objects")
    given = [one for one in annotations if not one.get("was_cancelled")]
    if not given:
        found.left_out.append("skipped by the annotator" if annotations else "not annotated")
        return None
    candidates = [one for one in given if one.get("ground_truth")] or given
    chosen = max(enumerate(candidates), key=lambda item: (str(item[1].get("updated_at") or ""), item[0]))[1]
    if len(given) > 1:
        found.left_out.append(f"{len(given) - 1} of {len(given)} annotations; the one used has id {chosen.get('id')}")
    results = chosen.get("result")
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        raise Malformed("an annotation's 'result' must be a list of objects")
    return results


def _regions(results: list[dict[str, Any]]) -> tuple[dict[str, _Region], int, int]:
    """Regions by id in the order of the file, and the size of the page (0, 0 without a box)."""
    regions: dict[str, _Region] = {}
    sizes: dict[tuple[int, int], None] = {}
    for result in results:
        kind = result.get("type")
        if kind == "relation":
            continue
        identity, value = result.get("id"), result.get("value")
        if not isinstance(identity, str) or not isinstance(kind, str) or not isinstance(value, dict):
            raise Malformed(f"a result needs 'id', 'type' and 'value', found {str(result)[:100]}")
        region = regions.setdefault(identity, _Region())
        region.types[kind] = None
        corners = _corners(identity, value)
        if corners is not None:
            size = _page_size(identity, result)
            sizes[size] = None
            (degrees,) = finite(f"region {identity!r} rotation", [value.get("rotation") or 0])
            region.points = _pixels(identity, corners, degrees, size)
        for key in ("labels", "rectanglelabels", "polygonlabels"):
            region.labels |= dict.fromkeys(_strings(identity, key, value.get(key, [])))
        if kind == "textarea":
            control = str(result.get("from_name"))
            region.texts[control] = " ".join(_strings(identity, "text", value.get("text", [])))
    if len(sizes) > 1:
        raise Malformed(f"boxes of pages of several sizes: {', '.join(f'{w} x {h}' for w, h in sizes)}")
    width, height = next(iter(sizes), (0, 0))
    return regions, width, height


def _corners(identity: str, value: dict[str, Any]) -> list[tuple[float, float]] | None:
    """Corners in percent before rotation, clockwise from the top left; None where the result has no box."""
    if {"x", "y", "width", "height"} <= value.keys():
        box = [value[key] for key in ("x", "y", "width", "height")]
        x, y, width, height = finite(f"region {identity!r}", box)
        return [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    points = value.get("points")
    if points is None:
        return None
    if not isinstance(points, list) or len(points) < 3 or not all(isinstance(p, list) and len(p) == 2 for p in points):
        raise Malformed(f"region {identity!r}: 'points' must be at least 3 x [x, y], found {points!r}")
    flat = finite(f"region {identity!r}", [coordinate for point in points for coordinate in point])
    return list(zip(flat[0::2], flat[1::2], strict=True))


def _page_size(identity: str, result: dict[str, Any]) -> tuple[int, int]:
    width, height = result.get("original_width"), result.get("original_height")
    if not (is_side(width) and is_side(height)):
        raise Malformed(
            f"region {identity!r} needs 'original_width' and 'original_height', found {width!r}, {height!r}"
        )
    if result.get("image_rotation"):
        raise Malformed(
            f"region {identity!r} was drawn on an image turned in Label Studio: turn the file and draw again"
        )
    if result.get("item_index"):
        raise Malformed(
            f"region {identity!r} is on image {result['item_index']!r} of its task; a task must be one image"
        )
    return width, height


def _pixels(
    identity: str, corners: list[tuple[float, float]], degrees: float, size: tuple[int, int]
) -> tuple[float, ...]:
    """Percent to pixels, then turned: the angle is one of the page, whose sides differ."""
    pixels = [(x / 100 * size[0], y / 100 * size[1]) for x, y in corners]
    if degrees:
        x0, y0 = pixels[0]
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        pixels = [(x0 + (x - x0) * cos - (y - y0) * sin, y0 + (x - x0) * sin + (y - y0) * cos) for x, y in pixels]
    return quadrilateral(finite(f"region {identity!r}", [coordinate for point in pixels for coordinate in point]))


def _text(identity: str, region: _Region) -> str:
    if _TEXT_CONTROL in region.texts:
        return region.texts[_TEXT_CONTROL]
    control = _only(identity, "text areas", list(region.texts))
    return region.texts[control] if control is not None else ""


def _only(identity: str, what: str, names: list[str]) -> str | None:
    if len(names) > 1:
        raise Malformed(f"region {identity!r} has {len(names)} {what} ({', '.join(map(repr, names))}); a line has one")
    return names[0] if names else None


def _strings(identity: str, key: str, value: Any) -> list[str]:
    strings = [value] if isinstance(value, str) else value
    if not isinstance(strings, list) or not all(isinstance(one, str) for one in strings):
        raise Malformed(f"region {identity!r}: {key!r} must be a list of strings, it is {value!r}")
    return strings


def _note_without_box(identity: str, region: _Region, found: LabelReport) -> None:
    kinds = ", ".join(region.types)
    if region.labels:
        raise Malformed(f"region {identity!r} ({kinds}) has a label and no rectangle or polygon")
    found.left_out.append(f"{kinds} {identity!r} has no rectangle or polygon")


def _pairs(results: list[dict[str, Any]], index_of: dict[str, int], found: LabelReport) -> list[tuple[int, int]]:
    pairs = []
    for result in results:
        if result.get("type") != "relation":
            continue
        ends = [result.get("from_id"), result.get("to_id")]
        direction = result.get("direction")
        if not all(isinstance(end, str) for end in ends) or direction not in _DIRECTIONS:
            raise Malformed(f"a relation needs 'from_id', 'to_id' and a 'direction', found {str(result)[:100]}")
        missing = [end for end in ends if end not in index_of]
        if missing:
            found.dropped_links.append(f"relation {ends[0]!r}-{ends[1]!r} names {missing[0]!r}, which is no text line")
            continue
        a, b = (index_of[str(end)] for end in ends)
        pairs.append((b, a) if direction == "left" else (a, b))
    return pairs


def _image_path(task: Any) -> str | None:
    """The task's image: `data.image` or `data.ocr`, otherwise the only string that ends like an image."""
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        return None
    named = [data[key] for key in _IMAGE_KEYS if isinstance(data.get(key), str)]
    strings = [value for value in data.values() if isinstance(value, str)]
    images = [value for value in strings if _last_part(value).lower().endswith(_IMAGE_SUFFIXES)]
    return named[0] if named else images[0] if len(images) == 1 else None


def _image_name(path: str) -> str:
    name = _last_part(path)
    return _UPLOAD_PREFIX.sub("", name, count=1) if _UPLOADS in path and _UPLOAD_PREFIX.match(name) else name


def _last_part(path: str) -> str:
    """File name of a path, a storage URI, a URL, or of Label Studio's `/data/local-files/?d=folder/name`."""
    _, local, inside = path.partition("/data/local-files/?d=")
    if local:
        path = unquote(inside)
    elif path.startswith(("http://", "https://", "/data/")):
        path = unquote(path.partition("?")[0].partition("#")[0])
    return re.split(r"[/\\]", path)[-1]
