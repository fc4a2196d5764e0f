"""Documents of many requests through a few decoders and one OCR engine, a few pages in memory at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import numpy as np

from kie_ray.encoding.page_image import ImageKind, read_page
from kie_ray.errors import Category, DocumentError, ErrorItem, Stage, summary_of_bad_pages
from kie_ray.limits import Limits
from kie_ray.ocr import OcrEngine
from kie_ray.reading import Reader
from kie_ray.records import Page, PageImage
from pipelines.isolation import call_isolated
from pipelines.online.api.backend import Picture
from pipelines.online.batches import Batches
from pipelines.online.messages import ReadRequest, ReadResult

PICTURE_LONG_SIDE = 1600
"""Pixels; the longer side of a page's JPEG."""

T = TypeVar("T")

logger = logging.getLogger(__name__)

_Image = tuple[PageImage, ImageKind]
_Read = tuple[Page, float]


class DocumentReader:
    """Serves any number of requests at a time, on one event loop.

    `readers` documents are decoded at a time, so that a long one does not hold up all others. `pages_in_memory` decoded
    pages wait for the engine or are in its hands, of all documents together: a PDF of a thousand pages costs no more
    memory than one of ten. `batch_size` pages go to the engine in one call, of any documents. A page that makes the
    engine fail costs nobody but itself. Pictures stay in memory until the answer has left, so a document with more than
    `max_pictures` pages is refused where they are wanted.
    """

    def __init__(
        self,
        engine: OcrEngine,
        limits: Limits,
        pdf_dpi: int,
        *,
        readers: int = 2,
        pages_in_memory: int = 4,
        batch_size: int = 2,
        batch_wait_seconds: float = 0.0,
        max_pictures: int = 100,
        observe: Callable[[int, float], None] | None = None,
    ) -> None:
        self._engine = engine
        self._readers: asyncio.LifoQueue[_ReaderThread] = asyncio.LifoQueue()
        for _ in range(readers):  # last in, first out: a decoder that nobody needs is never started
            self._readers.put_nowait(_ReaderThread(limits, pdf_dpi))
        self._room = asyncio.Semaphore(pages_in_memory)
        self._max_pictures = max_pictures
        self.batches: Batches[ImageKind, PageImage, _Read | ErrorItem] = Batches(
            self._recognise, batch_size, batch_wait_seconds, name="ocr", observe=observe
        )

    async def read(self, request: ReadRequest) -> ReadResult:
        """Lines of every page. Never raises for a bad document or page: `ReadResult.error` says what is wrong."""
        result = ReadResult(timings=defaultdict(float))
        bad_pages: list[ErrorItem] = []
        finishing: list[asyncio.Task[Page | ErrorItem]] = []
        try:
            try:
                if not await self._decode(request, result, bad_pages, finishing):
                    return result
            except DocumentError as error:
                result.error = error.item
            except Exception as error:
                logger.exception("reading of %s failed", request.name)
                message = f"{type(error).__name__} in the {Stage.READ} stage"
                result.error = ErrorItem.of(Stage.READ, Category.INTERNAL, message)
            done = await asyncio.gather(*finishing)
        finally:  # where the client has left, its pages make room
            for task in finishing:
                task.cancel()
        bad_pages += [item for item in done if isinstance(item, ErrorItem)]
        result.pages = sorted((item for item in done if isinstance(item, Page)), key=lambda page: page.index)
        result.error = result.error or summary_of_bad_pages(bad_pages)
        if result.error is None and not result.pages:
            result.error = ErrorItem.of(Stage.READ, Category.EMPTY, f"{request.name} has no page")
        result.timings = dict(result.timings)
        return result

    async def draw(self, request: ReadRequest, page: Page) -> bytes | ErrorItem:
        """PNG of the document's page `page.index` with the entities and links of `page` on it."""
        async with self._lent_reader() as reader, self._room:
            try:
                return await reader.run(lambda it: _drawn(it, request, page))
            except DocumentError as error:
                return error.item

    async def recognise(self, image: PageImage) -> Page | ErrorItem:
        """Lines of one decoded page, together with whatever other requests ask for."""
        found = await self.batches.submit("none", image)
        return found if isinstance(found, ErrorItem) else found[0]

    def close(self) -> None:
        """End the decoders' processes."""
        while not self._readers.empty():
            self._readers.get_nowait().close()

    async def _decode(
        self,
        request: ReadRequest,
        result: ReadResult,
        bad_pages: list[ErrorItem],
        finishing: list[asyncio.Task[Page | ErrorItem]],
    ) -> bool:
        """Begin a task for each page. False where the document has another number of pages than the request needs.

        Raises DocumentError where nothing can be done with the document.
        """
        async with self._lent_reader() as reader:
            if request.lines is not None or request.page is not None or request.pictures:
                count = await reader.run(lambda it: it.count_pages(request.data, request.name))
                if request.pictures and count > self._max_pictures:
                    raise DocumentError(_too_many_pictures(request.name, count, self._max_pictures))
                result.count = count
                if _does_not_fit(request, count):
                    return False
            pages = await reader.run(lambda it: it.read(request.data, request.name, request.page or 0, request.page))
            while True:
                await self._room.acquire()
                item = None
                try:
                    item, seconds = await reader.run(lambda _: _timed_next(pages))
                finally:
                    if not isinstance(item, PageImage):
                        self._room.release()
                result.timings["read"] += seconds
                if item is None:
                    return True
                if isinstance(item, ErrorItem):
                    bad_pages.append(item)
                    continue
                task = asyncio.create_task(self._finish(request, item, result))
                task.add_done_callback(lambda _: self._room.release())
                finishing.append(task)

    async def _finish(self, request: ReadRequest, image: PageImage, result: ReadResult) -> Page | ErrorItem:
        page: Page | ErrorItem
        if request.lines is None:
            found = await self.batches.submit(request.image, image)
            if isinstance(found, ErrorItem):
                return found
            page, seconds = found
            result.timings["ocr"] += seconds
        else:
            lines = [replace(line) for line in request.lines[image.index]]
            page = await asyncio.to_thread(read_page, image, lines, request.image)
        if request.pictures:
            result.pictures[image.index] = await asyncio.to_thread(picture, image)
        return page

    def _recognise(self, image_kind: ImageKind, images: Sequence[PageImage]) -> list[_Read | ErrorItem]:
        """Runs in the engine's thread; seconds are each page's share of the call."""
        started = time.perf_counter()

        def read(some: Sequence[PageImage]) -> list[Page]:
            found = self._engine.read_lines(some)
            return [read_page(image, lines, image_kind) for image, lines in zip(some, found, strict=True)]

        pages = call_isolated(read, images, stage=Stage.OCR, place=lambda image: (image.source, image.index))
        share = (time.perf_counter() - started) / len(images)
        return [page if isinstance(page, ErrorItem) else (page, share) for page in pages]

    @contextlib.asynccontextmanager
    async def _lent_reader(self) -> AsyncIterator[_ReaderThread]:
        reader = await self._readers.get()
        try:
            yield reader
        finally:
            self._readers.put_nowait(reader)


class _ReaderThread:
    """A `Reader` and the one thread that may touch it.

    After a cancellation the thread may still be at work for the request that is gone; what the next one asks for waits
    behind it in the thread's queue.
    """

    def __init__(self, limits: Limits, pdf_dpi: int) -> None:
        self._reader = Reader(limits, pdf_dpi)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decode")

    async def run(self, call: Callable[[Reader], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, self._reader)

    def close(self) -> None:
        self._thread.submit(self._reader.close).result()
        self._thread.shutdown()


def picture(image: PageImage) -> Picture:
    """The page as a JPEG of at most 1600 pixels a side."""
    import cv2

    from kie_ray.drawing.jpeg import jpeg

    scale = min(1.0, PICTURE_LONG_SIDE / max(image.width, image.height))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    pixels = image.pixels if scale == 1 else cv2.resize(image.pixels, size, interpolation=cv2.INTER_AREA)
    return Picture(jpeg(np.asarray(pixels, np.uint8)), *size)


def _timed_next(pages: Iterator[PageImage | ErrorItem]) -> tuple[PageImage | ErrorItem | None, float]:
    started = time.perf_counter()
    item = next(pages, None)
    return item, time.perf_counter() - started


def _does_not_fit(request: ReadRequest, count: int) -> bool:
    wrong_lines = request.lines is not None and len(request.lines) != count
    return wrong_lines or (request.page is not None and request.page >= count)


def _too_many_pictures(name: str, count: int, most: int) -> ErrorItem:
    message = (
        f"{name} has {count} pages, and pictures are given of {most} at most (max_pictures): send fewer pages, "
        "or leave pictures out of include"
    )
    return ErrorItem.of(Stage.READ, Category.TOO_MANY_PAGES, message)


def _drawn(reader: Reader, request: ReadRequest, page: Page) -> bytes:
    import cv2

    from kie_ray.drawing import draw_page

    image = next(reader.read(request.data, request.name, page.index, page.index))
    if isinstance(image, ErrorItem):
        raise DocumentError(image)
    done, encoded = cv2.imencode(".png", cv2.cvtColor(draw_page(image, page), cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError(f"a page of {image.width} x {image.height} pixels cannot be stored as PNG")
    return encoded.tobytes()
