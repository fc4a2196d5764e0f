"""Decoders that misbehave for real: `KIE_RAY_TEST_DECODER=<this file>:open_bad`, chosen by a document's first bytes.

HANG         opening never ends            HANG-PAGE <k>    page k of 5 never ends
CRASH        opening segfaults             CRASH-PAGE <k>   page k of 5 segfaults
BOMB         opening allocates without end (MemoryError)
EXIT         the process ends with status 3
SHORT        announces a page and writes half of it
SLOW-PAGE <seconds>   every one of 5 pages takes so long
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable

from kie_ray.reading.pages import DecodedPage, PageSource

WIDTH, HEIGHT, PAGES = 8, 4, 5


class BadPages:
    """Five pages whose pixels all have the value of their index; `trap` may misbehave before each."""

    page_count = PAGES

    def __init__(self, trap: Callable[[int], None]) -> None:
        self._trap = trap

    def page(self, index: int) -> DecodedPage:
        self._trap(index)
        return DecodedPage(WIDTH, HEIGHT, iter([bytes([index]) * (WIDTH * HEIGHT * 3)]))

    def close(self) -> None:
        pass


class ShortPage(BadPages):
    page_count = 1

    def page(self, index: int) -> DecodedPage:
        return DecodedPage(WIDTH, HEIGHT, iter([b"half"]))


def open_bad(data: bytes) -> PageSource | None:
    """A misbehaving source for the marked documents above, None (the real decoders) for everything else."""
    word, _, rest = data[:32].partition(b" ")
    if word == b"HANG":
        hang()
    elif word == b"CRASH":
        crash()
    elif word == b"BOMB":
        allocate_for_ever()
    elif word == b"EXIT":
        os._exit(3)
    elif word == b"SHORT":
        return ShortPage(lambda index: None)
    elif word == b"HANG-PAGE":
        return BadPages(lambda index: hang() if index == int(rest) else None)
    elif word == b"CRASH-PAGE":
        return BadPages(lambda index: crash() if index == int(rest) else None)
    elif word == b"SLOW-PAGE":
        return BadPages(lambda index: time.sleep(float(rest)))
    return None


def hang() -> None:
    """Never return; native code, so no Python signal handler would run."""
    ctypes.CDLL(None).sleep(10_000)


def crash() -> None:
    """Die by SIGSEGV."""
    ctypes.string_at(0)


def allocate_for_ever() -> None:
    """Allocate until the memory limit says no."""
    held = []
    while True:
        held.append(bytes(2**26))  # zeroed lazily: only the limit, not the machine's memory, is used up
