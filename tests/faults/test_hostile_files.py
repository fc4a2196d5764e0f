"""Hostile documents cost one clear error each; the reader goes on."""

from __future__ import annotations

import gc
import io
import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pypdf import PdfWriter
from pypdf.generic import NameObject, NumberObject

from kie_ray.errors import RETRYABLE, Category, DocumentError, ErrorItem, Stage
from kie_ray.limits import Limits
from kie_ray.reading import Reader
from kie_ray.records import PageImage

LIMITS = Limits(max_seconds=3.0, max_memory_bytes=2**30)
SECONDS = 30.0  # the limit, and what it takes to replace a process on a machine that is busy with other things


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIE_RAY_TEST_DECODER", f"{Path(__file__).with_name('bad_decoder.py')}:open_bad")
        with Reader(LIMITS) as reader:
            yield reader


def picture(kind: str = "PNG", size: tuple[int, int] = (60, 40), **options: object) -> bytes:
    noise = np.random.default_rng(7).integers(0, 256, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind, **options)
    return file.getvalue()


def pdf(pages: int, password: str | None = None) -> bytes:
    writer = PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(100, 100)
    if password is not None:
        writer.encrypt(password, algorithm="AES-256")
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def pdf_of_many(pages: int) -> bytes:
    """A PDF whose page tree names one page object many times: small bytes, many pages."""
    writer = PdfWriter()
    page = writer.add_blank_page(100, 100)
    tree = writer._pages.get_object()
    tree[NameObject("/Kids")].extend([page.indirect_reference] * (pages - 1))  # type: ignore[attr-defined]
    tree[NameObject("/Count")] = NumberObject(pages)  # type: ignore[index]
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def open_files(process: int | str | None) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


HOSTILE: dict[str, tuple[bytes, Category, str]] = {
    "empty": (b"", Category.EMPTY, "no bytes"),
    "truncated jpeg": (half(picture("JPEG", (600, 400))), Category.CORRUPT, "truncated"),
    "truncated jpeg with an end marker": (
        half(picture("JPEG", (600, 400))) + b"\xff\xd9",
        Category.CORRUPT,
        "truncated",
    ),
    "jpeg header only": (picture("JPEG")[:40], Category.CORRUPT, "damaged"),
    "truncated png": (half(picture("PNG", (600, 400))), Category.CORRUPT, "truncated"),
    "truncated tiff": (half(picture("TIFF")), Category.CORRUPT, "damaged"),
    "truncated bmp": (half(picture("BMP")), Category.CORRUPT, "truncated"),
    "truncated webp": (half(picture("WEBP")), Category.CORRUPT, "damaged"),
    "truncated pdf": (b"%PDF-1.7\n1 0 obj\n", Category.CORRUPT, "PDF"),
    "text named png": (b"hello, this is no picture\n", Category.UNSUPPORTED, "looks like plain text"),
    "html": (b"<!DOCTYPE html><html></html>", Category.UNSUPPORTED, "HTML"),
    "docx": (b"PK\x03\x04" + bytes(60), Category.UNSUPPORTED, "ZIP"),
    "zeros": (bytes(1000), Category.UNSUPPORTED, "zero bytes"),
    "noise": (b"\x81\x92\xf3\x04" * 99, Category.UNSUPPORTED, "unknown binary data"),
    "60000x60000 png": (png_header(60_000, 60_000), Category.TOO_LARGE, "60000 x 60000 = 3600000000 pixels"),
    "encrypted pdf": (pdf(1, "secret"), Category.ENCRYPTED, "encrypted"),
    "pdf without pages": (pdf(0), Category.EMPTY, "no page"),
    "pdf with 20000 pages": (pdf_of_many(20_000), Category.TOO_MANY_PAGES, "20000 pages .* max_pages = 2000"),
    "hang": (b"HANG", Category.TIMEOUT, "max_seconds = 3"),
    "crash": (b"CRASH", Category.CRASH, "SIGSEGV"),
    "memory bomb": (b"BOMB", Category.TOO_LARGE, "max_memory_bytes"),
    "exit": (b"EXIT", Category.CRASH, "status 3"),
    "short page": (b"SHORT", Category.CORRUPT, "4 bytes for 8 x 4 pixels"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_each_hostile_file_gets_its_category_and_the_reader_goes_on(reader: Reader, name: str) -> None:
    data, category, words = HOSTILE[name]
    start = time.monotonic()
    with pytest.raises(DocumentError, match=words) as caught:
        list(reader.read(data, "in/form.png"))
    assert time.monotonic() - start < SECONDS
    item = caught.value.item
    assert (item.stage, item.category, item.page) == (Stage.READ, category, None)
    assert item.retryable == (category in RETRYABLE)
    assert item.message.startswith("in/form.png: ")
    (page,) = reader.read(picture(), "good.png")
    assert isinstance(page, PageImage)
    assert page.pixels.shape == (40, 60, 3)


def test_a_file_over_max_bytes_is_refused() -> None:
    with Reader(Limits(max_bytes=10)) as reader:
        with pytest.raises(DocumentError, match=r"11 bytes.*max_bytes = 10") as caught:
            list(reader.read(b"x" * 11, "a"))
        assert caught.value.item.category == Category.TOO_LARGE
        assert reader.child_pid is None


def test_memory_of_a_real_picture_is_limited() -> None:
    data = picture("PNG", (2000, 2000), compress_level=0)
    with Reader(Limits(max_memory_bytes=20 * 2**20)) as reader:
        with pytest.raises(DocumentError) as caught:
            list(reader.read(data, "a.png"))
        assert caught.value.item.category in (Category.TOO_LARGE, Category.CRASH)
        assert len(list(reader.read(picture(), "b.png"))) == 1


@pytest.mark.parametrize(("kind", "category"), [(b"HANG", Category.TIMEOUT), (b"CRASH", Category.CRASH)])
def test_one_page_that_kills_the_decoder_costs_one_page(reader: Reader, kind: bytes, category: Category) -> None:
    results = list(reader.read(kind + b"-PAGE 2", "a.pdf"))
    assert [type(item) for item in results] == [PageImage, PageImage, ErrorItem, PageImage, PageImage]
    error = results[2]
    assert isinstance(error, ErrorItem)
    assert (error.category, error.page) == (category, 2)
    assert "a.pdf: page 3 of 5" in error.message
    assert [int(item.pixels[0, 0, 0]) for item in results if isinstance(item, PageImage)] == [0, 1, 3, 4]


def test_the_time_limit_is_for_each_page(reader: Reader) -> None:
    assert len(list(reader.read(b"SLOW-PAGE 0.8", "a.pdf"))) == 5  # 4 s in all, the limit is 3


def test_the_next_page_is_decoded_while_the_caller_works(reader: Reader) -> None:
    list(reader.read(b"SLOW-PAGE 0", "warm up"))
    waited = 0.0
    pages = reader.read(b"SLOW-PAGE 0.4", "a.pdf")
    next(pages)
    for _ in range(4):
        time.sleep(1.2)
        start = time.monotonic()
        next(pages)
        waited += time.monotonic() - start
    assert waited < 0.8  # one after the other: 1.6 s


def test_a_document_that_is_left_early_does_not_disturb_the_next(reader: Reader) -> None:
    pages = reader.read(b"HANG-PAGE 1", "left.pdf")
    next(pages)
    start = time.monotonic()
    (page,) = reader.read(picture(), "good.png")
    assert isinstance(page, PageImage)
    assert time.monotonic() - start < SECONDS
    with pytest.raises(RuntimeError, match=r"left\.pdf: this reader has begun another document"):
        next(pages)
    kept = reader.read(b"SLOW-PAGE 0", "kept.pdf")
    next(kept)
    kept.close()  # type: ignore[attr-defined]
    assert len(list(reader.read(b"SLOW-PAGE 0", "again.pdf"))) == 5


def test_a_child_killed_from_outside_is_replaced(reader: Reader) -> None:
    list(reader.read(picture(), "a.png"))
    assert reader.child_pid is not None
    os.kill(reader.child_pid, 9)
    time.sleep(0.2)
    assert len(list(reader.read(picture(), "b.png"))) == 1


def test_a_decoder_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIE_RAY_TEST_DECODER", "/no/such/file.py:open_bad")
    with Reader() as reader, pytest.raises(DocumentError, match=r"did not start.*no/such/file\.py") as caught:
        list(reader.read(picture(), "a.png"))
    assert caught.value.item.category == Category.INTERNAL


def test_marked_documents_are_plain_data_without_the_test_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KIE_RAY_TEST_DECODER", raising=False)
    with Reader() as reader, pytest.raises(DocumentError) as caught:
        list(reader.read(b"HANG", "a"))
    assert caught.value.item.category == Category.UNSUPPORTED


VALID = {
    "JPEG": picture("JPEG", (90, 70)),
    "progressive": picture("JPEG", (90, 70), progressive=True),
    "PNG": picture("PNG"),
    "TIFF": picture("TIFF"),
    "TIFF lzw": picture("TIFF", compression="tiff_lzw"),
    "TIFF jpeg": picture("TIFF", compression="jpeg"),
    "BMP": picture("BMP"),
    "WEBP": picture("WEBP"),
    "PDF": pdf(3),
}


@pytest.mark.parametrize("kind", VALID)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12), keep=st.floats(0.05, 1.0))
def test_no_mutation_of_a_valid_file_harms_the_reader(
    reader: Reader, kind: str, changes: list[tuple[float, int]], keep: float
) -> None:
    data = bytearray(VALID[kind])
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    mutated = bytes(data[: max(1, int(len(data) * keep))])
    try:
        for item in reader.read(mutated, "mutated"):
            if isinstance(item, PageImage):
                assert item.pixels.ndim == 3
                assert item.pixels.dtype == np.uint8
            else:
                assert item.category != Category.INTERNAL
    except DocumentError as error:
        expected = set(Category) - {Category.INTERNAL, Category.TIMEOUT}
        if error.item.stage != Stage.READ or error.item.category not in expected:
            raise
    (page,) = reader.read(VALID["PNG"], "good.png")
    assert isinstance(page, PageImage)


def test_nothing_leaks_over_many_documents() -> None:
    good, bad = picture(), half(picture("JPEG", (600, 400)))
    with Reader() as reader:
        list(reader.read(good, "warm up"))
        child = reader.child_pid
        ours = open_files("self")
        theirs = open_files(child)
        for _ in range(200):
            list(reader.read(good, "good"))
            with pytest.raises(DocumentError):
                list(reader.read(bad, "bad"))
        assert reader.child_pid == child
        assert open_files("self") == ours
        assert open_files(child) == theirs


def test_no_child_outlives_its_reader() -> None:
    before = open_files("self")
    closed, dropped = Reader(), Reader()
    for reader in (closed, dropped):
        list(reader.read(picture(), "a.png"))
    children = [closed.child_pid, dropped.child_pid]
    assert all(Path(f"/proc/{child}").exists() for child in children)
    closed.close()
    del dropped, reader
    gc.collect()
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert open_files("self") == before
    assert len(list(closed.read(picture(), "a.png"))) == 1  # a closed reader starts again
    closed.close()
