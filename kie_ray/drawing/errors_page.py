"""errors.html: the pages on which a model errs most, drawn with gold and prediction.

errors.html        the worst pages, each with its errors as a table
errors/0001.jpg    the scans that it shows
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from kie_ray.drawing import markup
from kie_ray.drawing.errors_svg import errors_svg, link_sample
from kie_ray.drawing.jpeg import jpeg, shrunk
from kie_ray.drawing.palette import Palette
from kie_ray.drawing.preview import WriteFile, directory_writer
from kie_ray.metrics.confusion import PageErrors, page_errors
from kie_ray.metrics.lines import paired, ser_scores
from kie_ray.metrics.score import Score
from kie_ray.records import OTHER, Page, PageImage

ImageOf = Callable[[Page], PageImage | None]
"""Gives the scan of a gold page, None where there is none. Called for the pages that are shown only, one by one."""

WORST = 20
"""Most pages that are shown."""

_PICTURE_WIDTH = 1400  # most pixels


@dataclass(frozen=True, slots=True)
class _Judged:
    gold: Page
    predicted: Page
    errors: PageErrors
    labels: Score
    links: Score | None  # None where links are not asked of the model

    @property
    def name(self) -> str:
        source = self.gold.source or "page"
        return f"{source}, page {self.gold.index + 1}" if self.gold.index or not self.gold.source else source


def write_errors_page(
    target: str | Path | WriteFile,
    gold_pages: Sequence[Page],
    predicted_pages: Sequence[Page],
    *,
    relation_pairs: Sequence[tuple[str, str]],
    image_of: ImageOf = lambda page: None,
    worst: int = WORST,
    classes: Sequence[str] = (),
    title: str = "Errors",
) -> int:
    """Draw the pages with most wrong lines, missed links and wrong links; ties go by name.

    Nothing in it comes from another host, and all text of documents is escaped.

    Args:
        target: a local folder, or a function that stores a file.
        gold_pages, predicted_pages: the same pages in the same order, lines paired by id (see `aligned_to_gold`).
        relation_pairs: the links that are asked of the model; without any, links are not compared.
        image_of: without a scan the lines are drawn as text on white.
        worst: most pages to show.
        classes: label set of the bundle, so that its labels get well separated colours.

    Returns:
        Number of pages shown; a page without an error never is.

    Raises:
        ValueError: the two are not the same pages.
    """
    write = target if callable(target) else directory_writer(target)
    judged = [_judge(*pair, relation_pairs) for pair in paired(gold_pages, predicted_pages)]
    bad = sorted(
        (item for item in judged if item.errors.count),
        key=lambda item: (-item.errors.count, item.gold.source, item.gold.index),
    )
    shown = bad[:worst]
    found = {line.label for item in judged for page in (item.gold, item.predicted) for line in page.lines}
    labels = list(dict.fromkeys([*(name for name in classes if name != OTHER), *sorted(found - {OTHER}), OTHER]))
    palette = Palette(classes)
    sections = []
    for number, item in enumerate(shown, 1):
        image = image_of(item.gold)
        href = None
        if image is not None:
            href = f"errors/{number:04d}.jpg"
            write(href, jpeg(shrunk(image.pixels, _PICTURE_WIDTH)))
        sections.append(_section(item, number, href, palette))
    body = (
        f'<header><h1>{escape(title)}</h1>{markup.facts(_facts(judged, bad))}</header>\n<main id="main">'
        f"{_overview(shown, len(bad), labels, bool(relation_pairs))}{''.join(sections)}</main>"
    )
    write("errors.html", markup.document_html(title, body, palette, labels).encode())
    return len(shown)


def _judge(gold: Page, predicted: Page, relation_pairs: Sequence[tuple[str, str]]) -> _Judged:
    errors = page_errors(gold, predicted, relation_pairs)
    right, wrong, missed = len(errors.right), len(errors.wrong), len(errors.missed)
    links = Score(right, right + wrong, right + missed) if relation_pairs else None
    return _Judged(gold, predicted, errors, ser_scores([gold], [predicted]).overall, links)


def _facts(judged: Sequence[_Judged], bad: Sequence[_Judged]) -> list[tuple[str, int, bool]]:
    counts = {"wrong lines": sum(len(item.errors.labels) for item in bad)}
    if judged and judged[0].links is not None:
        counts["missed links"] = sum(len(item.errors.missed) for item in bad)
        counts["wrong links"] = sum(len(item.errors.wrong) for item in bad)
    rows = [("pages", len(judged), False), ("pages with errors", len(bad), bool(bad))]
    return rows + [(name, count, count > 0) for name, count in counts.items()]


def _overview(shown: Sequence[_Judged], bad: int, labels: Sequence[str], links: bool) -> str:
    if not shown:
        return '<p class="empty panel">No page has an error.</p>'
    heading = f"The {len(shown)} worst of {bad} pages with errors" if len(shown) < bad else "Pages with errors"
    heads = ["Wrong lines", "Label hmean", *(["Missed links", "Wrong links", "Link hmean"] if links else [])]
    columns = "".join(f'<th scope="col" class="num">{head}</th>' for head in heads)
    rows = []
    for number, item in enumerate(shown, 1):
        cells = [str(len(item.errors.labels)), _hmean(item.labels)]
        if item.links is not None:
            cells += [str(len(item.errors.missed)), str(len(item.errors.wrong)), _hmean(item.links)]
        rows.append(
            f'<tr><th scope="row"><a href="#page-{number}">{number}. {escape(item.name)}</a></th>'
            + "".join(f'<td class="num">{cell}</td>' for cell in cells)
            + "</tr>"
        )
    return (
        f'<section aria-labelledby="worst"><div class="bar"><h2 id="worst">{heading}</h2>{_legend(labels, links)}</div>'
        f'<div class="panel scroll"><table><thead><tr><th scope="col">Page</th>{columns}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>\n"
    )


def _legend(labels: Sequence[str], links: bool) -> str:
    items = [f'<span class="swatch c{index}"></span>{escape(label)}' for index, label in enumerate(labels)]
    items.append("outline: gold label, filling: predicted label")
    if links:
        items += [f"{link_sample(kind)} {kind}" for kind in ("link found", "missed link", "wrong link")]
    return f'<ul class="legend small" aria-label="Legend"><li>{"</li><li>".join(items)}</li></ul>'


def _section(item: _Judged, number: int, href: str | None, palette: Palette) -> str:
    errors = item.errors
    facts = [f"{len(errors.labels)} of {markup.counted(len(item.gold.lines), 'line')} wrong"]
    facts.append(f"label hmean {_hmean(item.labels)}")
    if item.links is not None:
        facts.append(f"{markup.counted(len(errors.missed), 'link')} missed, {len(errors.wrong)} wrong")
        facts.append(f"link hmean {_hmean(item.links)}")
    if href is None:
        facts.append("drawn without its scan")
    picture = errors_svg(item.gold, item.predicted, errors, palette, name=f"p{number}", href=href)
    return (
        f'<section aria-labelledby="page-{number}"><div class="bar"><h2 id="page-{number}">'
        f"{number}. {escape(item.name)}</h2>"
        f'<span class="soft small">{" · ".join(facts)}</span></div>'
        f'<div class="view"><figure class="sheet"><div class="frame" tabindex="0" role="group" '
        f'aria-label="Page with its errors">{picture}</div></figure>'
        f'<div class="side"><div class="panel">{_table(item)}</div></div></div></section>\n'
    )


def _table(item: _Judged) -> str:
    errors = item.errors
    text = {line.id: line.text for line in [*item.predicted.lines, *item.gold.lines]}
    rows = [
        f'<td class="pill">label</td><td dir="auto">{escape(error.line.text)}</td><td class="pill">{escape(error.gold)}'
        f'</td><td class="pill">{escape(error.predicted)}</td><td class="num">{error.score:.2f}</td>'
        for error in errors.labels
    ]
    links = [("missed link", link, "") for link in errors.missed]
    links += [("wrong link", link, f"{link.score:.2f}") for link in errors.wrong]
    rows += [
        f'<td class="pill">{link_sample(kind)} {kind}</td><td dir="auto" colspan="3">{escape(text[link.key_line])} → '
        f'{escape(text[link.value_line])}</td><td class="num">{score}</td>'
        for kind, link, score in links
    ]
    body = "".join(f'<tr><th scope="row" class="num">{number}</th>{row}</tr>' for number, row in enumerate(rows, 1))
    return (
        '<div class="scroll"><table class="lines"><thead><tr><th scope="col" class="num">#</th>'
        '<th scope="col">Error</th><th scope="col">Text</th><th scope="col">Gold</th><th scope="col">Predicted</th>'
        f'<th scope="col" class="num">Score</th></tr></thead><tbody>{body}</tbody></table></div>'
    )


def _hmean(score: Score) -> str:
    return f"{score.hmean:.2f}" if score.support or score.predicted else "–"
