"""Names of files that nobody would choose: each is one document like any other."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from kie_ray.errors import Category, ConfigError, DocumentError
from kie_ray.schemas import MANIFEST_SCHEMA
from kie_ray.storage import list_files, read_bytes
from pipelines.layout import OutputLayout
from pipelines.manifest import read_rows, write_listing

NAMES = [b"bad\xff.png", b"latin-\xe9.png", b"new\nline.png", b"tab\t.png", b"quote'\".png", b"%ff.png", b"$(id).png"]
NAMES += ["表单.png".encode(), b"x" * 251 + b".png", b"back\\slash.png", b"a#1.png", b"bell\x07.png", b"-rf.png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in NAMES:
        (folder / os.fsdecode(name)).write_bytes(name)
    return folder


def test_every_file_is_listed_once_and_read_by_its_uri(folder: Path) -> None:
    found = {read_bytes(file.uri, 1000): file.uri for file in list_files([str(folder)])}
    assert sorted(found) == sorted(NAMES)
    assert found[b"bad\xff.png"] == f"file://{folder}/bad%FF.png"
    assert found[b"%ff.png"] == f"{folder}/%ff.png"
    (again,) = list_files([found[b"bad\xff.png"]])
    assert again.uri == found[b"bad\xff.png"]


def test_every_file_has_a_place_in_the_manifest(folder: Path, tmp_path: Path) -> None:
    layout = OutputLayout(str(tmp_path / "out"))
    digest = write_listing(list_files([str(folder)]), layout, f"{layout.hidden}/listing", None)
    assert digest.count == len(NAMES)
    rows = list(read_rows(layout, f"{layout.hidden}/listing"))
    assert sorted(read_bytes(row["uri"], 1000) for row in rows) == sorted(NAMES)
    pa.Table.from_pylist([dict(row) for row in rows], schema=MANIFEST_SCHEMA)


@pytest.mark.parametrize(
    "uri", ["\udcff", "/in/\ud800.png", "a\0b", "s3://", "s3:///key", "file://", "x" * 9000, "", "://"]
)
def test_what_names_no_file_is_an_error_row(uri: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_bytes(uri, 1000)
    assert caught.value.item.category in (Category.NOT_FOUND, Category.UNSUPPORTED, Category.FORBIDDEN)


def test_an_output_whose_name_no_table_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no UTF-8"):
        OutputLayout(f"{tmp_path}/\udcff")
