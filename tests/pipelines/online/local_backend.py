"""The HTTP side over an `Extractor` in this process: what tests of API, page and client serve without Ray."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import uvicorn

from kie_ray import Extractor
from kie_ray.drawing import draw_page
from kie_ray.drawing.jpeg import jpeg
from kie_ray.errors import DocumentError
from kie_ray.models.bundle import Bundle
from kie_ray.reading import Reader
from kie_ray.records import Document, Line, PageImage
from pipelines.online.api.backend import (
    Extracted,
    ModelInfo,
    NeedsImage,
    PageOutOfRange,
    Picture,
    UnknownModel,
    Work,
    WrongPageCount,
)

if TYPE_CHECKING:
    from pipelines.online.api.metrics import Metrics
    from pipelines.online.api.settings import ApiSettings

T = TypeVar("T")
_LONG_SIDE = 1600


class LocalBackend:
    """Implements `Backend` with one extractor, in a thread, one document at a time.

    `fingerprint` is that of the extractor's bundle (`LocalBackend.load` knows it).
    """

    def __init__(self, extractor: Extractor, fingerprint: str = "0" * 64, name: str = "default") -> None:
        self.extractor = extractor
        info = extractor.annotator.info
        self._info = ModelInfo(
            name,
            fingerprint,
            list(info.tasks),
            list(info.labels),
            True,
            info.image != "none",
            extractor.engine.name,
            info.name,
        )
        self._lock = threading.Lock()
        self._reader = Reader(extractor.limits)

    @classmethod
    def load(cls, bundle: str | Path | None = None, **options: Any) -> LocalBackend:
        """`options` are those of `Extractor.load`."""
        return cls(Extractor.load(bundle, **options), Bundle.load(bundle, verify=False).fingerprint)

    async def extract(self, work: Work) -> Extracted:
        return await asyncio.to_thread(self._locked, self._extract, work)

    async def draw(self, work: Work, page: int) -> tuple[bytes, Document]:
        return await asyncio.to_thread(self._locked, self._draw, work, page)

    async def models(self) -> Sequence[ModelInfo]:
        return [self._info]

    async def check(self) -> None:
        return None

    def close(self) -> None:
        self._reader.close()
        self.extractor.close()

    def _locked(self, call: Callable[..., T], *arguments: Any) -> T:
        with self._lock:
            return call(*arguments)

    def _extract(self, work: Work) -> Extracted:
        if work.model != self._info.name:
            raise UnknownModel(work.model, [self._info.name])
        if work.data is None:
            return Extracted(self._annotate(work))
        if work.pages is not None:
            with contextlib.suppress(DocumentError):  # the extractor says what is wrong with the document
                count = self._reader.count_pages(work.data, work.name)
                if count != len(work.pages):
                    raise WrongPageCount(len(work.pages), count)
        engine = self.extractor.engine
        if work.pages is not None:
            self.extractor.engine = _GivenLines([page.lines for page in work.pages])
        try:
            document = self.extractor.extract(work.data, name=work.name)
        finally:
            self.extractor.engine = engine
        pictures = {}
        if work.pictures and document.pages:
            pictures = {image.index: _picture(image) for image in self._images(work)}
        return Extracted(document, pictures)

    def _annotate(self, work: Work) -> Document:
        if self._info.sees_images:
            raise NeedsImage(work.model)
        pages = [replace(page, lines=[replace(line) for line in page.lines]) for page in work.pages or ()]
        self.extractor.annotate(pages)
        return Document(work.name, work.name, pages)

    def _draw(self, work: Work, number: int) -> tuple[bytes, Document]:
        document = self._extract(replace(work, pictures=False)).document
        if document.error is not None and not document.pages:
            raise DocumentError(document.error)
        assert work.data is not None
        count = self._reader.count_pages(work.data, work.name)
        if number >= count:
            raise PageOutOfRange(number, count)
        page = next((page for page in document.pages if page.index == number), None)
        if page is None:
            assert document.error is not None
            raise DocumentError(document.error)
        image = next(image for image in self._images(work) if image.index == number)
        done, encoded = cv2.imencode(".png", cv2.cvtColor(draw_page(image, page), cv2.COLOR_RGB2BGR))
        assert done
        return encoded.tobytes(), replace(document, pages=[page])

    def _images(self, work: Work) -> list[PageImage]:
        assert work.data is not None
        return [item for item in self._reader.read(work.data, work.name) if isinstance(item, PageImage)]


class _GivenLines:
    """Serves the lines of a request in place of OCR."""

    name = "annotations"

    def __init__(self, lines: Sequence[Sequence[Line]]) -> None:
        self._lines = lines

    def read_lines(self, images: Sequence[PageImage]) -> list[list[Line]]:
        return [[replace(line) for line in self._lines[image.index]] for image in images]


def _picture(image: PageImage) -> Picture:
    scale = min(1.0, _LONG_SIDE / max(image.width, image.height))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    pixels = image.pixels if scale == 1 else cv2.resize(image.pixels, size, interpolation=cv2.INTER_AREA)
    return Picture(jpeg(pixels), *size)


@contextlib.contextmanager
def serving(backend: Any, settings: ApiSettings | None = None, metrics: Metrics | None = None) -> Iterator[str]:
    """Serve `build_api(backend, ...)` on a free port of this machine, in a thread; gives "http://127.0.0.1:PORT".

    For example `with serving(LocalBackend.load()) as address:`.
    """
    from pipelines.online.api.app import build_api

    application = build_api(backend, settings, metrics) if metrics else build_api(backend, settings)
    with serving_app(application) as address:
        yield address


@contextlib.contextmanager
def serving_app(application: Any) -> Iterator[str]:
    """Serve any ASGI application on a free port, in a thread; gives its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        server = uvicorn.Server(uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="uvicorn", daemon=True)
        thread.start()
        end = time.monotonic() + 60
        while not server.started:
            if not thread.is_alive() or time.monotonic() > end:
                raise RuntimeError("the test server did not start")
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
