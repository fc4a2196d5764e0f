"""The `Backend` of the HTTP side, by the OCR and model deployments."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kie_ray.encoding.page_image import ImageKind
from kie_ray.errors import Category, DocumentError, ErrorItem, Stage
from kie_ray.records import Document, Page
from pipelines.online.api.backend import (
    Extracted,
    ModelInfo,
    NeedsImage,
    NotReady,
    PageOutOfRange,
    TooSlow,
    UnknownModel,
    Work,
    WrongPageCount,
)
from pipelines.online.messages import AnnotateResult, ReadRequest, ReadResult
from pipelines.online.metrics import LoadMetrics
from pipelines.online.stage_calls import StageCalls, StageDied

_CHECK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ServedBundle:
    """A bundle as the ingress knows it. `image`: how a page becomes the image of its models."""

    info: ModelInfo
    image: ImageKind


class ServeBackend:
    """Implements `pipelines.online.api.backend.Backend`. A document is answered once, or refused before it is begun."""

    def __init__(
        self,
        bundles: Sequence[ServedBundle],
        ocr: StageCalls,
        models: StageCalls,
        load: LoadMetrics,
        request_seconds: float,
    ) -> None:
        self._bundles: Mapping[str, ServedBundle] = {bundle.info.name: bundle for bundle in bundles}
        self._ocr = ocr
        self._models = models
        self._load = load
        self._seconds = request_seconds

    async def extract(self, work: Work) -> Extracted:
        """See `Backend.extract`."""
        bundle = self._bundle(work)
        with self._in_time():
            async with asyncio.timeout(self._seconds):
                return await self._extract(work, bundle)

    async def draw(self, work: Work, page: int) -> tuple[bytes, Document]:
        """See `Backend.draw`."""
        bundle = self._bundle(work)
        if work.data is None:
            raise NeedsImage(work.model)
        with self._in_time():
            async with asyncio.timeout(self._seconds):
                document = (await self._extract(work, bundle, page)).document
                if not document.pages:
                    assert document.error is not None
                    raise DocumentError(document.error)
                request = ReadRequest(work.data, work.name)
                try:
                    drawn = await self._ocr.call("draw", request, document.pages[0], patient=True)
                except StageDied:
                    drawn = _killed(work.name, Stage.READ)
        if isinstance(drawn, ErrorItem):
            raise DocumentError(drawn)
        return drawn, document

    async def models(self) -> Sequence[ModelInfo]:
        """See `Backend.models`."""
        return [bundle.info for bundle in self._bundles.values()]

    async def check(self) -> None:
        """See `Backend.check`."""
        stages = (self._ocr, self._models)
        answers = await asyncio.gather(*(stage.answers(_CHECK_SECONDS) for stage in stages))
        silent = [stage.name for stage, answer in zip(stages, answers, strict=True) if not answer]
        if silent:
            raise NotReady(f"no answer from {' and '.join(silent)}")

    def _bundle(self, work: Work) -> ServedBundle:
        bundle = self._bundles.get(work.model)
        if bundle is None:
            raise UnknownModel(work.model, list(self._bundles))
        if work.data is None and bundle.image != "none":
            raise NeedsImage(work.model)
        return bundle

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        self._load.begin()
        try:
            yield
        except TimeoutError:
            raise TooSlow(self._seconds) from None
        finally:
            self._load.end()

    async def _extract(self, work: Work, bundle: ServedBundle, page: int | None = None) -> Extracted:
        document = Document(work.name, work.name)
        read = await self._read(work, bundle, page)
        document.error, document.timings = read.error, read.timings
        if read.pages:
            found = await self._annotate(read.pages, bundle, work)
            document.pages = found.pages
            document.error = document.error or found.error
            document.timings = {**read.timings, **found.timings}
        return Extracted(document, read.pictures)

    async def _read(self, work: Work, bundle: ServedBundle, page: int | None) -> ReadResult:
        if work.data is None:
            pages = [replace(page, lines=[replace(line) for line in page.lines]) for page in work.pages or ()]
            return ReadResult(pages)
        lines = None if work.pages is None else [page.lines for page in work.pages]
        request = ReadRequest(work.data, work.name, bundle.image, lines, work.pictures, page)
        try:
            read: ReadResult = await self._ocr.call("read", request)
        except StageDied:
            return ReadResult(error=_killed(work.name, Stage.OCR))
        if read.count is not None and lines is not None and len(lines) != read.count:
            raise WrongPageCount(len(lines), read.count)
        if read.count is not None and page is not None and page >= read.count:
            raise PageOutOfRange(page, read.count)
        return read

    async def _annotate(self, pages: list[Page], bundle: ServedBundle, work: Work) -> AnnotateResult:
        name = bundle.info.name
        try:
            found: AnnotateResult = await self._models.call(
                "annotate", pages, name, model=name, patient=work.data is not None
            )
        except StageDied:
            return AnnotateResult(error=_killed(work.name, Stage.SER))
        return found


def _killed(name: str, stage: Stage) -> ErrorItem:
    message = f"{name}: the {stage} stage's process died with this document every time that it was tried"
    return ErrorItem.of(stage, Category.CRASH, message)
