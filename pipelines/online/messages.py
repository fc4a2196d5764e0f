"""What travels between the ingress and the replicas that do the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kie_ray.encoding.page_image import ImageKind
from kie_ray.errors import ErrorItem
from kie_ray.records import Line, Page
from pipelines.online.api.backend import Picture


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A document for the OCR deployment.

    `lines`: given lines by page, in place of OCR; their number must be that of the document's pages. `image`: how a
    page becomes the image of the model that is asked for. `pictures`: also give a JPEG of every page. `page`: this page
    only (0-based).
    """

    data: bytes
    name: str
    image: ImageKind = "none"
    lines: Sequence[Sequence[Line]] | None = None
    pictures: bool = False
    page: int | None = None


@dataclass(slots=True)
class ReadResult:
    """What became of a `ReadRequest`.

    `count`: pages of the document where the request has `lines`, `page` or `pictures`; with another number of `lines`,
    or fewer pages than `page` names, nothing else is done. `error`: of the document, or of those pages that are missing
    in `pages`. `timings`: busy seconds of read and ocr.
    """

    pages: list[Page] = field(default_factory=list)
    error: ErrorItem | None = None
    pictures: dict[int, Picture] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    count: int | None = None


@dataclass(slots=True)
class AnnotateResult:
    """Pages with labels, links and fields, in the order given; `error`: the first of those pages that are missing.

    `timings`: busy seconds of ser, re and fields.
    """

    pages: list[Page] = field(default_factory=list)
    error: ErrorItem | None = None
    timings: dict[str, float] = field(default_factory=dict)
