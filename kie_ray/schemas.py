"""Arrow schemas of all that the batch job writes, and the conversion between rows and `Document`s.

Page numbers in every table are 0-based indices within the document. Coordinates are pixels of the page, origin top
left.
A change of a column's name, type or meaning raises `SCHEMA_VERSION`, and with it the fingerprint of a run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from kie_ray.encoding.page_image import IMAGE_SHAPE
from kie_ray.errors import Category, ErrorItem, Stage
from kie_ray.records import Box, Document, Field, Line, Link, Page

SCHEMA_VERSION = 1

TIMED_STAGES = ("fetch", "read", "ocr", "ser", "re", "fields")
"""Names in `timings` (busy seconds a document) and in the `stages` of run.json."""

_POINTS = pa.list_(pa.float32(), 8)
_BOX = pa.list_(pa.float32(), 4)
_IDS = pa.list_(pa.int32())

LINE_TYPE = pa.struct(
    [
        ("id", pa.int32()),
        ("text", pa.string()),
        ("points", _POINTS),
        ("ocr_score", pa.float32()),
        ("label", pa.string()),
        ("label_score", pa.float32()),
    ]
)
LINK_TYPE = pa.struct([("key_line", pa.int32()), ("value_line", pa.int32()), ("score", pa.float32())])
PAGE_TYPE = pa.struct(
    [
        ("index", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("lines", pa.list_(LINE_TYPE)),
        ("links", pa.list_(LINK_TYPE)),
    ]
)
FIELD_TYPE = pa.struct(
    [
        ("page", pa.int32()),
        ("key", pa.string()),
        ("value", pa.string()),
        ("score", pa.float32()),
        ("key_lines", _IDS),
        ("value_lines", _IDS),
        ("key_box", _BOX),
        ("value_box", _BOX),
    ]
)
ERROR_TYPE = pa.struct(
    [
        ("stage", pa.string()),
        ("category", pa.string()),
        ("message", pa.string()),
        ("retryable", pa.bool_()),
        ("page", pa.int32()),
    ]
)
TIMINGS_TYPE = pa.struct([(name, pa.float64()) for name in TIMED_STAGES])
PROVENANCE_TYPE = pa.struct(
    [
        ("kie_ray", pa.string()),
        ("schema_version", pa.int32()),
        ("fingerprint", pa.string()),
        ("bundle", pa.string()),
        ("ocr", pa.string()),
    ]
)

MANIFEST_SCHEMA = pa.schema(
    [
        ("row_id", pa.string()),  # unique: document and first page of the range
        ("doc_id", pa.string()),  # the same for all page ranges of one document
        ("uri", pa.string()),
        ("size", pa.int64()),
        ("etag", pa.string()),
        ("media_type", pa.string()),
        ("first_page", pa.int32()),
        ("last_page", pa.int32()),  # inclusive; null: to the end
        ("error", ERROR_TYPE),  # what is known to be wrong before the document is fetched
    ]
)

FETCHED_SCHEMA = MANIFEST_SCHEMA.append(pa.field("fetch_seconds", pa.float64())).append(
    pa.field("data", pa.large_binary())
)
"""Between download and OCR: compressed bytes of the file, null where `error` is set."""

DOCUMENT_SCHEMA = pa.schema(
    [
        ("row_id", pa.string()),
        ("doc_id", pa.string()),
        ("uri", pa.string()),
        ("size", pa.int64()),
        ("etag", pa.string()),
        ("media_type", pa.string()),
        ("first_page", pa.int32()),
        ("last_page", pa.int32()),
        ("status", pa.string()),  # ok, partial (some pages failed), failed
        ("error", ERROR_TYPE),
        ("pages", pa.list_(PAGE_TYPE)),
        ("fields", pa.list_(FIELD_TYPE)),
        ("timings", TIMINGS_TYPE),
        ("provenance", PROVENANCE_TYPE),
    ]
)

PICTURED_SCHEMA = DOCUMENT_SCHEMA.append(pa.field("pixels", pa.list_(pa.binary(math.prod(IMAGE_SHAPE)))))
"""Between OCR and the models of a bundle that looks at page images: `Page.pixels` of each of `pages`, in their order.
No table that is written holds it."""

FIELDS_SCHEMA = pa.schema([("doc_id", pa.string()), ("uri", pa.string()), *FIELD_TYPE])

ENTITIES_SCHEMA = pa.schema(
    [
        ("doc_id", pa.string()),
        ("uri", pa.string()),
        ("page", pa.int32()),
        ("line_id", pa.int32()),
        ("text", pa.string()),
        ("ocr_score", pa.float32()),
        ("label", pa.string()),
        ("label_score", pa.float32()),
        ("points", _POINTS),
    ]
)

ERRORS_SCHEMA = pa.schema(
    [
        ("doc_id", pa.string()),
        ("uri", pa.string()),
        ("stage", pa.string()),
        ("category", pa.string()),
        ("message", pa.string()),
        ("retryable", pa.bool_()),
        ("status", pa.string()),  # failed, or partial: the other pages are in the tables
        ("page", pa.int32()),
    ]
)

_CARRIED = ("row_id", "doc_id", "uri", "size", "etag", "media_type", "first_page", "last_page")


def error_to_row(error: ErrorItem | None) -> dict[str, Any] | None:
    """One value of an `error` column."""
    if error is None:
        return None
    return {
        "stage": str(error.stage),
        "category": str(error.category),
        "message": error.message,
        "retryable": error.retryable,
        "page": error.page,
    }


def error_from_row(row: Mapping[str, Any] | None) -> ErrorItem | None:
    """Inverse of `error_to_row`."""
    if row is None:
        return None
    return ErrorItem(Stage(row["stage"]), Category(row["category"]), row["message"], row["retryable"], row["page"])


def document_to_row(
    document: Document,
    origin: Mapping[str, Any],
    provenance: Mapping[str, Any] | None = None,
    *,
    pixels: bool = False,
) -> dict[str, Any]:
    """One row of DOCUMENT_SCHEMA, or with `pixels` of PICTURED_SCHEMA.

    `origin` is the manifest (or an earlier document) row that the document came from.
    """
    row = {
        **{name: origin.get(name) for name in _CARRIED},
        "status": document.status,
        "error": error_to_row(document.error),
        "pages": [_page_to_row(page) for page in document.pages],
        "fields": [_field_to_row(page.index, item) for page in document.pages for item in page.fields],
        "timings": {name: document.timings.get(name, 0.0) for name in TIMED_STAGES},
        "provenance": dict(provenance) if provenance is not None else origin.get("provenance"),
    }
    if pixels:
        row["pixels"] = [None if page.pixels is None else page.pixels.tobytes() for page in document.pages]
    return row


def row_to_document(row: Mapping[str, Any]) -> Document:
    """Inverse of `document_to_row`; scores and coordinates come back with float32 precision."""
    pages = [_page_from_row(item, row["uri"]) for item in row["pages"] or ()]
    if row.get("pixels"):
        for page, pixels in zip(pages, row["pixels"], strict=True):
            page.pixels = None if pixels is None else np.frombuffer(pixels, np.uint8).reshape(IMAGE_SHAPE)
    by_index = {page.index: page for page in pages}
    for item in row["fields"] or ():
        by_index[item["page"]].fields.append(_field_from_row(item))
    timings = {name: seconds for name, seconds in (row["timings"] or {}).items() if seconds}
    return Document(row["doc_id"], row["uri"], pages, error_from_row(row["error"]), timings)


def _page_to_row(page: Page) -> dict[str, Any]:
    return {
        "index": page.index,
        "width": page.width,
        "height": page.height,
        "lines": [
            {
                "id": line.id,
                "text": line.text,
                "points": line.points,
                "ocr_score": line.ocr_score,
                "label": line.label,
                "label_score": line.label_score,
            }
            for line in page.lines
        ],
        "links": [
            {"key_line": link.key_line, "value_line": link.value_line, "score": link.score} for link in page.links
        ],
    }


def _page_from_row(row: Mapping[str, Any], source: str) -> Page:
    lines = [
        Line(item["id"], item["text"], tuple(item["points"]), item["ocr_score"], item["label"], item["label_score"])
        for item in row["lines"]
    ]
    links = [Link(item["key_line"], item["value_line"], item["score"]) for item in row["links"]]
    return Page(row["index"], row["width"], row["height"], lines, links, source=source)


def _field_to_row(page: int, item: Field) -> dict[str, Any]:
    return {
        "page": page,
        "key": item.key,
        "value": item.value,
        "score": item.score,
        "key_lines": item.key_lines,
        "value_lines": item.value_lines,
        "key_box": item.key_box,
        "value_box": item.value_box,
    }


def _field_from_row(row: Mapping[str, Any]) -> Field:
    return Field(
        row["key"],
        row["value"],
        row["score"],
        list(row["key_lines"]),
        list(row["value_lines"]),
        _box(row["key_box"]),
        _box(row["value_box"]),
    )


def _box(values: Any) -> Box:
    x0, y0, x1, y1 = values
    return float(x0), float(y0), float(x1), float(y1)
