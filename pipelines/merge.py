"""documents/ in files of a good size to read: once every row is there, small files are merged.

While a run works, a kill costs the rows that wait for their file, so files are small then. Afterwards they are merged
group by group, each in three steps that a crash between or in them cannot harm: a staged file is written beside them
and compared with them, a record in `.kie_ray/` says that it takes their place, then it does. `finish_merging` takes the
last step again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from kie_ray.storage.patience import retried
from pipelines.failures import IncompleteRun
from pipelines.ids import SetDigest
from pipelines.layout import OutputLayout
from pipelines.parallel import in_threads
from pipelines.spread import spread
from pipelines.stored_tables import StoredTable, file_groups, read_group, row_ids, stored_tables
from pipelines.table_writer import TableWriter

SMALL_BYTES = 64 * 2**20
"""A file of at least this size stays as it is."""

_GROUP_BYTES = 192 * 2**20


@dataclass(frozen=True)
class Merged:
    """Names in documents/: `files` hold the rows of `sources`, which they replace."""

    files: list[str]
    sources: list[str]


def merge_small_files(layout: OutputLayout, at_a_time: int = 1) -> None:
    """Merge the files of documents/ below 64 MiB into few of 64 to 256 MiB, or into one where there is less.

    For a run whose rows are all there: nothing may be written to documents/ any more. The storage needs room for the
    groups that are merged at a time, beside their sources.

    Args:
        at_a_time: groups, as tasks of Ray where there are several.

    Raises:
        IncompleteRun: a merged file has other rows than its sources, which are then left as they are.
    """
    finish_merging(layout)
    layout.delete_dir(layout.merging)
    small = [item for item in stored_tables(layout) if item.size < SMALL_BYTES]
    groups = [group for group in file_groups(small, _GROUP_BYTES) if len(group) > 1]
    if not groups:
        return
    # groups end in any order: a number must not come again, for its file would replace another one's rows
    first = 1 + max((int(name.split("-")[1]) for name in merged_names(layout)), default=-1)
    calls = [(layout, group, f"merged-{number:05d}") for number, group in enumerate(groups, first)]
    for merged in spread(merge_group, calls, at_a_time):
        records = [*_records(layout), merged]
        layout.write_json(layout.merged_file, {"merged": [asdict(record) for record in records]})
        _put_in_place(layout, merged)
    layout.delete_dir(layout.merging)


def merge_group(layout: OutputLayout, group: Sequence[StoredTable], prefix: str) -> Merged:
    """Write the rows of the files of `group` into the staging folder, as `<prefix>-000.parquet` and so on.

    Raises:
        IncompleteRun: what was written has other rows than what was read.
    """
    writer = TableWriter(layout, layout.merging, prefix, rows_per_file=2**62)
    given, found = SetDigest(), SetDigest()
    try:
        for rows, done in read_group(layout, group):
            given.update(rows["row_id"].to_pylist())
            writer.add(rows, done)
        writer.close()
    finally:
        writer.abandon()
    files = [item for item in layout.files(layout.merging) if item.base_name.startswith(f"{prefix}-")]
    for ids in row_ids(layout, (item.path for item in files)):
        found.update(ids)
    if found != given:
        raise IncompleteRun(
            f"{layout.shown(layout.merging)}/{prefix}-*.parquet holds {found.count} rows of {given.count} in "
            f"{len(group)} files of {layout.shown(layout.documents)}; run again"
        )
    return Merged([item.base_name for item in files], [item.path.rsplit("/", 1)[-1] for item in group])


def finish_merging(layout: OutputLayout) -> None:
    """Put merged files in the place of their sources where a crash came between; nothing to do otherwise."""
    for record in _records(layout)[-1:]:  # the earlier ones were finished before it was written
        _put_in_place(layout, record)


def merged_names(layout: OutputLayout) -> set[str]:
    """Names of the files of documents/ that took the place of others."""
    return {name for record in _records(layout) for name in record.files}


def _records(layout: OutputLayout) -> list[Merged]:
    found = layout.read_json(layout.merged_file)
    return [] if found is None else [Merged(**record) for record in found["merged"]]


@retried
def _put_in_place(layout: OutputLayout, merged: Merged) -> None:
    staged = {item.base_name for item in layout.files(layout.merging)}
    for name in merged.files:
        if name in staged:
            layout.filesystem.move(f"{layout.merging}/{name}", f"{layout.documents}/{name}")
    there = {item.base_name for item in layout.files(layout.documents)}
    if not there.issuperset(merged.files):
        return  # a merged file is gone: its sources, where any are left, must stay
    list(in_threads(layout.filesystem.delete_file, [f"{layout.documents}/{n}" for n in merged.sources if n in there]))
