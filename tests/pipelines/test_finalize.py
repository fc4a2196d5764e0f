from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kie_ray.errors import Category, ConfigError, ErrorItem, Stage
from pipelines.derive import write_tables
from pipelines.failures import IncompleteRun
from pipelines.finalize import preview_documents, remove_uncommitted, verify_rows
from pipelines.ids import SetDigest
from pipelines.layout import OutputLayout
from tests.pipelines.document_rows import document_row, write_documents


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
    (tmp_path / "report.html").write_text("<!doctype html>")
    assert layout.foreign() == ["documents/", "fields/", "entities/", "errors/", "report.html"]
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
