"""What every reader of annotations shares: its errors, its report, the loop over the pages of a file, and links."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from kie_ray.errors import ConfigError
from kie_ray.records import Line, Link, Page

_MOST = 2**31 - 1
_KEY_SIDE = {"HEADER": 0, "QUESTION": 1, "ANSWER": 2}


class LabelFileError(ConfigError):
    """An annotation file is wrong: names file, line number (or document, task) and reason."""


class Malformed(ValueError):
    """The annotation of one page is wrong; `collect_pages` adds file and place."""


@dataclass(slots=True)
class LabelReport:
    """What reading left out, each as "file:place: reason".

    `dropped_links`: links that miss an end. `bad_lines`: lines of the file (documents, tasks) that were skipped because
    `strict` was off. `left_out`: what is well formed and yet no gold (a task that nobody annotated, a piece without
    text).
    """

    dropped_links: list[str] = field(default_factory=list)
    bad_lines: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, found: LabelReport, place: str) -> None:
        """Take over what was found at one place, whose reasons do not name it yet."""
        self.dropped_links += [f"{place}: {reason}" for reason in found.dropped_links]
        self.left_out += [f"{place}: {reason}" for reason in found.left_out]


MakePage = Callable[[LabelReport], Page | None]
"""Builds one page and notes what it leaves out, without the place; None where there is no page to have. Raises
`Malformed`."""


def read_document(file: Path) -> Any:
    """What the file holds: the parsed json (XFUND: object, Label Studio: list), or the text of a label file.

    Raises:
        LabelFileError: the file is missing, not UTF-8, or broken json.
    """
    if not file.is_file():
        raise LabelFileError(f"label file {file} does not exist")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelFileError(f"label file {file} is not UTF-8: {error}") from error
    start = text.lstrip()
    if not start.startswith(("{", "[")):
        return text
    try:
        return parse_json(text)
    except Malformed as error:
        if "\t" in start.partition("\n")[0]:
            return text  # an image name may start with a bracket
        raise LabelFileError(f"{file}: {error}") from error


def parse_json(text: str) -> Any:
    """`json.loads` whose every failure is `Malformed`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: an int of more than 4300 digits is no JSONDecodeError
        raise Malformed(f"not valid json: {error}") from error


def collect_pages(
    file: Path, records: Iterable[tuple[str, MakePage]], *, strict: bool
) -> tuple[list[Page], LabelReport]:
    """Build the pages of `(place, make)` records, one an image.

    Raises:
        LabelFileError: with `strict`, the first malformed record: "file:place: reason".
    """
    pages: list[Page] = []
    report = LabelReport()
    first_seen: dict[str, str] = {}
    for place, make in records:
        found = LabelReport()
        try:
            page = make(found)
            if page is not None:
                check_page(page)
                if page.source in first_seen:
                    raise Malformed(f"image {page.source!r} is annotated already in {first_seen[page.source]}")
                first_seen[page.source] = place
                pages.append(page)
        except Malformed as error:
            message = f"{file}:{place}: {error}"
            if strict:
                raise LabelFileError(message) from error
            report.bad_lines.append(message)
        else:
            report.add(found, f"{file}:{place}")
    return pages, report


def check_page(page: Page) -> None:
    """Refuse what no label file can hold: a lone surrogate (json may escape one), a name that breaks the line.

    And what no table has room for: a corner further away than 2^31 - 1 pixels.

    Raises:
        Malformed: names the image or the line.
    """
    if not page.source.strip() or "\t" in page.source or "\n" in page.source:
        raise Malformed(f"image name {page.source!r} must not be empty or hold a tab or line break")
    for what, text in (
        (f"image name {page.source!r}", page.source),
        *((f"text line {line.id}", line.text + line.label) for line in page.lines),
    ):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise Malformed(f"{what} is not valid Unicode: {error}") from error
    for line in page.lines:
        if (far := max(map(abs, line.points), default=0.0)) > _MOST:
            raise Malformed(f"text line {line.id}: coordinate {far!r} is over {_MOST} pixels")


def make_links(pairs: Sequence[Any], by_id: dict[int, Line]) -> tuple[list[Link], list[str]]:
    """Unordered id pairs, each perhaps twice, to oriented links, and the reason for each pair that is none."""
    links: dict[frozenset[int], Link] = {}
    dropped: dict[str, None] = {}
    for pair in pairs:
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(is_id(end) for end in pair)):
            raise Malformed(f"'linking' must hold pairs of ids, it holds {pair!r}")
        a, b = pair
        if a == b:
            dropped[f"link {a}-{b} joins a line to itself"] = None
        elif a not in by_id or b not in by_id:
            dropped[f"link {a}-{b} names id {a if a not in by_id else b}, which no line has"] = None
        else:
            key, value = (a, b) if oriented(by_id[a].label, by_id[b].label) else (b, a)
            links.setdefault(frozenset((a, b)), Link(key, value))
    return list(links.values()), list(dropped)


def oriented(label_a: str, label_b: str) -> bool:
    """Whether a link a-b runs from a (key) to b (value); an undecided pair keeps its order."""
    a, b = _KEY_SIDE.get(label_a), _KEY_SIDE.get(label_b)
    return a is None or b is None or a <= b


def is_id(value: Any) -> bool:
    """Whether a value of json is a whole number that the tables have room for (int32)."""
    return isinstance(value, int) and not isinstance(value, bool) and -_MOST - 1 <= value <= _MOST


def is_side(value: Any) -> TypeGuard[int]:
    """Whether a value of json is a number of pixels that a page may be wide or high."""
    return is_id(value) and value > 0


def finite(what: str, values: Iterable[Any]) -> tuple[float, ...]:
    """Numbers of json as floats.

    Raises:
        Malformed: one is no finite number; names `what` and the value.
    """
    numbers = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Malformed(f"{what}: coordinate {value!r} must be a finite number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise Malformed(f"{what}: coordinate {value!r} must be a finite number")
        numbers.append(number)
    return tuple(numbers)


def quadrilateral(flat: tuple[float, ...]) -> tuple[float, ...]:
    """x1,y1,...,xn,yn to `Line.points`: four corners as they are, of any other polygon the upright hull."""
    if len(flat) == 8:
        return flat
    left, top, right, bottom = min(flat[0::2]), min(flat[1::2]), max(flat[0::2]), max(flat[1::2])
    return left, top, right, top, right, bottom, left, bottom
