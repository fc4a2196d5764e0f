"""Every format and colour mode that we promise, with pictures whose right answer is known."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from pypdf import PdfWriter
from pypdf.generic import (
    ArrayObject,
    DecodedStreamObject,
    DictionaryObject,
    FloatObject,
    NameObject,
    NumberObject,
    TextStringObject,
)

from kie_ray.errors import Category, DocumentError, ErrorItem
from kie_ray.limits import Limits
from kie_ray.reading import Reader, media_type
from kie_ray.records import PageImage

Pixels = NDArray[np.uint8]
ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader(Limits(max_pixels=4_000_000)) as reader:
        yield reader


def scene() -> Image.Image:
    """Red, green, blue and white quarters, 64 x 48: turned or mirrored it differs in every corner."""
    image = Image.new("RGB", (64, 48), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 31, 23), fill=(255, 0, 0))
    draw.rectangle((32, 0, 63, 23), fill=(0, 255, 0))
    draw.rectangle((0, 24, 31, 47), fill=(0, 0, 255))
    return image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def only_page(reader: Reader, data: bytes) -> Pixels:
    (page,) = reader.read(data, "form")
    assert isinstance(page, PageImage)
    assert (page.index, page.source) == (0, "form")
    assert page.pixels.dtype == np.uint8
    assert page.pixels.flags.c_contiguous
    assert page.pixels.flags.writeable
    return page.pixels


def assert_close(actual: Pixels, expected: Image.Image | Pixels, tolerance: int) -> None:
    wanted = np.asarray(expected)
    assert actual.shape == wanted.shape
    assert np.abs(actual.astype(int) - wanted.astype(int)).max() <= tolerance


@pytest.mark.parametrize(
    ("kind", "options", "tolerance", "media"),
    [
        ("PNG", {}, 0, "image/png"),
        ("BMP", {}, 0, "image/bmp"),
        ("JPEG", {"quality": 95, "subsampling": 0}, 4, "image/jpeg"),
        ("JPEG", {"quality": 95, "subsampling": 0, "progressive": True}, 4, "image/jpeg"),
        ("WEBP", {"lossless": True}, 0, "image/webp"),
        ("WEBP", {"quality": 95}, 12, "image/webp"),
        ("TIFF", {}, 0, "image/tiff"),
        ("TIFF", {"compression": "tiff_lzw"}, 0, "image/tiff"),
        ("TIFF", {"compression": "tiff_adobe_deflate"}, 0, "image/tiff"),
        ("TIFF", {"compression": "jpeg", "quality": 95}, 12, "image/tiff"),
        ("TIFF", {"big_tiff": True}, 0, "image/tiff"),
    ],
)
def test_every_format_is_read(
    reader: Reader, kind: str, options: dict[str, object], tolerance: int, media: str
) -> None:
    data = encoded(scene(), kind, **options)
    assert media_type(data) == media
    pixels = only_page(reader, data)
    assert pixels.shape == (48, 64, 3)
    centres = np.s_[12::24, 16::32] if tolerance else np.s_[:, :]  # lossy formats smear colours at edges
    assert_close(pixels[centres], np.asarray(scene())[centres], tolerance)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", mode) for mode in ("1", "L", "P", "RGB", "RGBA", "LA")]
    + [("TIFF", mode) for mode in ("1", "L", "P", "RGB", "RGBA")],
)
def test_every_mode_becomes_rgb(reader: Reader, kind: str, mode: str) -> None:
    image = scene().convert("L").convert(mode) if mode in ("1", "L", "LA") else scene().convert(mode)
    assert_close(only_page(reader, encoded(image, kind)), image.convert("RGB"), 0)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_composited_on_white(reader: Reader, mode: str) -> None:
    image = Image.new(mode, (3, 1), (0,) * len(mode))
    ink = (0,) * (len(mode) - 1)
    image.putpixel((1, 0), (*ink, 128))
    image.putpixel((2, 0), (*ink, 255))
    pixels = only_page(reader, encoded(image, "PNG"))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 1].tolist() == [127, 127, 127]
    assert pixels[0, 2].tolist() == [0, 0, 0]


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_is_white(reader: Reader, mode: str) -> None:
    image = Image.new(mode, (2, 1), 0)
    if mode == "P":
        image.putpalette([0, 0, 0, 9, 9, 9])
    image.putpixel((1, 0), (9, 9, 9) if mode == "RGB" else 1 if mode == "P" else 9)
    data = encoded(image, "PNG", transparency=(0, 0, 0) if mode == "RGB" else 0)
    assert only_page(reader, data)[0].tolist() == [[255] * 3, [9] * 3]


LEVELS = [0, 256, 12_345, 32_768, 65_535]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(reader: Reader, kind: str) -> None:
    image = Image.fromarray(np.array([LEVELS], np.uint16))
    assert image.mode == "I;16"
    pixels = only_page(reader, encoded(image, kind))
    assert_close(pixels, np.array([[[round(level / 257)] * 3 for level in LEVELS]], np.uint8), 0)


def test_16_bit_big_endian_and_white_is_zero(reader: Reader) -> None:
    assert_close(only_page(reader, grey_tiff(">", 16, 1, LEVELS)), grey(level / 257 for level in LEVELS), 0)
    assert_close(
        only_page(reader, grey_tiff("<", 16, 0, LEVELS)), grey(255 - round(level / 257) for level in LEVELS), 0
    )


def grey(levels: Iterator[float]) -> Pixels:
    return np.array([[[round(level)] * 3 for level in levels]], np.uint8)


def grey_tiff(order: str, bits: int, photometric: int, levels: list[int]) -> bytes:
    """One row of uncompressed grey samples."""
    body = struct.pack(f"{order}{len(levels)}H", *levels)
    tags = [
        (256, 4, len(levels)),
        (257, 4, 1),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, 1),
        (279, 4, len(body)),
    ]
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(f"{order}I", 8 + len(body)) + body + struct.pack(f"{order}H", len(tags))
    entries = (
        struct.pack(f"{order}HHIHxx" if kind == 3 else f"{order}HHII", tag, kind, 1, value) for tag, kind, value in tags
    )
    return head + b"".join(entries) + bytes(4)


def test_16_bit_colour_and_float_pages(reader: Reader) -> None:
    ramp = np.array([[0.0, 0.25, 1.0]], np.float32)
    assert_close(only_page(reader, encoded(Image.fromarray(ramp), "TIFF")), grey(iter([0, 63.75, 255])), 0)
    deep = np.array([[0, 70_000, 140_000]], np.int32)
    assert_close(only_page(reader, encoded(Image.fromarray(deep), "TIFF")), grey(iter([0, 128, 255])), 0)
    flat = np.full((2, 2), 7, np.int32)
    assert only_page(reader, encoded(Image.fromarray(flat), "TIFF")).shape == (2, 2, 3)


@pytest.mark.parametrize(("kind", "options", "tolerance"), [("TIFF", {}, 1), ("JPEG", {"quality": 98}, 12)])
def test_cmyk(reader: Reader, kind: str, options: dict[str, object], tolerance: int) -> None:
    image = Image.new("CMYK", (32, 16), (0, 200, 100, 30))
    pixels = only_page(reader, encoded(image, kind, **options))
    assert_close(pixels, image.convert("RGB"), tolerance)


def test_cmyk_jpeg_without_adobes_marker_is_not_inverted(reader: Reader) -> None:
    inverted = Image.new("CMYK", (32, 16), (255, 55, 155, 225))  # stored as the complement: 0, 200, 100, 30
    data = encoded(inverted, "JPEG", quality=98)
    place = data.index(b"\xff\xee\x00\x0eAdobe")
    plain = data[:place] + data[place + 16 :]
    assert_close(only_page(reader, plain), Image.new("CMYK", (32, 16), (0, 200, 100, 30)).convert("RGB"), 12)


def test_lab(reader: Reader) -> None:
    pixels = only_page(reader, encoded(Image.new("LAB", (4, 4), (255, 128, 128)), "TIFF"))
    assert_close(pixels, Image.new("RGB", (4, 4), (255, 255, 255)), 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(reader: Reader, kind: str, orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = scene().transpose(undo[orientation]) if orientation in undo else scene()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    extra: dict[str, object] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    if kind == "TIFF":
        tags = ImageFileDirectory_v2()
        tags[ORIENTATION] = orientation
        data = encoded(stored, kind, tiffinfo=tags)
    else:
        data = encoded(stored, kind, exif=exif, **extra)
    assert_close(only_page(reader, data), scene(), 6 if kind == "JPEG" else 0)


def test_damaged_exif_leaves_the_page_as_stored(reader: Reader) -> None:
    data = encoded(scene(), "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0MM\0*\0\0\xff\xff\xff")
    assert_close(only_page(reader, data), scene(), 6)


@pytest.mark.parametrize("corner", [(128, 128, 128), (0, 0, 0)])
def test_a_complete_grey_jpeg_is_no_truncated_one(reader: Reader, corner: tuple[int, int, int]) -> None:
    image = scene().resize((640, 480))
    image.paste(corner, (0, 200, 640, 480))
    assert_close(only_page(reader, encoded(image, "JPEG", quality=95, subsampling=0)), image, 40)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_cut_jpeg_with_an_end_marker_is_corrupt(reader: Reader, mode: str, share: float) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (300, 400, 3), np.uint8)
    data = encoded(Image.fromarray(noise).convert(mode), "JPEG")
    with pytest.raises(DocumentError, match="truncated") as caught:
        list(reader.read(data[: int(len(data) * share)] + b"\xff\xd9", "cut.jpg"))
    assert caught.value.item.category == Category.CORRUPT


def frames(*sizes: tuple[int, int], **options: object) -> bytes:
    images = [Image.new("RGB", size, (40 * index, 0, 0)) for index, size in enumerate(sizes)]
    return encoded(images[0], "TIFF", save_all=True, append_images=images[1:], **options)


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"big_tiff": True}])
def test_every_frame_of_a_tiff_is_a_page(reader: Reader, options: dict[str, object]) -> None:
    data = frames((10, 20), (30, 5), (7, 7), **options)
    assert reader.count_pages(data, "a.tif") == 3
    pages = [page for page in reader.read(data, "a.tif") if isinstance(page, PageImage)]
    assert [(page.index, page.width, page.height) for page in pages] == [(0, 10, 20), (1, 30, 5), (2, 7, 7)]
    assert [int(page.pixels[0, 0, 0]) for page in pages] == [0, 40, 80]


def test_a_range_of_pages(reader: Reader) -> None:
    data = frames(*[(8, 8)] * 5)
    pages = [page for page in reader.read(data, "a.tif", first_page=1, last_page=3) if isinstance(page, PageImage)]
    assert [(page.index, int(page.pixels[0, 0, 0])) for page in pages] == [(1, 40), (2, 80), (3, 120)]
    assert len(list(reader.read(data, "a.tif", first_page=4))) == 1
    with pytest.raises(DocumentError, match="pages 3 to 5 were asked for, the document has 5"):
        list(reader.read(data, "a.tif", first_page=3, last_page=5))


def test_a_frame_over_the_limit_of_pixels_is_one_error() -> None:
    with Reader(Limits(max_pixels=1000)) as reader:
        good, bad, last = reader.read(frames((10, 20), (40, 50), (7, 7)), "a.tif")
        assert isinstance(good, PageImage)
        assert isinstance(last, PageImage)
        assert isinstance(bad, ErrorItem)
        assert (bad.category, bad.page) == (Category.TOO_LARGE, 1)
        assert "40 x 50 = 2000 pixels" in bad.message


def test_a_damaged_frame_does_not_hide_the_others(reader: Reader) -> None:
    data = bytearray(frames((10, 20), (30, 5), (7, 7)))
    first = struct.unpack_from("<I", data, 4)[0]
    entries = struct.unpack_from("<H", data, first)[0]
    second = struct.unpack_from("<I", data, first + 2 + entries * 12)[0]
    struct.pack_into("<H", data, second + 2, 0xFFFF)  # the width of the second frame is gone
    good, bad, last = reader.read(bytes(data), "a.tif")
    assert isinstance(good, PageImage)
    assert isinstance(last, PageImage)
    assert isinstance(bad, ErrorItem)
    assert (bad.category, bad.page) == (Category.CORRUPT, 1)


def test_a_loop_of_tiff_directories_ends(reader: Reader) -> None:
    data = bytearray(frames((10, 20)))
    first = struct.unpack_from("<I", data, 4)[0]
    entries = struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, first + 2 + entries * 12, first)
    assert only_page(reader, bytes(data)).shape == (20, 10, 3)


def test_too_many_frames_are_counted() -> None:
    with Reader(Limits(max_pages=3)) as reader:
        with pytest.raises(DocumentError, match="4 pages are over the limit of max_pages = 3"):
            reader.count_pages(frames(*[(8, 8)] * 4), "a.tif")
        assert reader.count_pages(frames(*[(8, 8)] * 3), "a.tif") == 3


def test_the_magic_bytes_decide_not_the_name(reader: Reader) -> None:
    (page,) = reader.read(encoded(scene(), "PNG"), "photo.jpg")
    assert isinstance(page, PageImage)
    assert_close(page.pixels, scene(), 0)


@pytest.mark.parametrize(
    "data", [b"", b"BM", b"BMW builds cars, and this is a text", b"GIF89a", b"\xff\xd8", b"RIFF1234WAVE"]
)
def test_other_bytes_have_no_media_type(data: bytes) -> None:
    assert media_type(data) is None


def pdf(*sizes: tuple[float, float], rotate: int = 0) -> bytes:
    """Pages with a red rectangle over their left lower quarter."""
    writer = PdfWriter()
    for width, height in sizes:
        page = writer.add_blank_page(width, height)
        content = DecodedStreamObject()
        content.set_data(f"1 0 0 rg 0 0 {width / 2} {height / 2} re f".encode())
        page[NameObject("/Contents")] = writer._add_object(content)
        if rotate:
            page.rotate(rotate)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


@pytest.mark.parametrize(("dpi", "size"), [(72, (100, 50)), (144, (200, 100)), (200, (278, 139))])
def test_pdf_pages_have_the_size_of_their_dpi(dpi: int, size: tuple[int, int]) -> None:
    with Reader(pdf_dpi=dpi) as reader:
        pixels = only_page(reader, pdf((100, 50)))
    assert (pixels.shape[1], pixels.shape[0]) == size
    assert pixels[-2, 1].tolist() == [255, 0, 0]
    assert pixels[1, 1].tolist() == [255, 255, 255]
    assert pixels[-2, -2].tolist() == [255, 255, 255]


def test_a_rotated_pdf_page_is_upright(reader: Reader) -> None:
    pixels = only_page(reader, pdf((100, 50), rotate=90))
    assert pixels.shape[0] > pixels.shape[1]
    assert pixels[1, 1].tolist() == [255, 0, 0]


def test_a_pdf_with_junk_before_its_header(reader: Reader) -> None:
    assert only_page(reader, b"\n\n" + pdf((100, 50))).shape == (139, 278, 3)


def test_a_pdf_page_over_the_limit_of_pixels_is_one_error(reader: Reader) -> None:
    good, bad, last = reader.read(pdf((100, 50), (2000, 2000), (50, 50)), "a.pdf")
    assert isinstance(good, PageImage)
    assert isinstance(last, PageImage)
    assert isinstance(bad, ErrorItem)
    assert (bad.category, bad.page) == (Category.TOO_LARGE, 1)
    assert "2000 x 2000 points at 200 dpi" in bad.message
    assert "a.pdf: page 2 of 3" in bad.message


def test_the_typed_values_of_a_pdf_form_are_drawn(reader: Reader) -> None:
    writer = PdfWriter()
    page = writer.add_blank_page(100, 50)
    drawing = DecodedStreamObject()
    drawing.set_data(b"0 0 1 rg 0 0 40 20 re f")
    box = ArrayObject(map(FloatObject, (0, 0, 40, 20)))
    drawing.update({NameObject("/Type"): NameObject("/XObject"), NameObject("/Subtype"): NameObject("/Form")})
    drawing[NameObject("/BBox")] = box
    widget = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Annot"),
            NameObject("/Subtype"): NameObject("/Widget"),
            NameObject("/FT"): NameObject("/Tx"),
            NameObject("/T"): TextStringObject("name"),
            NameObject("/V"): TextStringObject("value"),
            NameObject("/F"): NumberObject(4),
            NameObject("/Rect"): box,
            NameObject("/AP"): DictionaryObject({NameObject("/N"): writer._add_object(drawing)}),
        }
    )
    reference = writer._add_object(widget)
    page[NameObject("/Annots")] = ArrayObject([reference])
    writer._root_object[NameObject("/AcroForm")] = DictionaryObject({NameObject("/Fields"): ArrayObject([reference])})
    file = io.BytesIO()
    writer.write(file)
    assert only_page(reader, file.getvalue())[-5, 5].tolist() == [0, 0, 255]


def test_an_encrypted_pdf_without_a_user_password_is_read(reader: Reader) -> None:
    writer = PdfWriter()
    writer.add_blank_page(100, 50)
    writer.encrypt(user_password="", owner_password="owner", algorithm="AES-256")
    file = io.BytesIO()
    writer.write(file)
    assert only_page(reader, file.getvalue()).shape == (139, 278, 3)


def test_a_long_pdf_is_streamed_one_page_ahead() -> None:
    """100 pages of 2.4 MB each in a child that may use 60 MiB."""
    with Reader(Limits(max_memory_bytes=60 * 2**20), pdf_dpi=72) as reader:
        count = sum(isinstance(page, PageImage) for page in reader.read(pdf(*[(1000, 800)] * 100), "long.pdf"))
    assert count == 100


def test_a_resolution_must_be_positive() -> None:
    with pytest.raises(ValueError, match="pdf_dpi = 0"):
        Reader(pdf_dpi=0)


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(scene(), "PNG"))
    program = (
        "import os, sys; from kie_ray.reading import Reader; reader = Reader(); "
        "list(reader.read(open(sys.argv[1], 'rb').read(), 'a')); print(reader.child_pid, flush=True); "
        "os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", program, str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    child = Path(f"/proc/{int(done.stdout)}")
    deadline = time.monotonic() + 10
    while child.exists() and "\nState:\tZ" not in (child / "status").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.exists() or "\nState:\tZ" in (child / "status").read_text()


def test_the_child_holds_neither_torch_nor_credentials(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    with Reader() as fresh:
        only_page(fresh, encoded(scene(), "PNG"))
        process = Path(f"/proc/{fresh.child_pid}")
        assert b"very-secret" not in (process / "environ").read_bytes()
        assert "libtorch" not in (process / "maps").read_text()
        limits = (process / "limits").read_text()
    assert "Max core file size        0 " in limits
    assert not any(line.startswith("Max address space") and "unlimited" in line for line in limits.splitlines())
