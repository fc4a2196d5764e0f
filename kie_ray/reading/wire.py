"""What both sides of the decoder process agree on. Standard library only: the child has to start fast."""

from __future__ import annotations

from dataclasses import dataclass

TEST_DECODER_VARIABLE = "KIE_RAY_TEST_DECODER"
"""`FILE.py:FUNCTION`, for tests of hangs and crashes only: the function sees the bytes first and returns a `PageSource`
or None. Nothing in a document can set it."""


@dataclass(frozen=True)
class ChildSettings:
    """What the parent tells its decoder process at the start (JSON: pydantic takes longer to import than Pillow)."""

    socket_fd: int
    input_fd: int
    output_fd: int
    max_pixels: int
    max_seconds: float
    max_memory_bytes: int
    pdf_dpi: int
