"""What a finished run shows a person: the closing summary, report.html and the preview."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow.fs as pafs

from kie_ray.drawing.preview import PreviewPage, write_preview
from kie_ray.drawing.run_page import run_html
from kie_ray.durations import duration
from kie_ray.errors import DocumentError
from kie_ray.reading import Reader
from kie_ray.records import Document, PageImage
from kie_ray.schemas import row_to_document
from kie_ray.storage import read_bytes
from pipelines.config import ExtractConfig
from pipelines.finalize import preview_documents
from pipelines.layout import OutputLayout
from pipelines.manifest import read_rows

if TYPE_CHECKING:
    from pipelines.extract import ExtractResult

_PREVIEW_PAGES_PER_DOCUMENT = 10
_EXAMPLES = 50
_EXAMPLES_PER_CATEGORY = 10
_EXAMPLES_FROM_ROWS = 100_000


def summary(result: ExtractResult) -> list[str]:
    """Lines for the end of a run: what was done, what took the time, what failed, where it is, what to do next."""
    report, layout = result.report, result.layout
    lines = []
    if result.already_finished:
        lines.append(f"{layout.uri} already holds this run, complete; nothing was done. --restart would repeat it.")
    elif result.resumed:
        lines.append(f"resumed: {result.resumed} rows were there from an earlier start")
    lines.append(
        f"{report['documents']} documents: {report['succeeded']} succeeded, {report['failed']} failed"
        + (f" ({report['partial']} of them in part)" if report["partial"] else "")
        + f"; {report['pages']} pages in {duration(report['seconds'])}, {report['pages_per_second']:.2f} pages/s"
    )
    lines.extend(_busiest(report, result.actors))
    if "cost_per_million_pages" in report:
        lines.append(f"cost: {report['cost_per_million_pages']:,.2f} a million pages, at the configured prices")
    if report["errors"]:
        kinds = ", ".join(f"{count} {category}" for category, count in report["errors"].items())
        lines.append(f"failed: {kinds}; reasons in {layout.shown(layout.table('errors'))}/*.parquet")
    if result.skipped.count:
        named = ", ".join(item.rsplit("/", 1)[-1] for item in result.skipped.examples[:3])
        more = ", ..." if result.skipped.count > 3 else ""
        lines.append(f"not taken, no document by its extension: {result.skipped.count} files ({named}{more})")
    lines.append(f"tables: {report['fields']} key-value pairs and {report['entities']} lines")
    for name in ("fields", "entities", "errors"):
        lines.append(f"  {layout.shown(layout.table(name))}/*.parquet")
    lines.append(f"report: {layout.shown(layout.report_file)}")
    if result.preview:
        lines.append(f"preview: {result.preview}")
    lines.extend(_next_steps(result))
    return lines


def _busiest(report: Mapping[str, Any], actors: Mapping[str, int]) -> Iterator[str]:
    busy = {name: stage["busy_seconds"] for name, stage in report["stages"].items() if stage["busy_seconds"] > 0}
    if not busy:
        return
    ranked = sorted(busy.items(), key=lambda item: -item[1])
    name, seconds = ranked[0]
    models = "re" if "re" in actors else "ser"
    pool = {"read": "ocr", "ocr": "ocr", "ser": "ser", "re": models, "fields": models}.get(name, "")
    width = f" over {actors[pool]} actors" if pool in actors else ""
    others = ", ".join(f"{other} {duration(spent)}" for other, spent in ranked[1:])
    yield f"busiest stage: {name}, {duration(seconds)} of work{width}" + (f" ({others})" if others else "")


def _next_steps(result: ExtractResult) -> Iterator[str]:
    uri = result.layout.uri
    yield f'next: python -c "import duckdb; print(duckdb.sql(\\"select key, value from \'{uri}/fields/*.parquet\'\\"))"'
    if result.report["failed"]:
        yield f"      python jobs/batch_extract.py {uri}/errors --output NEW_OUTPUT   # tries those again"


def write_report_page(layout: OutputLayout, report: Mapping[str, Any]) -> None:
    """Write report.html from the content of run.json and examples from errors/."""
    links = [("run.json", "run.json")]
    index = f"{layout.preview}/index.html"
    if layout.filesystem.get_file_info(index).type == pafs.FileType.File:
        links.insert(0, ("Pages", "preview/index.html"))
    page = run_html(report, _example_failures(layout, report["errors"]), links=links)
    with layout.filesystem.open_output_stream(layout.report_file) as stream:
        stream.write(page.encode())


def _example_failures(layout: OutputLayout, counts: Mapping[str, int]) -> list[Mapping[str, Any]]:
    """Up to 50 rows of errors/, some of each category, from its beginning."""
    found: list[Mapping[str, Any]] = []
    taken: Counter[str] = Counter()
    wanted = sum(min(count, _EXAMPLES_PER_CATEGORY) for count in counts.values())
    for number, row in enumerate(read_rows(layout, layout.table("errors"))):
        if len(found) >= min(wanted, _EXAMPLES) or number >= _EXAMPLES_FROM_ROWS:
            break
        if taken[row["category"]] < _EXAMPLES_PER_CATEGORY:
            taken[row["category"]] += 1
            found.append(row)
    return found


def write_run_preview(layout: OutputLayout, count: int, config: ExtractConfig, classes: Sequence[str]) -> None:
    """Pages of the first `count` documents with boxes, labels and links, and the first `count` failures, as HTML."""
    rows = list(preview_documents(layout, count))
    failed = [document for document in map(row_to_document, rows) if document.error is not None]
    layout.delete_dir(layout.preview)

    def write(name: str, content: bytes) -> None:
        path = f"{layout.preview}/{name}"
        layout.filesystem.create_dir(path.rsplit("/", 1)[0], recursive=True)
        with layout.filesystem.open_output_stream(path) as stream:
            stream.write(content)

    with Reader(config.limits, config.pdf_dpi) as reader:
        write_preview(write, _pages(rows, reader, config), failed, classes=classes)


def _pages(rows: Sequence[Mapping[str, Any]], reader: Reader, config: ExtractConfig) -> Iterator[PreviewPage]:
    for row in rows:
        document: Document = row_to_document(row)
        pages = {page.index: page for page in document.pages[:_PREVIEW_PAGES_PER_DOCUMENT]}
        if not pages:
            continue
        try:
            data = read_bytes(document.uri, config.limits.max_bytes)
            for item in reader.read(data, document.uri, min(pages), max(pages)):
                if isinstance(item, PageImage) and item.index in pages:
                    yield PreviewPage(document.uri, item, pages[item.index])
        except DocumentError:
            continue  # it was readable during the run; a preview is no reason to fail now
