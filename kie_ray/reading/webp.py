"""Size of a WebP from its header (RFC 9649): Pillow allocates the canvas when it opens one, before it can be asked."""

from __future__ import annotations

from kie_ray.errors import Category
from kie_ray.reading.pages import unreadable


def webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of the canvas.

    Raises:
        DocumentError: CORRUPT when the first chunk is none of VP8, VP8L and VP8X or is cut.
    """
    chunk = data[12:16]
    if len(data) >= 30:
        if chunk == b"VP8X":
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        if chunk == b"VP8 ":
            return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    if chunk == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise unreadable(Category.CORRUPT, "the WebP header is damaged")
