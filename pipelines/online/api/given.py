"""Lines that come with a request in place of OCR: checked value by value, the first wrong one named by its path."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from kie_ray.datasets.gold import quadrilateral
from kie_ray.errors import Category
from kie_ray.records import Line, Page
from pipelines.online.api.options import nearest, shown
from pipelines.online.api.problems import Problem, invalid
from pipelines.online.api.settings import ApiSettings

MAX_TEXT = 4_096
"""Characters of one line."""

MAX_SIDE = 1_000_000
MAX_COORDINATE = 10 * MAX_SIDE
_MAX_CORNERS = 64
_INT32 = 2**31

_DOCUMENT_KEYS = ("name", "pages")
_PAGE_KEYS = ("width", "height", "lines")
_LINE_KEYS = ("text", "points", "id", "ocr_score")


def parse_lines(raw: bytes, settings: ApiSettings) -> tuple[str | None, list[Page]]:
    """Name and pages of a JSON body.

    Raises:
        Problem: 422 with the path of the first wrong value; 413 for too many pages.
    """
    tree = _object("the JSON body", _load("the JSON body", raw), _DOCUMENT_KEYS)
    name = tree.get("name")
    if name is not None:
        _text("name", name)
    items = _list("pages", _needed("", tree, "pages"))
    _check_pages("pages", len(items), settings)
    return name, [_page(index, item, settings) for index, item in enumerate(items)]


def parse_annotations(raw: bytes, settings: ApiSettings) -> list[Page]:
    """Pages of the part `annotations`: PaddleOCR's list of lines for one page, or a list of such lists.

    Labels and links among them are left aside, as the batch job does. Pages have no size: the file tells it.

    Raises:
        Problem: as `parse_lines`.
    """
    tree = _list("annotations", _load("annotations", raw))
    several = bool(tree) and all(isinstance(item, list) for item in tree)
    pages = tree if several else [tree]
    _check_pages("annotations", len(pages), settings)
    return [
        Page(index, 0, 0, _annotated(f"annotations[{index}]" if several else "annotations", lines, settings))
        for index, lines in enumerate(pages)
    ]


def _page(index: int, value: Any, settings: ApiSettings) -> Page:
    path = f"pages[{index}]"
    tree = _object(path, value, _PAGE_KEYS)
    sides = [_whole(f"{path}.{side}", _needed(path, tree, side), 1, MAX_SIDE) for side in ("width", "height")]
    items = _lines(f"{path}.lines", _needed(path, tree, "lines"), settings)
    lines = [_line(f"{path}.lines[{number}]", number, item) for number, item in enumerate(items)]
    _check_ids(f"{path}.lines", lines)
    return Page(index, sides[0], sides[1], lines)


def _line(path: str, number: int, value: Any) -> Line:
    tree = _object(path, value, _LINE_KEYS)
    text = _text(f"{path}.text", _needed(path, tree, "text"))
    points = _list(f"{path}.points", _needed(path, tree, "points"))
    if len(points) != 8:
        raise invalid(f"{path}.points has {len(points)} numbers, it must have 8: x1, y1, ..., x4, y4")
    corners = tuple(_coordinate(f"{path}.points[{place}]", item) for place, item in enumerate(points))
    score = tree.get("ocr_score", 1.0)
    if not _is_number(score) or not 0 <= score <= 1:
        _wrong(f"{path}.ocr_score", score, "a number from 0 to 1")
    return Line(_id(path, number, tree), text, corners, float(score))


def _annotated(path: str, value: Any, settings: ApiSettings) -> list[Line]:
    lines = []
    for number, item in enumerate(_lines(path, value, settings)):
        place = f"{path}[{number}]"
        if not isinstance(item, dict):
            _wrong(place, item, "an object with transcription and points")
        text = _text(f"{place}.transcription", _needed(place, item, "transcription"))
        lines.append(Line(_id(place, number, item), text, _corners(f"{place}.points", _needed(place, item, "points"))))
    _check_ids(path, lines)
    return lines


def _corners(path: str, value: Any) -> tuple[float, ...]:
    corners = _list(path, value)
    if not 4 <= len(corners) <= _MAX_CORNERS:
        raise invalid(f"{path} has {len(corners)} corners, it must have 4 (of up to {_MAX_CORNERS} the hull is taken)")
    flat: list[float] = []
    for number, corner in enumerate(corners):
        if not isinstance(corner, list) or len(corner) != 2:
            _wrong(f"{path}[{number}]", corner, "a pair [x, y]")
        flat += [_coordinate(f"{path}[{number}][{axis}]", item) for axis, item in enumerate(corner)]
    return quadrilateral(tuple(flat))


def _lines(path: str, value: Any, settings: ApiSettings) -> list[Any]:
    items = _list(path, value)
    if len(items) > settings.max_lines:
        raise invalid(f"{path} has {len(items)} lines, a page may have {settings.max_lines}")
    return items


def _check_pages(path: str, count: int, settings: ApiSettings) -> None:
    if count == 0:
        raise invalid(f"{path} is empty: at least one page is needed")
    if count > settings.limits.max_pages:
        detail = f"{path}: {count} pages are over the limit of max_pages = {settings.limits.max_pages}"
        raise Problem(413, Category.TOO_MANY_PAGES, detail)


def _check_ids(path: str, lines: list[Line]) -> None:
    first: dict[int, int] = {}
    for number, line in enumerate(lines):
        if line.id in first:
            raise invalid(f"{path}[{number}].id = {line.id} is the id of {path}[{first[line.id]}] too")
        first[line.id] = number


def _id(path: str, number: int, tree: dict[str, Any]) -> int:
    value = tree.get("id")
    return number if value is None else _whole(f"{path}.id", value, -_INT32, _INT32 - 1)


def _load(what: str, raw: bytes) -> Any:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise invalid(f"{what} is not UTF-8: {error.reason} at byte {error.start}") from error
    try:
        return json.loads(text, parse_constant=_not_json)
    except json.JSONDecodeError as error:
        raise invalid(f"{what} is not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise invalid(f"{what} is nested too deeply") from error
    except ValueError as error:  # a constant, or an int of more digits than Python converts
        raise invalid(f"{what} is not JSON that is understood here: {str(error)[:100]}") from error


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _needed(path: str, tree: dict[str, Any], key: str) -> Any:
    if key not in tree:
        raise invalid(f"{path}.{key} is missing".removeprefix("."))
    return tree[key]


def _object(path: str, value: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        _wrong(path, value, "an object")
    for key in value:
        if key not in keys:
            raise invalid(f"{path}: unknown key {shown(key)}; {nearest(key, keys)}")
    return value


def _list(path: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        _wrong(path, value, "a list")
    return value


def _text(path: str, value: Any) -> str:
    if not isinstance(value, str):
        _wrong(path, value, "a string")
    if len(value) > MAX_TEXT:
        raise invalid(f"{path} has {len(value)} characters, it may have {MAX_TEXT}")
    if not _is_unicode(value):
        raise invalid(f"{path} holds half of a surrogate pair, which is no character")
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole(path: str, value: Any, lowest: int, highest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        _wrong(path, value, f"a whole number from {lowest} to {highest}")
    return value


def _coordinate(path: str, value: Any) -> float:
    if not _is_number(value) or not abs(value) <= MAX_COORDINATE:
        _wrong(path, value, f"a finite number of pixels from -{MAX_COORDINATE} to {MAX_COORDINATE}")
    return float(value)


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong(path: str, value: Any, right: str) -> NoReturn:
    if isinstance(value, dict | list):
        found = f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    else:
        found = json.dumps(value) if not isinstance(value, str) else shown(value)
    raise invalid(f"{path} = {found[:100]}: it must be {right}")
