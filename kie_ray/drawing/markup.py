"""HTML of the preview: every text that comes from a document is escaped here, and nowhere else is markup made."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files

from kie_ray.drawing.overlay import link_ends
from kie_ray.drawing.palette import LINK_COLOUR, Palette
from kie_ray.records import OTHER, Document, Field, Line, Page


def document_html(
    title: str, body: str, palette: Palette, labels: Sequence[str], styles: Sequence[str] = ("preview.css",)
) -> str:
    """A whole page: styles and script inline, no other host, and a policy that lets nothing else run.

    The policy names the hashes of our style and script, so markup smuggled in by a document could not run even if the
    escaping had a hole. `styles` are files beside this module.
    """
    link_css = "#{:02x}{:02x}{:02x}".format(*LINK_COLOUR)
    colours = "".join(f".c{index} {{ --c: {palette.css(label)}; }}\n" for index, label in enumerate(labels))
    style = f"{''.join(map(_asset, styles))}.c-link {{ --c: {link_css}; }}\n{colours}"
    script = _asset("preview.js")
    policy = (
        "default-src 'none'; img-src 'self' file:; base-uri 'none'; form-action 'none'; "
        f"style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#main">Skip to the content</a>\n'
        f"{body}\n<script>{script}</script>\n</body>\n</html>\n"
    )


def legend(labels: Sequence[str]) -> str:
    items = [f'<li><span class="swatch c{index}"></span>{escape(label)}</li>' for index, label in enumerate(labels)]
    items.append('<li><span class="swatch arrow c-link"></span>key to value</li>')
    return f'<ul class="legend small" aria-label="Legend">{"".join(items)}</ul>'


def facts(rows: Iterable[tuple[str, int | str, bool]]) -> str:
    """Big numbers: (what, how many or a text, is it bad news?)."""
    cells = "".join(
        f"<div{' class=bad' if bad else ''}><dt>{escape(name)}</dt><dd>{escape(shown)}</dd></div>"
        for name, number, bad in rows
        for shown in [number if isinstance(number, str) else f"{number:,}"]
    )
    return f'<dl class="facts">{cells}</dl>'


def card(name: str, page: Page, href: str, thumbnail: str) -> str:
    """One page in the index: thumbnail, name, its first fields."""
    first = "".join(f'<li dir="auto"><b>{escape(item.key)}</b> {escape(item.value)}</li>' for item in page.fields[:3])
    more = f'<li class="soft">and {len(page.fields) - 3} more</li>' if len(page.fields) > 3 else ""
    words = " ".join([name, *(f"{item.key} {item.value}" for item in page.fields)]).lower()
    return (
        f'<li data-text="{escape(words)}"><a class="card" href="{escape(href)}">'
        f'<img src="{escape(thumbnail)}" alt="" loading="lazy"><div class="text">'
        f'<strong>{escape(name)}</strong><span class="soft small">page {page.index + 1} · '
        f"{counted(len(page.fields), 'field')} · {counted(len(page.lines), 'line')}</span>"
        f"<ul>{first}{more}</ul></div></a></li>"
    )


def failures_table(failed: Sequence[Document]) -> str:
    """Why documents, or pages of documents, are missing."""
    rows = []
    for document in failed:
        item = document.error
        if item is None:
            raise ValueError(f"{document.uri} stands among the failed documents, but has no error")
        where = f" (page {item.page + 1})" if item.page is not None else ""
        rows.append(
            f'<tr><th scope="row">{escape(document.uri)}{where}</th><td>{escape(document.status)}</td>'
            f"<td>{escape(item.stage)}</td><td>{escape(item.category)}</td>"
            f'<td class="reason">{escape(item.message)}</td></tr>'
        )
    return (
        '<div class="panel scroll"><table><thead><tr><th scope="col">Document</th><th scope="col">Status</th>'
        '<th scope="col">Stage</th><th scope="col">Category</th><th scope="col">Reason</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def fields_table(fields: Sequence[Field]) -> str:
    if not fields:
        return '<p class="empty">No fields were found on this page.</p>'
    rows = "".join(
        f'<tr id="field-{number}" data-lines="{_ids([*item.key_lines, *item.value_lines])}">'
        f'<th scope="row" dir="auto">{escape(item.key)}</th>'
        f'<td dir="auto">{escape(item.value) or _none("no value")}</td><td class="num">{_score(item.score)}</td></tr>'
        for number, item in enumerate(fields, 1)
    )
    return (
        '<div class="scroll"><table class="fields"><thead><tr><th scope="col">Key</th><th scope="col">Value</th>'
        f'<th scope="col" class="num">Score</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def lines_table(lines: Sequence[Line], colour_of: Mapping[str, int]) -> str:
    rows = "".join(
        f'<tr id="line-{line.id}" data-lines="{line.id}"><th scope="row" class="num">{line.id}</th>'
        f'<td dir="auto">{escape(line.text) if line.text.strip() else _none("blank")}</td>'
        f'<td class="pill"><span class="swatch c{colour_of[line.label]}"></span>{escape(line.label)}</td>'
        f'<td class="num">{_score(line.label_score)}</td><td class="num">{line.ocr_score:.2f}</td></tr>'
        for line in lines
    )
    return (
        '<div class="scroll"><table class="lines"><thead><tr><th scope="col" class="num">Line</th>'
        '<th scope="col">Text</th><th scope="col">Label</th><th scope="col" class="num">Label score</th>'
        f'<th scope="col" class="num">OCR score</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def overlay_svg(page: Page, width: int, height: int, colour_of: Mapping[str, int]) -> str:
    """Polygons and arrows in pixels of the page; the browser scales them with the picture.

    Hidden from assistive technology: the tables say the same in text.
    """
    by_id = {line.id: line for line in page.lines}
    # OTHER first, so that an entity is on top where boxes overlap and takes the pointer.
    ordered = sorted(page.lines, key=lambda line: line.label != OTHER)
    shapes = "".join(
        f'<polygon class="shape{" plain" if line.label == OTHER else ""} c{colour_of[line.label]}" '
        f'data-line="{line.id}" points="{_points(line)}">'
        f"<title>{escape(line.label)} {line.label_score:.2f}\n{escape(line.text)}</title></polygon>"
        for line in ordered
    )
    tip = max(width, height) / 110
    arrows = []
    for link in page.links:
        (x0, y0), (x1, y1) = link_ends(by_id[link.key_line], by_id[link.value_line])
        arrows.append(
            f'<path class="link c-link" data-key="{link.key_line}" data-value="{link.value_line}" '
            f'd="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" marker-end="url(#tip)">'
            f"<title>link {link.score:.2f}</title></path>"
        )
    return (
        f'<svg class="no-other" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true" '
        f'focusable="false"><defs><marker id="tip" class="c-link" markerUnits="userSpaceOnUse" viewBox="0 0 10 10" '
        f'refX="9" refY="5" markerWidth="{tip:.1f}" markerHeight="{tip:.1f}" orient="auto">'
        f'<path class="tip" d="M0 0L10 5L0 10z"/></marker></defs>'
        f"{shapes}{''.join(arrows)}</svg>"
    )


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _points(line: Line) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(line.points[0::2], line.points[1::2], strict=True))


def _ids(line_ids: Iterable[int]) -> str:
    return " ".join(str(line_id) for line_id in line_ids)


def _score(value: float) -> str:
    meter = f'<meter min="0" low="0.5" high="0.75" optimum="1" max="1" value="{value:.3f}" aria-hidden="true"></meter>'
    return f"{meter}{value:.2f}"


def _none(text: str) -> str:
    return f'<span class="none">{text}</span>'


@cache
def _asset(name: str) -> str:
    return files("kie_ray.drawing").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
