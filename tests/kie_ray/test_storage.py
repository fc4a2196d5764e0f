"""Local files and a real S3 server: the same names, the same verbs, the same categories of errors."""

from __future__ import annotations

import http.server
import os
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kie_ray.errors import Category, ConfigError, DocumentError, Stage
from kie_ray.storage import (
    delete_tree,
    exists,
    filesystem_for,
    join,
    list_files,
    open_output,
    read_bytes,
    read_text,
    write_text,
)
from tests.kie_ray.s3_server import environment, running_s3_server

ODD_NAMES = ["a b.jpg", "c#1.jpg", "d%20e.jpg", "f,g.jpg", "h+i&j=k.jpg", "表单 一.jpg", "x[1].jpg", "y?z.jpg"]


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with running_s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    for name, value in environment(s3_endpoint).items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{abs(hash(request.node.nodeid))}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


def put(bucket: str, *keys: str, body: bytes = b"x") -> None:
    client = boto3.client("s3")
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=body)


def names(inputs: list[str], base: str) -> list[str]:
    return [file.uri.removeprefix(base).lstrip("/") for file in list_files(inputs)]


def tree(root: Path, *files: str) -> None:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def category_of(call: Callable[[], object]) -> Category:
    with pytest.raises(DocumentError) as caught:
        call()
    assert caught.value.item.stage == Stage.FETCH
    return caught.value.item.category


TREE = ["b/2.jpg", "b/1.jpg", "a.jpg", "_SUCCESS", ".x.jpg", "b/_temporary/3.jpg", "b/.git/4.jpg", "c/d/5.png"]


def test_a_local_directory_is_walked_in_order_without_hidden_names(tmp_path: Path) -> None:
    tree(tmp_path, *TREE)
    assert names([str(tmp_path)], str(tmp_path)) == ["a.jpg", "b/1.jpg", "b/2.jpg", "c/d/5.png"]


def test_named_hidden_files_are_taken(tmp_path: Path) -> None:
    tree(tmp_path, "_a.jpg", ".b.jpg", "_dir/c.jpg")
    inputs = [str(tmp_path / "_a.jpg"), str(tmp_path / ".b.jpg"), str(tmp_path / "_dir")]
    assert names(inputs, str(tmp_path)) == ["_a.jpg", ".b.jpg", "_dir/c.jpg"]


def test_inputs_keep_their_order(tmp_path: Path) -> None:
    tree(tmp_path, "z/1.jpg", "a/1.jpg")
    assert names([str(tmp_path / "z"), str(tmp_path / "a")], str(tmp_path)) == ["z/1.jpg", "a/1.jpg"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["a.jpg"]),
        ("b/[12].jpg", ["b/1.jpg", "b/2.jpg"]),
        ("b/[!1].jpg", ["b/2.jpg"]),
        ("?/1.jpg", ["b/1.jpg"]),
        ("**/*.png", ["c/d/5.png"]),
        ("c/*", ["c/d/5.png"]),
    ],
)
def test_globs_mean_the_same_on_disk_and_in_a_bucket(
    tmp_path: Path, bucket: str, pattern: str, expected: list[str]
) -> None:
    tree(tmp_path, *TREE)
    put(bucket, *(f"in/{name}" for name in TREE))
    assert names([str(tmp_path / pattern)], str(tmp_path)) == expected
    assert names([f"s3://{bucket}/in/{pattern}"], f"s3://{bucket}/in") == expected


def test_a_relative_path_is_listed_by_its_absolute_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "in/a.jpg")
    monkeypatch.chdir(tmp_path)
    (file,) = list_files(["in"])
    assert file.uri == str(tmp_path / "in/a.jpg")
    assert (file.size, file.etag) == (1, None)
    assert file.mtime == (tmp_path / "in/a.jpg").stat().st_mtime


def test_linked_directories_are_followed_and_loops_end(tmp_path: Path) -> None:
    tree(tmp_path, "real/a.jpg", "in/b.jpg")
    (tmp_path / "in/link").symlink_to(tmp_path / "real")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    assert names([str(tmp_path / "in")], str(tmp_path / "in")) == ["b.jpg", "link/a.jpg"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_work_everywhere(tmp_path: Path, bucket: str, name: str) -> None:
    tree(tmp_path, f"in/{name}")
    put(bucket, f"in/{name}")
    local = str(tmp_path / "in" / name)
    quoted = "file://" + urllib.parse.quote(local)
    remote = f"s3://{bucket}/in/{name}"
    for given in (local, quoted, str(tmp_path / "in")):
        assert [file.uri for file in list_files([given])] == [local]
    for given in (remote, f"s3://{bucket}/in", f"s3://{bucket}/in/", f"s3://{bucket}"):
        assert [file.uri for file in list_files([given])] == [remote]
    for uri in (local, quoted, remote):
        assert read_bytes(uri, 10) == b"x"
        assert exists(uri)
    write_text(f"s3://{bucket}/out/{name}", "表")
    assert read_text(f"s3://{bucket}/out/{name}") == "表"
    write_text(local, "表")
    assert read_text(quoted) == "表"


def test_a_bucket_gives_etags_sizes_and_times(bucket: str) -> None:
    put(bucket, "a.jpg", body=b"abc")
    (file,) = list_files([f"s3://{bucket}/a.jpg"])
    (listed,) = list_files([f"s3://{bucket}/"])
    assert file == listed
    assert file.size == 3
    assert file.etag == "900150983cd24fb0d6963f7d28e17f72"  # MD5 of abc
    assert file.mtime is not None
    assert file.mtime > 1.6e9


def test_prefix_directory_and_object_of_one_name(bucket: str) -> None:
    put(
        bucket,
        "scan",
        "scan/1.jpg",
        "scans/2.jpg",
        "p/2024-01/a.jpg",
        "p/2024-02/_b.jpg",
        "p/2023/c.jpg",
        "p/_raw/d.jpg",
    )
    base = f"s3://{bucket}"
    assert names([f"{base}/scan"], base) == ["scan"]
    assert names([f"{base}/scan/"], base) == ["scan/1.jpg"]
    assert names([f"{base}/sca"], base) == ["scan", "scan/1.jpg", "scans/2.jpg"]
    assert names([f"{base}/p/2024-"], base) == ["p/2024-01/a.jpg"]
    assert names([f"{base}/p/_ra"], base) == ["p/_raw/d.jpg"]


def test_a_listing_of_several_pages_is_complete_and_sorted(bucket: str) -> None:
    put(bucket, *(f"many/{i:04}.jpg" for i in range(1005)))
    found = names([f"s3://{bucket}/many"], f"s3://{bucket}/many")
    assert found == [f"{i:04}.jpg" for i in range(1005)]


@pytest.mark.parametrize("name", ["missing.jpg", "missing/", "*.tiff", "ftp://host/a"])
def test_a_missing_local_input_is_named(tmp_path: Path, name: str) -> None:
    given = name if "://" in name else str(tmp_path / name)
    with pytest.raises(ConfigError, match="input") as caught:
        list(list_files([given]))
    assert given in str(caught.value)


@pytest.mark.parametrize("key", ["missing.jpg", "missing/", "*.tiff"])
def test_a_missing_input_of_a_bucket_is_named(bucket: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        list(list_files([f"s3://{bucket}/{key}"]))
    assert f"s3://{bucket}/{key}" in str(caught.value)


def test_a_missing_bucket_is_named(bucket: str) -> None:
    with pytest.raises(ConfigError, match="s3://no-such-bucket-here"):
        list(list_files(["s3://no-such-bucket-here/a/"]))


def test_read_bytes_enforces_the_limit(tmp_path: Path, bucket: str) -> None:
    (tmp_path / "f").write_bytes(b"x" * 11)
    put(bucket, "f", body=b"x" * 11)
    for uri in (str(tmp_path / "f"), f"s3://{bucket}/f"):
        assert len(read_bytes(uri, 11)) == 11
        with pytest.raises(DocumentError, match=r"11 bytes.*max_bytes = 10") as caught:
            read_bytes(uri, 10)
        assert caught.value.item.category == Category.TOO_LARGE
        assert not caught.value.item.retryable


def test_read_bytes_of_an_empty_file(tmp_path: Path, bucket: str) -> None:
    (tmp_path / "f").write_bytes(b"")
    put(bucket, "f", body=b"")
    assert read_bytes(str(tmp_path / "f"), 1) == read_bytes(f"s3://{bucket}/f", 1) == b""


def test_missing_files_are_not_found(tmp_path: Path, bucket: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    missing = [
        str(tmp_path / "no"),
        str(tmp_path / "file/below"),
        str(tmp_path / ("n" * 300)),
        str(tmp_path / "zero\0byte"),
        f"s3://{bucket}/no",
        "s3://no-such-bucket-here/no",
    ]
    for uri in missing:
        assert category_of(lambda uri=uri: read_bytes(uri, 10)) == Category.NOT_FOUND  # type: ignore[misc]


def test_directories_and_pipes_are_no_documents(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert category_of(lambda: read_bytes(str(tmp_path), 10)) == Category.UNSUPPORTED
    assert category_of(lambda: read_bytes(str(tmp_path / "pipe"), 10)) == Category.UNSUPPORTED
    assert category_of(lambda: read_bytes("ftp://host/a", 10)) == Category.UNSUPPORTED
    assert list(list_files([str(tmp_path)])) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_local_file_without_permission_is_forbidden(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "f").chmod(0)
    assert category_of(lambda: read_bytes(str(tmp_path / "f"), 10)) == Category.FORBIDDEN


class _Answering(http.server.BaseHTTPRequestHandler):
    status = 403
    code = "AccessDenied"
    cut = False

    def do_GET(self) -> None:
        if self.cut:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"only this")
            return
        body = f"<?xml version='1.0'?><Error><Code>{self.code}</Code><Message>no</Message></Error>".encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "code", "cut", "category"),
    [
        (403, "AccessDenied", False, Category.FORBIDDEN),
        (500, "InternalError", False, Category.UNAVAILABLE),
        (503, "SlowDown", False, Category.UNAVAILABLE),
        (200, "", True, Category.UNAVAILABLE),
    ],
)
def test_refusals_and_failures_of_a_server(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str, cut: bool, category: Category
) -> None:
    handler = type("Handler", (_Answering,), {"status": status, "code": code, "cut": cut})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, value in environment(f"http://127.0.0.1:{server.server_port}").items():
            monkeypatch.setenv(name, value)
        with pytest.raises(DocumentError) as caught:
            read_bytes("s3://bucket/key.jpg", 10_000)
        assert caught.value.item.category == category
        assert caught.value.item.retryable == (category == Category.UNAVAILABLE)
        assert "s3://bucket/key.jpg" in caught.value.item.message
        if not cut:
            with pytest.raises(
                ConfigError if category == Category.FORBIDDEN else DocumentError, match="s3://bucket/dir/"
            ):
                list(list_files(["s3://bucket/dir/"]))
        server.shutdown()


def test_a_server_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment("http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    assert category_of(lambda: read_bytes("s3://bucket/key.jpg", 10)) == Category.UNAVAILABLE
    with pytest.raises(DocumentError) as caught:
        list(list_files(["s3://bucket/dir/"]))
    assert caught.value.item.stage == Stage.MANIFEST


def test_without_credentials_requests_are_anonymous(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    boto3.client("s3").put_object(Bucket=bucket, Key="open.jpg", Body=b"x", ACL="public-read")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_bytes(f"s3://{bucket}/open.jpg", 10) == b"x"


@pytest.mark.parametrize("remote", [False, True])
def test_write_read_exists_delete(tmp_path: Path, bucket: str, remote: bool) -> None:
    root = join(f"s3://{bucket}", "out") if remote else str(tmp_path / "out")
    file = join(join(root, "fields"), "part 1.txt")
    assert not exists(root)
    write_text(file, "一")
    write_text(file, "二")
    assert exists(root)
    assert exists(file)
    assert read_text(file) == "二"
    with pytest.raises(RuntimeError, match="broken off"):
        write_and_fail(file)
    assert read_text(file) == "二"
    assert names([join(root, "")], root) == ["fields/part 1.txt"]
    delete_tree(root)
    assert not exists(file)
    delete_tree(root)


def write_and_fail(file: str) -> None:
    with open_output(file) as stream:
        stream.write(b"half")
        raise RuntimeError("broken off")


def test_parquet_through_the_arrow_file_system(bucket: str) -> None:
    table = pa.table({"a": [1, 2]})
    with open_output(f"s3://{bucket}/t/1.parquet") as stream:
        pq.write_table(table, stream)
    filesystem, path = filesystem_for(f"s3://{bucket}/t/")
    assert path == f"{bucket}/t"
    assert pq.read_table(path, filesystem=filesystem).equals(table)


def test_written_files_have_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    write_text(str(tmp_path / "ours"), "x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("uri", ["/", "file:///", "s3://bucket", "s3://bucket/"])
def test_roots_are_not_deleted(uri: str, bucket: str) -> None:
    with pytest.raises(ValueError, match="is not deleted"):
        delete_tree(uri)


def test_google_storage_uris_reach_arrow() -> None:
    filesystem, path = filesystem_for("gs://bucket/a b/")
    assert filesystem.type_name == "gcs"
    assert path == "bucket/a b"
