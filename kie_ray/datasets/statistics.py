"""What an annotation file holds, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from kie_ray.datasets.gold import LabelFileError, LabelReport
from kie_ray.datasets.images import find_image, image_size
from kie_ray.encoding.labels import LabelSet
from kie_ray.errors import ConfigError
from kie_ray.records import OTHER, Page

SHOWN = 20
"""How many items of a list are printed; the json holds all."""

_MARGIN = 1.0  # pixels: boxes are rounded outwards, and percent of a page give no whole pixels


@dataclass(frozen=True, slots=True)
class Spread:
    """Smallest, median and largest count a page."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, counts: Sequence[int]) -> Spread:
        """Zeros for no counts."""
        return cls(min(counts), median(counts), max(counts)) if counts else cls(0, 0, 0)


@dataclass(slots=True)
class Statistics:
    """Counts of one annotation file, and its problems.

    `lines` by label and `links` by "KEY -> VALUE", most frequent first. `characters_per_page`: of the transcriptions.
    `blank_lines`: lines without text, whatever their label. `pages_without_links`, `pages_without_size`: image names.
    `unused_classes`: classes that no line has. `left_out`: what the reader left out though it is well formed.
    `problems`: by kind, each with the place; no key without an item.
    """

    pages: int
    lines: dict[str, int]
    links: dict[str, int]
    lines_per_page: Spread
    characters_per_page: Spread
    blank_lines: int
    pages_without_links: list[str]
    pages_without_size: list[str]
    unused_classes: list[str]
    left_out: list[str]
    problems: dict[str, list[str]] = field(default_factory=dict)


def gather(
    pages: Sequence[Page],
    report: LabelReport,
    *,
    images: str | Path | None = None,
    classes: LabelSet | None = None,
) -> Statistics:
    """Count the pages that `read_annotations(path, strict=False)` gave, and look for problems.

    Args:
        images: folder of the page images; without it boxes are checked where the annotations know the page's size.
        classes: what labels may be; without it every label may.
    """
    lines = Counter(line.label for page in pages for line in page.lines)
    sizes = {page.source: (page.width, page.height) for page in pages if page.width and page.height}
    image_problems = _check_images(pages, Path(images), sizes) if images is not None else {}
    problems = {
        "bad lines": report.bad_lines,
        "pages": [] if pages else ["there is no page"],
        "dropped links": report.dropped_links,
        "labelled or linked lines without text": list(_blank_gold(pages)),
        "boxes outside the page": list(_boxes_outside(pages, sizes)),
        **image_problems,
        "labels outside the classes": list(_unknown_labels(lines, classes)) if classes else [],
    }
    return Statistics(
        pages=len(pages),
        lines=dict(lines.most_common()),
        links=dict(Counter(_link_names(pages)).most_common()),
        lines_per_page=Spread.of([len(page.lines) for page in pages]),
        characters_per_page=Spread.of([sum(len(line.text) for line in page.lines) for page in pages]),
        blank_lines=sum(not line.text.strip() for page in pages for line in page.lines),
        pages_without_links=[page.source for page in pages if not page.links],
        pages_without_size=[page.source for page in pages if page.source not in sizes],
        unused_classes=[name for name in classes.entities if name not in lines] if classes else [],
        left_out=report.left_out,
        problems={kind: items for kind, items in problems.items() if items},
    )


def describe(found: Statistics) -> str:
    """A text for the terminal: counts, then the problems, of each kind the first `SHOWN`."""
    rows: list[str] = [f"pages {found.pages}, lines {sum(found.lines.values())}, links {sum(found.links.values())}"]
    rows += _table("lines by label", found.lines)
    rows += _table("links by label pair", found.links)
    rows.append(f"{'per page':20} {'min':>8} {'median':>8} {'max':>8}")
    for what, spread in (("lines", found.lines_per_page), ("characters", found.characters_per_page)):
        rows.append(f"  {what:18} {spread.min:8g} {spread.median:8g} {spread.max:8g}")
    rows.append(f"blank lines {found.blank_lines}, pages without links {len(found.pages_without_links)}")
    if found.pages_without_size:
        rows.append(f"boxes of {len(found.pages_without_size)} pages not checked: no page size, give the images")
    if found.unused_classes:
        rows.append(f"classes without a line: {', '.join(found.unused_classes)}")
    rows += listing("left out", found.left_out)
    for kind, items in found.problems.items():
        rows += listing(f"PROBLEM {kind}", items)
    total = sum(map(len, found.problems.values()))
    rows.append(f"{total} problem{'s' * (total != 1)}" if total else "no problems")
    return "\n".join(rows)


def listing(what: str, items: Sequence[str]) -> list[str]:
    """A heading with the count and the first `SHOWN` items; nothing for no items."""
    if not items:
        return []
    rest = [f"  ... and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
    return [f"{what}: {len(items)}", *(f"  {item}" for item in items[:SHOWN]), *rest]


def _table(title: str, counts: dict[str, int]) -> list[str]:
    width = max((len(name) for name in counts), default=0)
    return [title, *(f"  {name:{width}} {count:8d}" for name, count in counts.items())] if counts else []


def _link_names(pages: Iterable[Page]) -> Iterator[str]:
    for page in pages:
        label_of = {line.id: line.label for line in page.lines}
        for link in page.links:
            yield f"{label_of[link.key_line]} -> {label_of[link.value_line]}"


def _blank_gold(pages: Iterable[Page]) -> Iterator[str]:
    """Nothing can be learnt from a line without text: a label or link on it is lost work."""
    for page in pages:
        linked = {end for link in page.links for end in (link.key_line, link.value_line)}
        for line in page.lines:
            if not line.text.strip() and (line.label != OTHER or line.id in linked):
                yield f"{page.source}: line {line.id} ({line.label}) has no text"


def _check_images(pages: Iterable[Page], folder: Path, sizes: dict[str, tuple[int, int]]) -> dict[str, list[str]]:
    """Problems with the images by kind; `sizes` gains those of pages that knew none."""
    missing, unreadable, other = [], [], []
    for page in pages:
        file = find_image(page.source, folder)
        if file is None:
            missing.append(f"{page.source}: {folder / page.source} does not exist")
            continue
        try:
            size = image_size(file)
        except LabelFileError as error:
            unreadable.append(f"{page.source} {error}")
            continue
        annotated = sizes.setdefault(page.source, size)
        if annotated != size:
            other.append(f"{page.source}: annotated as {_by(annotated)}, {file} is {_by(size)}")
    return {"images missing": missing, "images of unreadable size": unreadable, "images of another size": other}


def _boxes_outside(pages: Iterable[Page], sizes: dict[str, tuple[int, int]]) -> Iterator[str]:
    for page in pages:
        size = sizes.get(page.source)
        if size is None:
            continue
        for line in page.lines:
            x0, y0, x1, y1 = line.box
            if min(x0, y0) < -_MARGIN or x1 > size[0] + _MARGIN or y1 > size[1] + _MARGIN:
                yield f"{page.source}: line {line.id} at ({x0:g}, {y0:g}, {x1:g}, {y1:g}) on a page of {_by(size)}"


def _unknown_labels(lines: Counter[str], classes: LabelSet) -> Iterator[str]:
    for label, count in lines.items():
        try:
            classes.class_id(label)
        except ConfigError as error:
            yield f"{error} ({count} lines)"


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
