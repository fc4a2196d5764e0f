from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kie_ray.errors import ConfigError
from kie_ray.storage import StoredFile
from pipelines.config import ExtractConfig
from pipelines.ids import SeenIds, SetDigest, document_id
from pipelines.inputs import Skipped, stored_documents
from pipelines.layout import OutputLayout
from pipelines.manifest import page_ranges, read_rows, write_listing, write_manifest


def names(inputs: list[str | Path], skipped: Skipped | None = None) -> list[str]:
    return [Path(file.uri).name for file in stored_documents([str(item) for item in inputs], skipped or Skipped())]


def test_a_directory_gives_documents_and_names_what_it_leaves_out(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.PDF", "labels.txt", "sub/notes.json", ".hidden.png", "c.tiff", "old.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    skipped = Skipped()
    assert sorted(names([tmp_path], skipped)) == ["a.png", "b.PDF", "c.tiff"]
    assert skipped.count == 3
    assert sorted(Path(item).name for item in skipped.examples) == ["labels.txt", "notes.json", "old.parquet"]


def test_a_file_that_is_named_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "scan.dat").write_bytes(b"x")
    assert names([tmp_path / "scan.dat"]) == ["scan.dat"]


@pytest.mark.parametrize("kind", ["parquet", "csv", "txt", "bare.txt"])
def test_a_manifest_stands_for_its_documents_missing_ones_too(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.png").write_bytes(b"12345")
    uris = [str(tmp_path / "a.png"), str(tmp_path / "gone, far away.png")]
    manifest = tmp_path / f"list.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"n": [1, 2], "uri": uris}), manifest)
    elif kind == "csv":
        manifest.write_text(f'n,uri\n1,{uris[0]}\n2,"{uris[1]}"\n')
    else:
        manifest.write_text(
            "\n".join(["uri"] * (kind == "txt") + ([f'"{u}"' for u in uris] if kind == "txt" else uris))
        )
    files = list(stored_documents([str(manifest)], Skipped()))
    assert [file.uri for file in files] == uris
    assert [file.size for file in files] == [5, -1]


def test_a_damaged_manifest_is_one_line_that_names_it(tmp_path: Path) -> None:
    table = pa.table({"uri": [f"/forms/{number}.png" for number in range(5000)]})
    pq.write_table(table, tmp_path / "list.parquet", compression="none", use_dictionary=False)
    content = bytearray((tmp_path / "list.parquet").read_bytes())
    content[4:2000] = b"\xff" * 1996  # the footer is whole
    (tmp_path / "list.parquet").write_bytes(content)
    (tmp_path / "long.csv").write_text("uri\n" + "x" * 200_000 + "\n")
    for name in ("list.parquet", "long.csv"):
        with pytest.raises(ConfigError, match=name) as told:
            list(stored_documents([str(tmp_path / name)], Skipped()))
        assert "\n" not in str(told.value)


def test_a_manifest_may_end_its_lines_as_old_macs_do(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"n,uri\r1,/forms/a.png\r2,/forms/b.png\r")
    assert [file.uri for file in stored_documents([str(tmp_path / "list.csv")], Skipped())] == [
        "/forms/a.png",
        "/forms/b.png",
    ]


def test_a_folder_of_error_tables_is_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "errors").mkdir()
    pq.write_table(
        pa.table({"uri": [str(tmp_path / "a.png")], "stage": ["ocr"]}), tmp_path / "errors/part-00000.parquet"
    )
    assert names([tmp_path / "errors"]) == ["a.png"]
    assert names([tmp_path / "errors/*.parquet"]) == ["a.png"]


def test_bad_inputs_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        names([tmp_path / "nowhere"])
    with pytest.raises(ConfigError, match="ftp"):
        names(["ftp://host/x"])
    pq.write_table(pa.table({"path": ["x"]}), tmp_path / "m.parquet")
    with pytest.raises(ConfigError, match="no column 'uri'; its columns are path"):
        names([tmp_path / "m.parquet"])
    (tmp_path / "m.csv").write_text("path\nx\n")
    with pytest.raises(ConfigError, match="no column 'uri'"):
        names([tmp_path / "m.csv"])


def test_ids_follow_content_version_and_name() -> None:
    base = StoredFile("/a.png", 5, None, 1.0)
    others = [
        StoredFile("/b.png", 5, None, 1.0),
        StoredFile("/a.png", 6, None, 1.0),
        StoredFile("/a.png", 5, None, 2.0),
        StoredFile("/a.png", 5, "e", 1.0),
    ]
    assert document_id(base) == document_id(StoredFile("/a.png", 5, None, 1.0))
    assert len({document_id(file) for file in [base, *others]}) == 5
    assert document_id(StoredFile("/a", 1, "e", 1.0)) == document_id(StoredFile("/a", 1, "e", 9.0))


def test_the_digest_knows_no_order_but_counts() -> None:
    def of(items: list[str]) -> SetDigest:
        digest = SetDigest()
        for item in items:
            digest.add(item)
        return digest

    assert of(["a", "b", "c"]) == of(["c", "a", "b"])
    assert len({of(items).hex() for items in (["a"], ["a", "a"], ["a", "b"], ["b"], [], ["a", "a", "a"])}) == 6


def test_seen_ids_across_its_buffer_and_with_zero_bytes() -> None:
    seen = SeenIds(buffer=3)
    ids = [f"{number:018x}{tail}" for number in range(10) for tail in ("00", "01")]
    assert all(seen.add(item) for item in ids)
    assert not any(seen.add(item) for item in reversed(ids))


def test_the_listing_takes_each_document_once_up_to_the_limit(tmp_path: Path) -> None:
    layout = OutputLayout(str(tmp_path / "out"))
    files = [StoredFile(f"/{number}.png", 1, None, 0.0) for number in (1, 2, 1, 3, 4)]
    digest = write_listing(files, layout, layout.hidden + "/listing", limit=3)
    assert [row["uri"] for row in read_rows(layout, layout.hidden + "/listing")] == ["/1.png", "/2.png", "/3.png"]
    assert digest.count == 3


def test_long_documents_become_ranges_with_ids_of_their_own(tmp_path: Path) -> None:
    layout = OutputLayout(str(tmp_path / "out"))
    config = ExtractConfig()
    config.splitting.pages_per_row, config.splitting.probe_bytes = 50, 100
    files = [
        StoredFile("/long.pdf", 1000, None, 0.0),
        StoredFile("/small.pdf", 10, None, 0.0),
        StoredFile("/wide.png", 10_000, None, 0.0),
        StoredFile("/endless.pdf", 1000, None, 0.0),
        StoredFile("/broken.tif", 1000, None, 0.0),
    ]
    pages = {"/long.pdf": 120, "/endless.pdf": 20_000, "/broken.tif": None}
    asked = []

    def count(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], int | None]]:
        for row in rows:
            asked.append(row["uri"])
            yield row, pages[row["uri"]]

    write_listing(files, layout, layout.hidden + "/listing", None)
    written = write_manifest(layout, layout.hidden + "/listing", layout.manifest, config, count)
    assert written.mean_bytes == pytest.approx((3 * 1000 + 10 + 10_000 + 2 * 1000) / 7)  # a range counts whole
    rows = list(read_rows(layout, layout.manifest))
    assert sorted(asked) == sorted(pages)
    assert written.digest.count == len(rows) == len({row["row_id"] for row in rows}) == 7
    long = [row for row in rows if row["uri"] == "/long.pdf"]
    assert [(row["first_page"], row["last_page"]) for row in long] == [(0, 49), (50, 99), (100, None)]
    assert len({row["doc_id"] for row in long}) == 1
    assert all(row["last_page"] is None for row in rows if row["uri"] != "/long.pdf")


def test_page_ranges_cover_every_page_once() -> None:
    config = ExtractConfig()
    config.splitting.pages_per_row = 7
    for pages in (8, 14, 15, 2000):
        ranges = list(page_ranges({"row_id": "x", "doc_id": "x"}, pages, config))
        covered = [
            page
            for row in ranges
            for page in range(row["first_page"], (pages - 1 if row["last_page"] is None else row["last_page"]) + 1)
        ]
        assert covered == list(range(pages))
    assert len(list(page_ranges({"row_id": "x", "doc_id": "x"}, 7, config))) == 1
