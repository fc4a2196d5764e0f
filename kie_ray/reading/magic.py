"""What a file is, by its first bytes. Names and extensions are never trusted: a PNG called `.jpg` is a PNG."""

from __future__ import annotations

JPEG = "image/jpeg"
PNG = "image/png"
TIFF = "image/tiff"
BMP = "image/bmp"
WEBP = "image/webp"
PDF = "application/pdf"

SUPPORTED = (JPEG, PNG, TIFF, BMP, WEBP, PDF)

_PDF_SEARCH_BYTES = 1024  # readers accept junk before the header within the first kilobyte
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_OTHER_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"GIF8", "a GIF picture"),
    (b"PK\x03\x04", "a ZIP archive (or an office document such as .docx or .xlsx)"),
    (b"\xd0\xcf\x11\xe0", "an old office document (.doc, .xls or .msg)"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 code stream"),
    (b"8BPS", "a Photoshop picture"),
    (b"%!PS", "a PostScript file"),
    (b"{\\rtf", "an RTF document"),
    (b"\x1f\x8b", "a gzip file"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"PAR1", "a Parquet file"),
    (b"AT&TFORM", "a DjVu document"),
    (b"\x97JB2", "a JBIG2 picture"),
)


def media_type(data: bytes) -> str | None:
    """Media type of a supported format by magic bytes, None for anything else (see `looks_like`)."""
    head = bytes(data[:32])
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return TIFF
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WEBP
    # two letters alone would turn every text that starts with "BM" into a bitmap
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return BMP
    if b"%PDF-" in bytes(data[:_PDF_SEARCH_BYTES]):
        return PDF
    return None


def looks_like(data: bytes) -> str:
    """A guess in words at what unsupported bytes are, for the message that a person reads."""
    head = bytes(data[:512])
    for prefix, name in _OTHER_KINDS:
        if head.startswith(prefix):
            return name
    if head[4:8] == b"ftyp":
        return "a HEIC or AVIF picture or a video"
    if not head.strip(b"\x00"):
        return "only zero bytes"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if start.startswith(b"<svg") or b"<svg" in start:
        return "an SVG drawing"
    if start.startswith(b"<"):
        return "an XML file"
    if start.startswith((b"{", b"[")) and _is_text(head):
        return "a JSON file"
    if _is_text(head):
        return "plain text"
    return f"unknown binary data that starts with {head[:8].hex(' ')}"


def _is_text(head: bytes) -> bool:
    for cut in range(4):  # the sample may end in the middle of a character
        try:
            text = head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return all(c.isprintable() or c in "\t\r\n\f" for c in text)
    return False
