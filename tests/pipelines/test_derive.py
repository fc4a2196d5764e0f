"""The flat tables from documents/: contents, counts, groups as real Ray tasks, sizes of files, repair after a crash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from kie_ray.errors import Category, ErrorItem, Stage
from kie_ray.schemas import ENTITIES_SCHEMA, ERRORS_SCHEMA, FIELDS_SCHEMA
from pipelines import derive, stored_tables, table_writer
from pipelines.derive import write_tables
from pipelines.layout import OutputLayout
from pipelines.stored_tables import StoredTable, file_groups
from pipelines.table_writer import TableWriter
from pipelines.totals import Totals, score_histogram
from tests.job_support import table
from tests.pipelines.document_rows import document_row, write_documents

CORRUPT = ErrorItem.of(Stage.READ, Category.CORRUPT, "cut off", page=1)
GONE = ErrorItem.of(Stage.FETCH, Category.UNAVAILABLE, "no answer")


@pytest.fixture(scope="module")
def connected() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=2 * 10**8)
    yield
    ray.shutdown()


def scattered(layout: OutputLayout) -> None:
    """Documents in three files: single ones, one in part, and long ones whose ranges lie in different files."""
    files = [
        [document_row("good", 2), document_row("part", 1, CORRUPT), document_row("torn", 0, CORRUPT, 2, None)],
        [document_row("long", 2, None, 0, 1), document_row("bad", 0, GONE), document_row("torn", 0, GONE, 0, 1)],
        [document_row("long", 0, CORRUPT, 4), document_row("long", 0, GONE, 2, 3), document_row("fine", 1, None, 0, 0)],
        [document_row("fine", 1, None, 1, None)],
    ]  # fmt: skip
    for number, rows in enumerate(files):
        write_documents(layout, f"x_{number}-0.parquet", rows)


def check_scattered(folder: Path, totals: Totals) -> None:
    assert (totals.documents, totals.succeeded, totals.failed, totals.partial, totals.pages) == (6, 2, 4, 2, 7)
    assert totals.errors_by_category == {"corrupt": 1, "unavailable": 3}
    assert table(folder, "fields").num_rows == totals.fields == 7
    assert table(folder, "entities").num_rows == totals.entities == 14
    assert totals.busy["ocr"] == 20.0  # 10 rows of 2 seconds
    assert {name: int(counts.sum()) for name, counts in totals.scores.items()} == {
        "ocr_score": 14,
        "label_score": 7,  # only lines with a label
        "field_score": 7,
    }
    assert totals.scores["field_score"][10] == 7  # all are 0.5, the lower end of that bin
    errors = {row["doc_id"]: row for row in table(folder, "errors").to_pylist()}
    assert table(folder, "errors").num_rows == len(errors) == 4
    assert {name: (row["status"], row["message"]) for name, row in errors.items()} == {
        "part": ("partial", "cut off"),
        "bad": ("failed", "no answer"),
        "long": ("partial", "no answer"),  # the first of its ranges with an error; another one has pages
        "torn": ("failed", "no answer"),
    }
    assert errors["bad"]["retryable"] is True
    assert errors["part"]["page"] == 1


def test_tables_and_counts_of_one_group(tmp_path: Path) -> None:
    layout = OutputLayout(str(tmp_path))
    scattered(layout)
    check_scattered(tmp_path, write_tables(layout, rows_per_file=3))
    for name, schema in (("fields", FIELDS_SCHEMA), ("entities", ENTITIES_SCHEMA), ("errors", ERRORS_SCHEMA)):
        files = list(Path(layout.table(name)).iterdir())
        assert all(pq.read_schema(file).equals(schema) for file in files)
        assert max(pq.read_metadata(file).num_rows for file in files) <= 3


def test_groups_as_tasks_give_the_same(tmp_path: Path, connected: None, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = OutputLayout(str(tmp_path))
    scattered(layout)
    monkeypatch.setattr(stored_tables, "GROUP_FILES", 1)
    monkeypatch.setattr(derive, "spread", counted := _CountedResults(derive.spread))
    check_scattered(tmp_path, write_tables(layout, rows_per_file=100, tasks_at_a_time=2))
    assert counted.groups == 4
    names = sorted(path.name for path in (tmp_path / "fields").iterdir())
    assert names == [f"part-{number:05d}-000.parquet" for number in range(4)]
    assert [path.name for path in (tmp_path / "errors").iterdir()] == ["part-00004-000.parquet"]  # not four tiny ones
    assert not Path(layout.staging).exists()


class _CountedResults:
    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.groups = 0

    def __call__(self, *arguments: Any) -> Iterator[Any]:
        for result in self._inner(*arguments):
            self.groups += 1
            yield result


def test_a_broken_file_ends_the_tasks_and_touches_no_table(
    tmp_path: Path, connected: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = OutputLayout(str(tmp_path))
    scattered(layout)
    before = write_tables(layout, rows_per_file=100)
    stamps = {path: path.read_bytes() for path in tmp_path.glob("*/part-*.parquet")}
    kept = (tmp_path / "documents/x_2-0.parquet").read_bytes()
    (tmp_path / "documents/x_2-0.parquet").write_bytes(b"no Parquet")
    monkeypatch.setattr(stored_tables, "GROUP_FILES", 1)
    with pytest.raises(Exception, match="Parquet"):
        write_tables(layout, rows_per_file=100)
    assert {path: path.read_bytes() for path in tmp_path.glob("*/part-*.parquet")} == stamps
    (tmp_path / "documents/x_2-0.parquet").write_bytes(kept)
    after = write_tables(layout, rows_per_file=100)
    assert (after.documents, after.failed, after.fields) == (before.documents, before.failed, before.fields)
    check_scattered(tmp_path, after)


def test_tables_of_an_earlier_try_are_replaced(tmp_path: Path) -> None:
    layout = OutputLayout(str(tmp_path))
    write_documents(layout, "x_0-0.parquet", [document_row("a", 1)])
    for folder in (Path(layout.table("fields")), Path(layout.staging) / "fields"):
        folder.mkdir(parents=True)
        (folder / "part-00007-000.parquet").write_bytes(b"left by a crash")
    for _ in range(2):
        write_tables(layout, 100)
    assert [path.name for path in (tmp_path / "fields").iterdir()] == ["part-00000-000.parquet"]
    assert table(tmp_path, "fields").num_rows == 1
    assert table(tmp_path, "errors").num_rows == 0  # an empty table is there and has its columns
    assert table(tmp_path, "errors").schema.equals(ERRORS_SCHEMA)
    assert not Path(layout.staging).exists()


def test_groups_are_equal_and_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(5)
    files = [StoredTable(str(number), int(size)) for number, size in enumerate(draw.integers(1, 20, 400))]
    groups = file_groups(files, 100)
    assert [file for group in groups for file in group] == files
    sizes = [sum(file.size for file in group) for group in groups]
    assert 80 <= min(sizes) <= max(sizes) <= 120
    assert file_groups([], 100) == [[]]
    monkeypatch.setattr(stored_tables, "GROUP_FILES", 7)
    assert max(map(len, file_groups(files, 100))) == 7


@pytest.mark.parametrize("rows", [500, 20_000, 47_000, 60_000])
@pytest.mark.parametrize("wrong_by", [0.7, 1.0, 1.3])
def test_files_have_a_good_size_and_the_last_one_is_not_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, wrong_by: float
) -> None:
    """8 bytes of noise a row, in steps of 250 rows; `wrong_by`: first shares of the input by those of the output."""
    monkeypatch.setattr(table_writer, "TARGET_BYTES", 128_000)
    monkeypatch.setattr(table_writer, "MOST_BYTES", 240_000)
    monkeypatch.setattr(table_writer, "_ROW_GROUP_BYTES", 4_000)
    values = np.random.default_rng(1).integers(0, 2**62, rows)
    writer = TableWriter(OutputLayout(str(tmp_path)), str(tmp_path / "t"), "part-00000", 10**9)
    for start in range(0, rows, 250):
        chunk = pa.table({"x": values[start : start + 250]})
        share = min(1.0, (start + 250) / rows)
        writer.add(chunk, share * (1 + (wrong_by - 1) * (1 - share)))
    writer.close()
    files = sorted((tmp_path / "t").iterdir())
    sizes = [file.stat().st_size for file in files]
    assert np.array_equal(pq.ParquetDataset(files).read()["x"].to_numpy(), values)
    assert max(sizes) < 256_000
    if sum(sizes) < 64_000:
        assert len(files) == 1
    else:
        assert min(sizes) > 55_000, sizes


def test_a_writer_without_rows_leaves_no_file(tmp_path: Path) -> None:
    writer = TableWriter(OutputLayout(str(tmp_path)), str(tmp_path / "t"), "part", 10)
    writer.add(pa.table({"x": pa.array([], pa.int64())}), 1.0)
    writer.close()
    assert list((tmp_path / "t").iterdir()) == []


def test_score_histograms() -> None:
    scores = pa.chunked_array([[0.0, 0.049, 0.05, 0.999, 1.0], [None, float("nan"), 0.5]], pa.float32())
    counts = score_histogram(scores)
    assert counts.tolist() == [2, 1, *[0] * 7, 0, 1, *[0] * 8, 2]
    assert score_histogram(pa.chunked_array([], pa.float32())).sum() == 0
