"""Rows of documents/ without a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kie_ray.errors import ErrorItem
from kie_ray.records import Document, Field, Line, Page
from kie_ray.schemas import DOCUMENT_SCHEMA, document_to_row
from pipelines.layout import OutputLayout


def document_row(
    name: str, pages: int, error: ErrorItem | None = None, first: int = 0, last: int | None = None
) -> dict[str, Any]:
    box = (0.0, 0.0, 1.0, 1.0)
    content = [
        Page(
            first + index,
            10,
            10,
            [Line(1, "k", (0.0,) * 8, label="QUESTION"), Line(2, "v", (0.0,) * 8)],
            [],
            [Field("k", "v", 0.5, [1], [2], box, box)],
        )
        for index in range(pages)
    ]
    origin = {"row_id": f"{name}-{first}", "doc_id": name, "uri": f"/{name}", "first_page": first, "last_page": last}
    return document_to_row(Document(name, f"/{name}", content, error, {"ocr": 2.0}), origin)


def write_documents(layout: OutputLayout, name: str, rows: list[dict[str, Any]]) -> None:
    layout.filesystem.create_dir(layout.documents, recursive=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENT_SCHEMA), f"{layout.documents}/{name}")


FILES = 6


def finished_run(folder: Path) -> OutputLayout:
    """A run whose 18 rows are all there, written and committed in six files; its fingerprint is f."""
    layout = OutputLayout(str(folder))
    checkpoint = Path(layout.checkpoint("f"))
    checkpoint.mkdir(parents=True)
    for number in range(FILES):
        rows = [document_row(f"{name}{number}", 2) for name in "abc"]
        write_documents(layout, f"u_{number:06d}_000000-0.parquet", rows)
        ids = pa.table({"row_id": [row["row_id"] for row in rows]})
        pq.write_table(ids, checkpoint / f"u_{number:06d}_000000.parquet")
    return layout


def file_names(layout: OutputLayout) -> list[str]:
    return [item.base_name for item in layout.files(layout.documents)]


def stored_rows(layout: OutputLayout) -> list[str]:
    """Every row of documents/ as text, sorted; the schema of each file is checked."""
    tables = [pq.read_table(item.path) for item in layout.files(layout.documents)]
    assert all(table.schema.equals(DOCUMENT_SCHEMA) for table in tables)
    return sorted(json.dumps(row, sort_keys=True, default=str) for table in tables for row in table.to_pylist())
