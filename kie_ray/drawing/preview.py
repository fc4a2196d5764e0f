"""The HTML preview: an index with thumbnails and one page per picture, readable from a folder without a server.

index.html           all pages, their first fields, failed documents with reasons
pages/0001.html      picture with boxes and links on the left, fields and lines on the right
images/0001.jpg      the page, thumbs/0001.jpg its small copy
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from kie_ray.drawing import markup
from kie_ray.drawing.jpeg import jpeg, shrunk
from kie_ray.drawing.overlay import draw_page
from kie_ray.drawing.palette import Palette
from kie_ray.records import OTHER, Document, Page, PageImage

WriteFile = Callable[[str, bytes], None]
"""Stores one file: relative name with forward slashes, content. May be called again with the same name."""

_PICTURE_WIDTH = 1400
_THUMBNAIL_WIDTH = 540


@dataclass(slots=True)
class PreviewPage:
    """One page of the preview. `name`: what the reader knows the document by, its uri or file name."""

    name: str
    image: PageImage
    page: Page


def directory_writer(directory: str | Path) -> WriteFile:
    """Writes below a local folder, which is made when missing."""
    root = Path(directory)

    def write(name: str, content: bytes) -> None:
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    return write


def write_preview(
    target: str | Path | WriteFile,
    pages: Iterable[PreviewPage],
    failed: Sequence[Document] = (),
    *,
    classes: Sequence[str] = (),
    title: str = "Extracted forms",
) -> int:
    """Write the whole preview; pages are consumed one at a time, so only one picture is in memory.

    Nothing in it comes from another host, and all text of documents is escaped.

    Args:
        target: a local folder, or a function that stores a file.
        pages: pages to show, in order.
        failed: documents that failed, whole or in part; each has an `error`.
        classes: label set of the bundle, so that its labels get well separated colours.

    Returns:
        Number of pages written.

    Raises:
        ValueError: a document of `failed` has no error, or a link of a page names a line that does not exist.
    """
    write = target if callable(target) else directory_writer(target)
    palette = Palette(classes)
    cards: list[str] = []
    names: set[str] = set()
    seen = {label: None for label in classes if label != OTHER}
    fields = 0
    waiting: tuple[PreviewPage, int] | None = None
    for number, item in enumerate(pages, 1):
        _write_pictures(write, item, number, palette)
        light = PreviewPage(item.name, _without_pixels(item.image), item.page)
        if waiting is not None:
            write(_page_name(waiting[1]), _page_html(*waiting, palette, has_next=True))
        waiting = (light, number)
        cards.append(markup.card(item.name, item.page, _page_name(number), f"thumbs/{number:04d}.jpg"))
        names.add(item.name)
        seen.update(dict.fromkeys(line.label for line in item.page.lines if line.label != OTHER))
        fields += len(item.page.fields)
    if waiting is not None:
        write(_page_name(waiting[1]), _page_html(*waiting, palette, has_next=False))

    counts = [("documents shown", len(names), False), ("pages", len(cards), False), ("fields", fields, False)]
    if failed:
        counts.append(("documents with errors", len(failed), True))
    write("index.html", _index_html(title, counts, cards, failed, palette, list(seen)))
    return len(cards)


def _index_html(
    title: str,
    counts: Sequence[tuple[str, int, bool]],
    cards: Sequence[str],
    failed: Sequence[Document],
    palette: Palette,
    labels: Sequence[str],
) -> bytes:
    shown = f'<ul class="cards">{"".join(cards)}</ul>' if cards else '<p class="empty panel">No page to show.</p>'
    errors = (
        f'<section aria-labelledby="errors"><div class="bar"><h2 id="errors">Documents with errors</h2></div>'
        f"{markup.failures_table(failed)}</section>"
        if failed
        else ""
    )
    body = (
        f'<header><h1>{escape(title)}</h1>{markup.facts(counts)}</header>\n<main id="main">'
        f'<section aria-labelledby="shown"><div class="bar"><h2 id="shown">Pages</h2>'
        '<input id="search" type="search" placeholder="Find a key, a value, a document" aria-label="Find pages" hidden>'
        '<span id="count" class="soft small" role="status"></span>'
        f"{markup.legend(labels)}</div>{shown}</section>{errors}</main>"
    )
    return markup.document_html(title, body, palette, labels).encode()


def _page_html(item: PreviewPage, number: int, palette: Palette, *, has_next: bool) -> bytes:
    page = item.page
    labels = list(dict.fromkeys([OTHER, *(line.label for line in page.lines)]))
    colour_of = {label: index for index, label in enumerate(labels)}
    heading = f"{item.name}, page {page.index + 1}"
    facts = ", ".join(
        [
            f"{item.image.width} × {item.image.height} pixels",
            markup.counted(len(page.lines), "line"),
            markup.counted(len(page.links), "link"),
            markup.counted(len(page.fields), "field"),
        ]
    )
    previous = f'<a rel="prev" href="{number - 1:04d}.html">← Previous</a>' if number > 1 else "<span>← Previous</span>"
    following = f'<a rel="next" href="{number + 1:04d}.html">Next →</a>' if has_next else "<span>Next →</span>"
    picture = f'<img src="../images/{number:04d}.jpg" alt="Scan of {escape(heading)}">'
    buttons = "".join(
        f'<button type="button" data-toggle="{name}" aria-pressed="{pressed}">{text}</button>'
        for name, text, pressed in (
            ("boxes", "Labels", "true"),
            ("links", "Links", "true"),
            ("other", "Other lines", "false"),
            ("actual", "Enlarge", "false"),
        )
    )
    body = (
        f'<header><div class="bar"><div class="grow"><h1>{escape(heading)}</h1>'
        f'<span class="soft small">{facts}</span></div>'
        f'<nav aria-label="Pages"><ul class="pager"><li>{previous}</li><li><a href="../index.html">All pages</a></li>'
        f"<li>{following}</li></ul></nav></div></header>\n"
        f'<main id="main" class="view"><figure class="sheet"><div class="tools small" hidden>{buttons}</div>'
        f'<div class="frame" tabindex="0" role="group" aria-label="Page with boxes"><div class="canvas">{picture}'
        f"{markup.overlay_svg(page, item.image.width, item.image.height, colour_of)}</div></div></figure>\n"
        f'<div class="side">{markup.legend(labels)}'
        f'<section class="panel" aria-labelledby="fields"><details open><summary id="fields">Fields</summary>'
        f"{markup.fields_table(page.fields)}</details></section>\n"
        f'<section class="panel" aria-labelledby="lines"><details><summary id="lines">All lines</summary>'
        f"{markup.lines_table(page.lines, colour_of)}</details></section></div></main>"
    )
    return markup.document_html(heading, body, palette, labels).encode()


def _write_pictures(write: WriteFile, item: PreviewPage, number: int, palette: Palette) -> None:
    write(f"images/{number:04d}.jpg", jpeg(shrunk(item.image.pixels, _PICTURE_WIDTH)))
    overlay = draw_page(item.image, item.page, palette=palette, captions=False)
    write(f"thumbs/{number:04d}.jpg", jpeg(shrunk(overlay, _THUMBNAIL_WIDTH)))


def _without_pixels(image: PageImage) -> PageImage:
    """The same size and name with a view that costs no memory."""
    return PageImage(np.broadcast_to(np.uint8(255), image.pixels.shape), image.index, image.source)


def _page_name(number: int) -> str:
    return f"pages/{number:04d}.html"
