from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kie_ray.errors import Category, ConfigError, ErrorItem, Stage
from kie_ray.records import Document, Field, Line, Page
from kie_ray.schemas import DOCUMENT_SCHEMA, ENTITIES_SCHEMA, ERRORS_SCHEMA, FIELDS_SCHEMA, document_to_row
from pipelines.finalize import (
    IncompleteRun,
    preview_documents,
    remove_uncommitted,
    run_report,
    verify_rows,
    write_tables,
)
from pipelines.ids import SetDigest
from pipelines.layout import OutputLayout
from tests.job_support import table


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


def expected(layout: OutputLayout, rows: list[dict[str, Any]]) -> str:
    digest = SetDigest()
    for row in rows:
        digest.add(row["row_id"])
    layout.filesystem.create_dir(layout.manifest, recursive=True)
    pq.write_table(pa.table({"row_id": [row["row_id"] for row in rows]}), f"{layout.manifest}/part-00000.parquet")
    return digest.hex()


def test_missing_and_double_rows_are_numbers_in_an_error(tmp_path: Path) -> None:
    layout = OutputLayout(str(tmp_path))
    rows = [document_row(name, 1) for name in "abcd"]
    digest = expected(layout, rows)
    write_documents(layout, "x_000000-0.parquet", rows[:2])
    write_documents(layout, "x_000001-0.parquet", rows[2:])
    verify_rows(layout, digest)
    write_documents(layout, "x_000001-0.parquet", [rows[0], rows[2]])
    with pytest.raises(IncompleteRun, match=r"4 rows for 4 .* 1 missing \(d-0\), 1 more than once \(a-0\), 0 unknown"):
        verify_rows(layout, digest)


def test_only_files_without_a_committed_checkpoint_are_removed(tmp_path: Path) -> None:
    layout = OutputLayout(str(tmp_path))
    checkpoint = Path(layout.checkpoint("f"))
    checkpoint.mkdir(parents=True)
    for name in ("u_000001_000000.parquet", "u_000002_000000.pending.parquet"):
        pq.write_table(pa.table({"row_id": ["x"]}), checkpoint / name)
    for task in (1, 2, 3, 10):
        for part in (0, 1):
            write_documents(layout, f"u_{task:06d}_000000-{part}.parquet", [document_row("a", 1)])
    assert remove_uncommitted(layout, "f") == 6
    left = sorted(path.name for path in Path(layout.documents).iterdir())
    assert left == ["u_000001_000000-0.parquet", "u_000001_000000-1.parquet"]


def test_tables_and_counts(tmp_path: Path) -> None:
    layout = OutputLayout(str(tmp_path))
    corrupt = ErrorItem.of(Stage.READ, Category.CORRUPT, "cut off", page=1)
    gone = ErrorItem.of(Stage.FETCH, Category.UNAVAILABLE, "no answer")
    rows = [
        document_row("good", 2),
        document_row("part", 1, corrupt),
        document_row("bad", 0, gone),
        document_row("long", 2, None, 0, 1),
        document_row("long", 0, gone, 2, 3),
        document_row("long", 0, corrupt, 4, None),
    ]
    write_documents(layout, "x_0-0.parquet", rows[:4])
    write_documents(layout, "x_1-0.parquet", rows[4:])
    totals = write_tables(layout, rows_per_file=1)
    assert (totals.documents, totals.succeeded, totals.failed, totals.partial, totals.pages) == (4, 1, 3, 2, 5)
    assert totals.errors_by_category == {"corrupt": 1, "unavailable": 2}
    for name, schema in (("fields", FIELDS_SCHEMA), ("entities", ENTITIES_SCHEMA), ("errors", ERRORS_SCHEMA)):
        for file in Path(layout.table(name)).iterdir():
            assert pq.read_schema(file).equals(schema)
    assert table(tmp_path, "fields").num_rows == totals.fields == 5
    assert table(tmp_path, "entities").num_rows == totals.entities == 10
    errors = {row["doc_id"]: row for row in table(tmp_path, "errors").to_pylist()}
    assert len(table(tmp_path, "errors")) == 3
    assert errors["long"]["status"] == "partial"
    assert errors["long"]["message"] == "no answer"  # the first of its ranges
    assert errors["bad"]["retryable"] is True
    report = run_report(totals, 10.0, {"fingerprint": "f"})
    assert report["pages_per_second"] == 0.5
    assert report["stages"]["ocr"] == {"busy_seconds": 12.0, "pages_per_second": 0.417}
    json.dumps(report)


def test_tables_of_an_earlier_try_are_replaced(tmp_path: Path) -> None:
    layout = OutputLayout(str(tmp_path))
    write_documents(layout, "x_0-0.parquet", [document_row("a", 1)])
    for name in ("fields", "staged"):
        folder = Path(layout.table("fields") if name == "fields" else f"{layout.staging}/fields")
        folder.mkdir(parents=True)
        (folder / "part-00007.parquet").write_bytes(b"left by a crash")
    write_tables(layout, 100)
    write_tables(layout, 100)
    assert [path.name for path in (tmp_path / "fields").iterdir()] == ["part-00000.parquet"]
    assert table(tmp_path, "fields").num_rows == 1
    assert table(tmp_path, "errors").num_rows == 0  # an empty table is there and has its columns
    assert not Path(layout.staging).exists()


def test_the_preview_takes_good_documents_and_names_failed_ones(tmp_path: Path) -> None:
    layout = OutputLayout(str(tmp_path))
    gone = ErrorItem.of(Stage.FETCH, Category.NOT_FOUND, "gone")
    rows = [document_row("bad1", 0, gone), *(document_row(name, 1) for name in "abc"), document_row("bad2", 0, gone)]
    write_documents(layout, "x_0-0.parquet", rows)
    assert [row["doc_id"] for row in preview_documents(layout, 2)] == ["a", "b", "bad1", "bad2"]


def test_restart_removes_what_the_job_owns_and_nothing_else(tmp_path: Path) -> None:
    layout = OutputLayout(str(tmp_path))
    write_documents(layout, "x_0-0.parquet", [document_row("a", 1)])
    write_tables(layout, 100)
    layout.write_json(layout.run_file, {"a": 1})
    layout.write_json(layout.state_file, {"a": 1})
    (tmp_path / "mine.txt").write_text("keep")
    (tmp_path / "fields/notes.txt").write_text("keep")
    layout.remove_run()
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["fields/notes.txt", "mine.txt"]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    layout = OutputLayout(str(tmp_path))
    with layout.locked(), pytest.raises(ConfigError, match="another run"), OutputLayout(str(tmp_path)).locked():
        pass
    with layout.locked():
        pass
