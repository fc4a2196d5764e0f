"""Documents in, key-value fields out, in one process: what a notebook calls and what the batch job runs per actor."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from kie_ray.annotator import Annotator
from kie_ray.encoding.page_image import read_page
from kie_ray.errors import DocumentError, ErrorItem, summary_of_bad_pages
from kie_ray.limits import Limits
from kie_ray.loading import load_annotator
from kie_ray.models.bundle import Bundle
from kie_ray.models.runtime import Runtime
from kie_ray.ocr import OcrEngine, OcrSettings, build_engine
from kie_ray.reading import Reader
from kie_ray.records import Document, Page, PageImage
from kie_ray.storage import read_bytes

PAGES_AT_ONCE = 4


class Extractor:
    """Reads, recognises and annotates documents with one bundle.

    `Extractor.load().extract("form.jpg")` gives a `Document`. Not thread-safe. `close` (or `with`) ends the decoder's
    child process; it also ends with this process.
    """

    def __init__(
        self, annotator: Annotator, engine: OcrEngine, limits: Limits | None = None, pdf_dpi: int = 200
    ) -> None:
        self.annotator = annotator
        self.engine = engine
        self.limits = limits or Limits()
        self._reader = Reader(self.limits, pdf_dpi)

    @classmethod
    def load(
        cls,
        bundle: str | Path | None = None,
        *,
        device: str = "auto",
        dtype: torch.dtype | None = None,
        runtime: Runtime = "auto",
        ocr: OcrSettings | None = None,
        limits: Limits | None = None,
        pdf_dpi: int = 200,
    ) -> Extractor:
        """Load models and OCR engine.

        Args:
            bundle: bundle directory; None for the model that comes with the package.
            device: auto (CUDA where there is one, else the CPU), cpu, cuda or cuda:N.
            dtype: of the models; None is bfloat16 on CUDA and float32 elsewhere.
            runtime: torch, onnx (the bundle's ONNX files, on the CPU) or auto (those where there are any, on the CPU).

        Raises:
            ConfigError: the bundle or the engine cannot be loaded; the message names the file or setting.
        """
        where = resolve_device("cpu" if runtime == "onnx" and device == "auto" else device)
        kind = dtype or (torch.bfloat16 if where.type == "cuda" else torch.float32)
        annotator = load_annotator(Bundle.load(bundle), where, kind, runtime=runtime)
        return cls(annotator, build_engine(ocr or OcrSettings()), limits, pdf_dpi)

    def extract(self, source: str | Path | bytes, *, name: str | None = None) -> Document:
        """Everything about one document. Never raises for a bad document: `Document.error` says what is wrong.

        Args:
            source: path, uri (s3://...) or the bytes of a file.
            name: what to call bytes in `Document.uri` and in errors.
        """
        uri = name or ("bytes" if isinstance(source, bytes) else str(source))
        document = Document(doc_id=uri, uri=uri)
        try:
            data = source if isinstance(source, bytes) else read_bytes(str(source), self.limits.max_bytes)
            self._extract(data, document)
        except DocumentError as error:
            document.error = error.item
        return document

    def annotate(self, pages: Sequence[Page]) -> None:
        """SER, RE and fields of pages that have lines, in place.

        Raises:
            DocumentError: the models look at page images, and a page with text has no `pixels`.
        """
        self.annotator.annotate(pages)

    def close(self) -> None:
        self._reader.close()

    def __enter__(self) -> Extractor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _extract(self, data: bytes, document: Document) -> None:
        timings = {"read": 0.0, "ocr": 0.0}
        failures: list[ErrorItem] = []
        pending: list[PageImage] = []
        pages = self._reader.read(data, document.uri)
        while True:
            started = time.perf_counter()
            item = next(pages, None)
            timings["read"] += time.perf_counter() - started
            if isinstance(item, ErrorItem):
                failures.append(item)
            elif item is not None:
                pending.append(item)
            if pending and (item is None or len(pending) == PAGES_AT_ONCE):
                started = time.perf_counter()
                lines = self.engine.read_lines(pending)
                kind = self.annotator.info.image
                document.pages += [read_page(image, found, kind) for image, found in zip(pending, lines, strict=True)]
                timings["ocr"] += time.perf_counter() - started
                pending = []
            if item is None:
                break
        before = dict(self.annotator.timings)
        self.annotator.annotate(document.pages)
        spent = {name: value - before.get(name, 0.0) for name, value in self.annotator.timings.items()}
        document.timings = timings | spent
        document.error = summary_of_bad_pages(failures)


def resolve_device(device: str) -> torch.device:
    """`auto` is CUDA where torch sees one. A name that torch does not know is its RuntimeError."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)
