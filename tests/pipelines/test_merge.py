"""Small files of documents/ become few large ones; what crashes on the way: tests/faults/test_merge_crashes.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray

from pipelines import merge
from pipelines.failures import IncompleteRun
from pipelines.finalize import remove_uncommitted
from pipelines.layout import OutputLayout
from pipelines.merge import finish_merging, merge_small_files, merged_names
from pipelines.table_writer import TableWriter
from tests.pipelines.document_rows import FILES, document_row, file_names, finished_run, stored_rows, write_documents


@pytest.fixture(scope="module")
def connected() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=2 * 10**8)
    yield
    ray.shutdown()


@pytest.fixture
def layout(tmp_path: Path) -> OutputLayout:
    return finished_run(tmp_path)


def test_small_files_become_one_and_stay_it(layout: OutputLayout) -> None:
    before = stored_rows(layout)
    assert len(before) == 3 * FILES
    merge_small_files(layout)
    assert stored_rows(layout) == before
    assert file_names(layout) == ["merged-00000-000.parquet"]
    assert not Path(layout.merging).exists()
    write_documents(layout, "stray_000001_000000-0.parquet", [document_row("stray", 1)])
    assert remove_uncommitted(layout, "f") == 1
    merge_small_files(layout)
    assert (stored_rows(layout), file_names(layout)) == (before, ["merged-00000-000.parquet"])


def test_large_files_are_left_alone(layout: OutputLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    write_documents(layout, "u_000000_000000-0.parquet", [document_row(f"many{n}", 2) for n in range(300)])
    sizes = {item.base_name: item.size for item in layout.files(layout.documents)}
    large = max(sizes, key=lambda name: sizes[name])
    monkeypatch.setattr(merge, "SMALL_BYTES", sizes[large])
    before = stored_rows(layout)
    merge_small_files(layout)
    assert (stored_rows(layout), file_names(layout)) == (before, ["merged-00000-000.parquet", large])


def test_groups_as_tasks_of_ray(layout: OutputLayout, connected: None, monkeypatch: pytest.MonkeyPatch) -> None:
    total = sum(item.size for item in layout.files(layout.documents))
    monkeypatch.setattr(merge, "_GROUP_BYTES", total // 3 + 1)
    before = stored_rows(layout)
    merge_small_files(layout, at_a_time=2)
    assert (stored_rows(layout), file_names(layout)) == (
        before,
        [f"merged-{number:05d}-000.parquet" for number in range(3)],
    )
    monkeypatch.undo()
    merge_small_files(layout)
    assert (stored_rows(layout), file_names(layout)) == (before, ["merged-00003-000.parquet"])


def test_no_name_comes_twice_where_groups_end_in_another_order(
    layout: OutputLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends when the last of three groups alone is in place, as a file that is large enough to stay."""
    before, total = stored_rows(layout), sum(item.size for item in layout.files(layout.documents))

    def last_one_only(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], _: int) -> Iterator[Any]:
        yield function(*calls[-1])

    def one_by_one(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], _: int) -> Iterator[Any]:
        yield from [function(*arguments) for arguments in calls]

    monkeypatch.setattr(merge, "_GROUP_BYTES", total // 3 + 1)
    monkeypatch.setattr(merge, "spread", last_one_only)
    merge_small_files(layout)
    (large,) = (item for item in layout.files(layout.documents) if item.base_name == "merged-00002-000.parquet")
    monkeypatch.setattr(merge, "SMALL_BYTES", large.size)
    monkeypatch.setattr(merge, "spread", one_by_one)
    merge_small_files(layout)
    assert stored_rows(layout) == before


class Crash(BaseException):
    """The process is gone."""


def test_sources_stay_where_a_merged_file_is_gone(layout: OutputLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stored_rows(layout)
    monkeypatch.setattr(merge, "_put_in_place", lambda *_: (_ for _ in ()).throw(Crash))
    with pytest.raises(Crash):
        merge_small_files(layout)
    monkeypatch.undo()
    (staged,) = Path(layout.merging).iterdir()
    staged.unlink()
    finish_merging(layout)
    assert stored_rows(layout) == before
    assert merged_names(layout) == {staged.name}


def test_a_merge_that_would_lose_a_row_is_refused(layout: OutputLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    before, real = stored_rows(layout), TableWriter.add

    def forgetful(self: TableWriter, table: pa.Table, done: float) -> None:
        real(self, table.slice(1) if done == 1.0 else table, done)

    monkeypatch.setattr(TableWriter, "add", forgetful)
    with pytest.raises(IncompleteRun, match=rf"holds {3 * FILES - 1} rows of {3 * FILES} in {FILES} files"):
        merge_small_files(layout)
    assert stored_rows(layout) == before
    assert merged_names(layout) == set()
