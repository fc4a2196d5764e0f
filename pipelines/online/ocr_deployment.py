"""OCR replicas: bytes of a document in, pages with lines out."""

from __future__ import annotations

import numpy as np

from kie_ray.errors import ErrorItem
from kie_ray.ocr import build_engine
from kie_ray.records import Page, PageImage
from pipelines.online.config import OnlineConfig
from pipelines.online.health import Pulse
from pipelines.online.logs import log_failures
from pipelines.online.messages import ReadRequest, ReadResult
from pipelines.online.metrics import BatchMetrics
from pipelines.online.reading import DocumentReader
from pipelines.online.threads import threads_of
from pipelines.orphans import die_with_parent
from pipelines.tables import assigned_device


class OcrDeployment:
    """Owns one OCR engine in a thread of its own and a few decoder processes (see `DocumentReader`)."""

    def __init__(self, config: OnlineConfig) -> None:
        import cv2

        die_with_parent()
        log_failures()
        replicas = config.ocr_replicas
        threads = threads_of(replicas)
        cv2.setNumThreads(threads)
        self._settings = config.ocr.model_copy(
            update={"threads": threads, "device": assigned_device(config.ocr.device)}
        )
        self._reader = DocumentReader(
            build_engine(self._settings),
            config.limits,
            config.pdf_dpi,
            readers=config.documents_decoded_at_once,
            pages_in_memory=2 * replicas.batch_size,
            batch_size=replicas.batch_size,
            batch_wait_seconds=replicas.batch_wait_seconds,
            max_pictures=config.max_pictures,
            observe=BatchMetrics().observe,
        )
        self._pulse = Pulse(self._reader.batches, self._probe, config.stuck_seconds)

    async def read(self, request: ReadRequest) -> ReadResult:
        """See `DocumentReader.read`."""
        return await self._reader.read(request)

    async def draw(self, request: ReadRequest, page: Page) -> bytes | ErrorItem:
        """See `DocumentReader.draw`."""
        return await self._reader.draw(request, page)

    async def alive(self) -> bool:
        """True; whoever gets it knows that a replica takes requests."""
        return True

    async def check_health(self) -> None:
        """Raises where the engine fails on a small page, or hangs: Serve then replaces this replica."""
        await self._pulse.check()

    async def _probe(self) -> None:
        if self._settings.engine == "annotations":
            return  # a label file has no lines for a page that nobody sent
        blank = PageImage(np.full((64, 256, 3), 255, np.uint8), 0, "health check")
        found = await self._reader.recognise(blank)
        if isinstance(found, ErrorItem):
            raise RuntimeError(f"the OCR engine cannot read a blank page: {found.message}")
