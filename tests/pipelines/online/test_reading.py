from __future__ import annotations

import asyncio
import io
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from kie_ray.errors import Category, Stage
from kie_ray.limits import Limits
from kie_ray.records import Line, Page, PageImage
from pipelines.online.messages import ReadRequest, ReadResult
from pipelines.online.reading import DocumentReader
from tests.job_support import draw_page

Run = Callable[[Coroutine[Any, Any, Any]], Any]
QUAD = (1.0, 2.0, 30.0, 2.0, 30.0, 12.0, 1.0, 12.0)


class Engine:
    """Reads `source:page` off every page. `wait` holds it up; a page with index in `bad` makes a call fail."""

    name = "fake"

    def __init__(self) -> None:
        self.calls: list[list[tuple[str, int]]] = []
        self.bad: set[int] = set()
        self.seconds = 0.0
        self.began = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def read_lines(self, images: Sequence[PageImage]) -> list[list[Line]]:
        self.calls.append([(image.source, image.index) for image in images])
        self.began.set()
        assert self.go.wait(20)
        time.sleep(self.seconds)
        if self.bad & {image.index for image in images}:
            raise RuntimeError("no engine survives this page")
        return [[Line(0, f"{image.source}:{image.index}", QUAD)] for image in images]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """One event loop for all tests, as a replica has."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(scope="module")
def reader() -> Iterator[DocumentReader]:
    made = DocumentReader(Engine(), Limits(), 72, readers=2, pages_in_memory=3, batch_size=2, max_pictures=4)
    yield made
    made.close()


@pytest.fixture
def engine(reader: DocumentReader) -> Engine:
    """A fresh one; decoders and threads are shared by the module's tests."""
    reader._engine = Engine()
    return reader._engine


def tiff(pages: int, size: tuple[int, int] = (60, 40)) -> bytes:
    first, *others = [Image.new("RGB", size, (n, 255, 255)) for n in range(pages)]
    stream = io.BytesIO()
    first.save(stream, "TIFF", save_all=True, append_images=others)
    return stream.getvalue()


def png(number: int = 1, size: tuple[int, int] = (200, 70)) -> bytes:
    stream = io.BytesIO()
    draw_page(number, size).save(stream, "PNG")
    return stream.getvalue()


def texts(result: ReadResult) -> list[str]:
    return [line.text for page in result.pages for line in page.lines]


def test_pages_in_order_with_timings(run: Run, reader: DocumentReader, engine: Engine) -> None:
    result = run(reader.read(ReadRequest(tiff(7), "a.tif")))
    assert result.error is None
    assert texts(result) == [f"a.tif:{n}" for n in range(7)]
    assert [(page.index, page.width, page.height) for page in result.pages] == [(n, 60, 40) for n in range(7)]
    assert result.timings["read"] > 0
    assert result.timings["ocr"] > 0
    assert all(page.pixels is None for page in result.pages)
    assert max(map(len, engine.calls)) <= 2


def test_few_pages_are_in_memory_and_a_short_document_overtakes(
    run: Run, reader: DocumentReader, engine: Engine
) -> None:
    async def scenario() -> None:
        await asyncio.gather(
            *(reader.read(ReadRequest(png(), "a.png")) for _ in range(2))
        )  # both decoders have started
        engine.calls.clear()
        engine.began.clear()
        engine.go.clear()
        engine.seconds = 0.02
        long = asyncio.create_task(reader.read(ReadRequest(tiff(30), "long.tif")))
        assert await asyncio.to_thread(engine.began.wait, 20)
        await asyncio.sleep(0.3)
        in_call = sum(map(len, engine.calls))
        assert in_call + reader.batches.waiting <= 3
        short = asyncio.create_task(reader.read(ReadRequest(png(), "short.png")))
        await asyncio.sleep(0.1)
        engine.go.set()
        await short
        assert not long.done()
        assert len((await long).pages) == 30

    run(scenario())
    order = [source for call in engine.calls for source, _ in call]
    assert order.index("short.png") < 20


def test_a_page_that_fails_costs_nobody_but_itself(run: Run, reader: DocumentReader, engine: Engine) -> None:
    engine.bad = {1}
    result = run(reader.read(ReadRequest(tiff(4), "a.tif")))
    assert texts(result) == ["a.tif:0", "a.tif:2", "a.tif:3"]
    assert result.error is not None
    assert (result.error.stage, result.error.category, result.error.page) == (Stage.OCR, Category.INTERNAL, 1)
    assert "survives" not in result.error.message


@pytest.mark.parametrize(
    ("data", "category"),
    [(b"", Category.EMPTY), (b"%PDF-1.7 rubbish", Category.CORRUPT), (b"hello", Category.UNSUPPORTED)],
)
def test_a_bad_document_is_no_exception(
    run: Run, reader: DocumentReader, engine: Engine, data: bytes, category: Category
) -> None:
    result = run(reader.read(ReadRequest(data, "a")))
    assert result.pages == []
    assert result.error is not None
    assert (result.error.stage, result.error.category) == (Stage.READ, category)
    assert engine.calls == []


def test_a_killed_decoder_is_an_error_of_its_document(run: Run, reader: DocumentReader, engine: Engine) -> None:
    assert run(reader.read(ReadRequest(png(), "a.png"))).error is None
    lent = reader._readers.get_nowait()
    reader._readers.put_nowait(lent)
    pid = lent._reader.child_pid
    assert pid is not None
    os.kill(pid, 9)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # a signal takes its time
    assert run(reader.read(ReadRequest(png(), "b.png"))).error is None  # it was idle: nobody lost anything


def test_given_lines_take_the_place_of_ocr(run: Run, reader: DocumentReader, engine: Engine) -> None:
    given = [[Line(5, "Name", QUAD)], []]
    result = run(reader.read(ReadRequest(tiff(2), "a.tif", lines=given)))
    assert engine.calls == []
    assert [(page.width, page.height, len(page.lines)) for page in result.pages] == [(60, 40, 1), (60, 40, 0)]
    assert result.pages[0].lines == given[0]
    assert result.pages[0].lines[0] is not given[0][0]


def test_another_number_of_given_pages_is_told(run: Run, reader: DocumentReader, engine: Engine) -> None:
    result = run(reader.read(ReadRequest(tiff(2), "a.tif", lines=[[]])))
    assert (result.count, result.pages, result.error) == (2, [], None)


def test_pixels_and_pictures(run: Run, reader: DocumentReader, engine: Engine) -> None:
    data = png(size=(2000, 800))
    result = run(reader.read(ReadRequest(data, "a.png", image="bgr", pictures=True)))
    (page,) = result.pages
    assert page.pixels is not None
    assert page.pixels.shape == (224, 224, 3)
    picture = result.pictures[0]
    assert (picture.width, picture.height) == (1600, 640)
    decoded = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (640, 1600, 3)


def test_pictures_of_too_many_pages_are_refused(run: Run, reader: DocumentReader, engine: Engine) -> None:
    allowed = run(reader.read(ReadRequest(tiff(4), "a.tif", pictures=True)))
    assert (allowed.error, sorted(allowed.pictures)) == (None, [0, 1, 2, 3])
    engine.calls.clear()
    refused = run(reader.read(ReadRequest(tiff(5), "a.tif", pictures=True)))
    assert (refused.pages, refused.pictures, engine.calls) == ([], {}, [])
    assert (refused.error.stage, refused.error.category) == (Stage.READ, Category.TOO_MANY_PAGES)
    assert refused.error.message.startswith("a.tif has 5 pages, and pictures are given of 4 at most (max_pictures)")
    assert len(run(reader.read(ReadRequest(tiff(5), "a.tif"))).pages) == 5


def test_one_page_and_its_drawing(run: Run, reader: DocumentReader, engine: Engine) -> None:
    async def scenario() -> tuple[ReadResult, ReadResult, bytes]:
        one = await reader.read(ReadRequest(tiff(3), "a.tif", page=2))
        none = await reader.read(ReadRequest(tiff(3), "a.tif", page=3))
        drawn = await reader.draw(ReadRequest(tiff(3), "a.tif"), Page(2, 60, 40, [Line(0, "x", QUAD, 1.0, "KEY", 0.9)]))
        assert isinstance(drawn, bytes)
        return one, none, drawn

    one, none, drawn = run(scenario())
    assert texts(one) == ["a.tif:2"]
    assert (none.count, none.pages) == (3, [])
    pixels = np.asarray(Image.open(io.BytesIO(drawn)))
    assert pixels.shape == (40, 60, 3)
    assert (pixels != (2, 255, 255)).any()


def test_whoever_leaves_makes_room(run: Run, reader: DocumentReader, engine: Engine) -> None:
    async def scenario() -> ReadResult:
        engine.go.clear()
        gone = [asyncio.create_task(reader.read(ReadRequest(tiff(9), "gone.tif"))) for _ in range(4)]
        assert await asyncio.to_thread(engine.began.wait, 20)
        await asyncio.sleep(0.1)
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        engine.go.set()
        return await asyncio.wait_for(reader.read(ReadRequest(tiff(9), "stays.tif")), 20)

    assert len(run(scenario()).pages) == 9
