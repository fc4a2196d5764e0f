"""Backends that say what a test wants to see on the page, with pictures that browsers can decode."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kie_ray.drawing.jpeg import jpeg
from kie_ray.records import Document, Field, Line, Link, Page
from pipelines.online.api.backend import Extracted, Picture, Work
from tests.pipelines.online.api.support import Scripted


@dataclass
class Pictured(Scripted):
    """`failures`: exceptions to raise for the first requests, in order.

    `seconds`: how long a request takes; a test may change it meanwhile.
    """

    failures: list[Exception] = field(default_factory=list)
    seconds: float = 0.0

    async def extract(self, work: Work) -> Extracted:
        extracted = await super().extract(work)
        started = time.monotonic()
        while time.monotonic() < started + self.seconds:
            await asyncio.sleep(0.02)
        if self.failures:
            raise self.failures.pop(0)
        for page in extracted.document.pages:
            shade = np.full((page.height, page.width, 3), 240, np.uint8)
            extracted.pictures[page.index] = Picture(jpeg(shade), page.width, page.height)
        return extracted


def table(
    pairs: Sequence[tuple[str, str]],
    *,
    index: int = 0,
    scores: Sequence[float] | None = None,
    labels: tuple[str, str] = ("QUESTION", "ANSWER"),
    spare: Sequence[str] = (),
) -> Page:
    """A page with keys on the left and their values on the right; `spare`: lines below that are in no field."""
    page = Page(index, 640, 80 + 60 * (len(pairs) + len(spare)))
    for place, (key, value) in enumerate(pairs):
        score = scores[place] if scores else 0.9
        first, second = 2 * place, 2 * place + 1
        page.lines += [_line(first, key, 40, place, labels[0]), _line(second, value, 340, place, labels[1])]
        page.links.append(Link(first, second, score))
        boxes = page.lines[-2].box, page.lines[-1].box
        page.fields.append(Field(key, value, score, [first], [second], *boxes))
    page.lines += [_line(1000 + place, text, 40, len(pairs) + place, "OTHER") for place, text in enumerate(spare)]
    return page


def document(*pages: Page) -> Document:
    return Document("d", "d", list(pages), timings={"read": 0.5, "ocr": 1.5})


def _line(number: int, text: str, x: float, row: int, label: str) -> Line:
    y = 40.0 + 60 * row
    return Line(number, text, (x, y, x + 220, y, x + 220, y + 36, x, y + 36), 0.97, label, 0.9)
