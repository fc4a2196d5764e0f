"""Limits on what a document may cost, shared by the batch job, the endpoint and the notebook."""

from __future__ import annotations

from pydantic import Field

from kie_ray.config import Settings


class Limits(Settings):
    """An input over one of these gets an error that names the limit; it is never cut in silence."""

    max_bytes: int = Field(256 * 2**20, gt=0, description="size of one file, bytes")
    max_pixels: int = Field(
        120_000_000, gt=0, description="width x height of one page, from the header, before decoding"
    )
    max_pages: int = Field(2_000, gt=0, description="pages or frames of one document")
    max_seconds: float = Field(60.0, gt=0, description="wall-clock seconds that decoding one page may take")
    max_memory_bytes: int = Field(
        3 * 2**30, gt=0, description="address space that a decoder process may use beyond its start"
    )
