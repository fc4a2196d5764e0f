"""Finds JPEGs that were cut and closed with an end marker: libjpeg fills the rest with grey and reports success."""

from __future__ import annotations

import io

from PIL import Image, ImageChops

_SEGMENTS_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN = 0xDA
_END_MARKER = b"\xff\xd9"
_FILLER = bytes((i * 73 + 41) % 251 for i in range(4096))
_MISSING_LEVELS = {1: ((128,),), 3: ((128, 128, 128),), 4: ((127,) * 4, (128,) * 4)}


def ends_in_missing_data(image: Image.Image, data: bytes) -> bool:
    """Whether the lower right of `image` (decoded from `data`) was never in the file.

    libjpeg paints absent blocks mid-grey. Only where the last pixel has exactly that value the picture is decoded a
    second time with extra entropy-coded bytes before its end marker: a complete one stays the same, a cut one changes.
    """
    corner = image.getpixel((image.width - 1, image.height - 1))
    levels = corner if isinstance(corner, tuple) else (corner,)
    if levels not in _MISSING_LEVELS.get(len(levels), ()):
        return False
    end = data.find(_END_MARKER, _first_scan(data))
    if end < 0:
        return False  # Pillow has refused such a file already
    probe = Image.open(io.BytesIO(data[:end] + _FILLER + _END_MARKER), formats=["JPEG"])
    return ImageChops.difference(probe, image).getbbox() is not None


def _first_scan(data: bytes) -> int:
    """Offset of the first start-of-scan marker; walks the segments, because a thumbnail in them has its own scan."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            position += 1
            continue
        marker = data[position + 1]
        if marker == _START_OF_SCAN:
            return position
        if marker == 0xFF:
            position += 1
        elif marker in _SEGMENTS_WITHOUT_LENGTH:
            position += 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return len(data)
