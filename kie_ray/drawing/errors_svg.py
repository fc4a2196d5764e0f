"""One page with its errors as SVG: gold and prediction in one picture.

A line's outline is its gold label and its filling the predicted one, so a right line is of one colour. Errors carry the
number of their row in the table beside the picture. Styles are attributes: the page's policy refuses inline styles.
"""

from __future__ import annotations

import unicodedata
from html import escape

from kie_ray.drawing.overlay import link_ends
from kie_ray.drawing.palette import LINK_COLOUR, Palette
from kie_ray.metrics.confusion import LabelError, PageErrors
from kie_ray.records import OTHER, Line, Link, Page

_FOUND = "#{:02x}{:02x}{:02x}".format(*LINK_COLOUR)
_WRONG = "#b3001b"
_TAG = "#17191c"
# Widths are pixels of the screen, whatever the scan measures.
_LINK_STYLES = {
    "link found": f'fill="none" stroke="{_FOUND}" stroke-width="1.4" vector-effect="non-scaling-stroke"',
    "missed link": f'fill="none" stroke="{_FOUND}" stroke-width="2.8" stroke-dasharray="7 5" '
    'vector-effect="non-scaling-stroke"',
    "wrong link": f'fill="none" stroke="{_WRONG}" stroke-width="2.8" vector-effect="non-scaling-stroke"',
}
_HEADS = {"link found": _FOUND, "missed link": _FOUND, "wrong link": _WRONG}


def errors_svg(
    gold: Page, predicted: Page, errors: PageErrors, palette: Palette, *, name: str, href: str | None
) -> str:
    """The picture of one page. Its coordinates are pixels of the page; the browser scales it to the width that it has.

    Errors are numbered from 1: wrong lines, missed links, wrong links, in the order of `errors`.

    Args:
        name: prefix of the ids in it, unique in the document.
        href: the scan; without one the lines are drawn as text on white.
    """
    width, height = max(1, gold.width), max(1, gold.height)
    size = max(width, height / 2) / 85  # height of the letters of a tag
    by_id = {line.id: line for line in [*predicted.lines, *gold.lines]}
    wrong_lines = {error.line.id for error in errors.labels}
    shapes = [_background(width, height, href)]
    if href is None:
        shapes += [_text_of(line) for line in by_id.values()]
    shapes += [_right_box(line, palette) for line in gold.lines if line.id not in wrong_lines and line.label != OTHER]
    shapes += [_wrong_box(error, palette) for error in errors.labels]
    links = [("link found", link) for link in errors.right]
    links += [("missed link", link) for link in errors.missed] + [("wrong link", link) for link in errors.wrong]
    shapes += [_arrow(link, by_id, kind, name) for kind, link in links]
    first = len(errors.labels) + 1
    for number, (_, link) in enumerate(links[len(errors.right) :], first):
        (x0, y0), (x1, y1) = link_ends(by_id[link.key_line], by_id[link.value_line])
        # Nearer to the value than to the key, from which many links may start.
        x, y = x0 + 0.7 * (x1 - x0), y0 + 0.7 * (y1 - y0)
        shapes.append(_tag(str(number), x, y + 0.6 * size, 0.8 * size, width, centred=True))
    for number, error in enumerate(errors.labels, 1):
        x, y = error.line.box[:2]
        shapes.append(_tag(f"{number} {error.gold} → {error.predicted}", x, y, size, width))
    heads = "".join(_arrow_head(f"{name}-{kind.replace(' ', '-')}", colour, size) for kind, colour in _HEADS.items())
    return (
        f'<svg viewBox="0 0 {width} {height}" width="100%" display="block" role="img" '
        f'aria-label="Page with gold and predicted labels" '
        f'font-family="system-ui, sans-serif"><defs>{heads}</defs>{"".join(shapes)}</svg>'
    )


def link_sample(kind: str) -> str:
    """A short line in the style of `kind` (link found, missed link, wrong link), for a legend or a table."""
    return f'<svg width="34" height="8" aria-hidden="true"><path d="M0 4H34" {_LINK_STYLES[kind]}/></svg>'


def _background(width: int, height: int, href: str | None) -> str:
    if href is None:
        return f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    return f'<image href="{escape(href)}" width="{width}" height="{height}" preserveAspectRatio="none"/>'


def _text_of(line: Line) -> str:
    x0, y0, x1, y1 = line.box
    size = (y1 - y0) * 0.72
    if not line.text.strip() or size <= 0 or x1 <= x0:
        return ""
    ems = sum(1.0 if unicodedata.east_asian_width(character) in "WF" else 0.6 for character in line.text)
    fit = f' textLength="{x1 - x0:.1f}" lengthAdjust="spacingAndGlyphs"' if ems * size > x1 - x0 else ""
    return (
        f'<text x="{x0:.1f}" y="{y1 - (y1 - y0) * 0.24:.1f}" font-size="{size:.1f}" fill="#4a4f57"{fit}>'
        f"{escape(line.text)}</text>"
    )


def _right_box(line: Line, palette: Palette) -> str:
    colour = palette.css(line.label)
    return (
        f'<polygon points="{_points(line)}" fill="{colour}" fill-opacity="0.1" stroke="{colour}" stroke-width="1" '
        f'stroke-opacity="0.6" vector-effect="non-scaling-stroke">'
        f"<title>{escape(line.label)}\n{escape(line.text)}</title></polygon>"
    )


def _wrong_box(error: LabelError, palette: Palette) -> str:
    filling = 0.0 if error.predicted == OTHER else 0.3
    return (
        f'<polygon points="{_points(error.line)}" fill="{palette.css(error.predicted)}" fill-opacity="{filling}" '
        f'stroke="{palette.css(error.gold)}" stroke-width="3" vector-effect="non-scaling-stroke">'
        f"<title>gold {escape(error.gold)}, predicted {escape(error.predicted)} ({error.score:.2f})\n"
        f"{escape(error.line.text)}</title></polygon>"
    )


def _arrow(link: Link, by_id: dict[int, Line], kind: str, name: str) -> str:
    key, value = by_id[link.key_line], by_id[link.value_line]
    (x0, y0), (x1, y1) = link_ends(key, value)
    return (
        f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" {_LINK_STYLES[kind]} '
        f'marker-end="url(#{name}-{kind.replace(" ", "-")})">'
        f"<title>{kind}: {escape(key.text)} → {escape(value.text)}</title></path>"
    )


def _arrow_head(identity: str, colour: str, size: float) -> str:
    return (
        f'<marker id="{identity}" markerUnits="userSpaceOnUse" viewBox="0 0 10 10" refX="9" refY="5" '
        f'markerWidth="{size:.1f}" markerHeight="{size:.1f}" orient="auto"><path d="M0 0L10 5L0 10z" fill="{colour}"/>'
        "</marker>"
    )


def _tag(text: str, x: float, bottom: float, size: float, page_width: int, *, centred: bool = False) -> str:
    """White letters on a dark ground whose lower left corner (or lower middle) is at (x, bottom), within the page."""
    ems = sum(1.0 if unicodedata.east_asian_width(character) in "WF" else 0.66 for character in text)
    width, height = (ems + 0.7) * size, 1.45 * size
    left = min(max(0.0, x - width / 2 if centred else x), max(0.0, page_width - width))
    top = max(0.0, bottom - height)
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{0.3 * size:.1f}" '
        f'fill="{_TAG}" fill-opacity="0.82"/><text x="{left + width / 2:.1f}" y="{top + 1.08 * size:.1f}" '
        f'font-size="{size:.1f}" fill="#ffffff" text-anchor="middle">{escape(text)}</text>'
    )


def _points(line: Line) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(line.points[0::2], line.points[1::2], strict=True))
