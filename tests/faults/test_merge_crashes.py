"""The process ends while small files of documents/ are merged: at every single change of the file system in turn."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
from fsspec.implementations.local import LocalFileSystem

from pipelines.finalize import remove_uncommitted
from pipelines.layout import OutputLayout
from pipelines.merge import finish_merging, merge_small_files
from tests.pipelines.document_rows import FILES, file_names, finished_run, stored_rows, write_documents


class Crash(BaseException):
    """The process is gone."""


class Crashing(LocalFileSystem):
    """Carries out so many changes and no more."""

    cachable = False

    def __init__(self, changes: int) -> None:
        super().__init__()
        self.changes = changes

    def _change(self) -> None:
        if self.changes == 0:
            raise Crash
        self.changes -= 1

    def mv(self, *args: Any, **kwargs: Any) -> None:
        self._change()
        super().mv(*args, **kwargs)

    def rm_file(self, path: str) -> None:
        self._change()
        super().rm_file(path)

    def rm(self, *args: Any, **kwargs: Any) -> None:
        self._change()
        super().rm(*args, **kwargs)

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        if "w" in mode:
            self._change()
        return super().open(path, mode, **kwargs)


def test_a_crash_at_any_change_costs_no_row(tmp_path: Path) -> None:
    layout = finished_run(tmp_path)
    before = stored_rows(layout)
    crashes = 0
    for changes in itertools.count():
        broken = OutputLayout(str(tmp_path))
        broken.filesystem = pafs.PyFileSystem(pafs.FSSpecHandler(Crashing(changes)))
        try:
            merge_small_files(broken)
            break
        except Crash:
            crashes += 1
        finish_merging(layout)
        remove_uncommitted(layout, "f")
        assert stored_rows(layout) == before, changes
        merge_small_files(layout)
        assert stored_rows(layout) == before, changes
        assert len(file_names(layout)) == 1, changes
        _as_it_was(layout, before)
    assert crashes > FILES  # each of the sources is removed by itself
    assert (stored_rows(layout), file_names(layout)) == (before, ["merged-00000-000.parquet"])


def _as_it_was(layout: OutputLayout, before: list[str]) -> None:
    """The run before its merge, in as many files."""
    for item in layout.files(layout.documents):
        layout.filesystem.delete_file(item.path)
    layout.delete_file(layout.merged_file)
    layout.delete_dir(layout.merging)
    documents = [json.loads(text) for text in before]
    for number in range(FILES):
        write_documents(layout, f"u_{number:06d}_000000-0.parquet", documents[number::FILES])
