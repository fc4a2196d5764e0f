"""The frames of a TIFF: walks the chain of image file directories (TIFF 6.0 section 2, BigTIFF) without decoding.

Pillow finds frame n by parsing all frames before it, so one damaged directory would hide every later frame and a file
of a million tiny directories would take minutes only to be counted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from kie_ray.errors import Category
from kie_ray.reading.pages import unreadable


@dataclass(frozen=True, slots=True)
class FrameChain:
    """Where the directory of each frame starts; the last offset may point behind a truncated file."""

    offsets: list[int]
    offset_position: int
    offset_format: str

    def header_for(self, frame: int) -> tuple[int, bytes]:
        """Position and bytes to overwrite in the file's header so that it starts with `frame`."""
        return self.offset_position, struct.pack(self.offset_format, self.offsets[frame])


def frame_chain(data: bytes) -> FrameChain:
    """Offsets of all frames; a chain that loops ends at its first repetition.

    Raises:
        DocumentError: CORRUPT when the header is cut, EMPTY when the file declares no frame.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\x00", b"\x00+")
    count_format, offset_format, entry_size = ("Q", "Q", 20) if big else ("H", "I", 12)
    count = struct.Struct(order + count_format)
    offset = struct.Struct(order + offset_format)
    position = 8 if big else 4
    if len(data) < position + offset.size:
        raise unreadable(Category.CORRUPT, "the TIFF header is cut")
    offsets: list[int] = []
    seen: set[int] = set()
    (here,) = offset.unpack_from(data, position)
    while here and here not in seen:
        offsets.append(here)
        seen.add(here)
        try:
            (entries,) = count.unpack_from(data, here)
            (here,) = offset.unpack_from(data, here + count.size + entries * entry_size)
        except (struct.error, OverflowError):
            break
    if not offsets:
        raise unreadable(Category.EMPTY, "the TIFF has no frame")
    return FrameChain(offsets, position, order + offset_format)
