"""Models of all that the API answers: the OpenAPI document shows them, tests and clients check answers with them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from kie_ray.errors import Category, Stage

Points = Annotated[
    list[float], Field(min_length=8, max_length=8, description="x1, y1, ..., x4, y4: clockwise from the top left")
]
Box = Annotated[list[float], Field(min_length=4, max_length=4, description="x0, y0, x1, y1")]
Probability = Annotated[float, Field(ge=0, le=1.000001)]


class Answer(BaseModel):
    """Base of what is sent: no other keys."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class LineRecord(Answer):
    """A text line with the label that the model gave it."""

    id: int = Field(description="unique on its page; given with annotations, otherwise the place in OCR order")
    text: str
    points: Points
    ocr_score: Probability
    label: str = Field(description="upper case; OTHER for a line that is no entity", examples=["QUESTION"])
    label_score: Probability


class LinkRecord(Answer):
    """A key line and a value line that belong together, by line id."""

    key_line: int
    value_line: int
    score: Probability


class PageRecord(Answer):
    """One page; coordinates are its pixels, origin top left."""

    index: int = Field(ge=0, description="0 for the first page")
    width: int
    height: int
    lines: list[LineRecord] | None = Field(None, description="absent where `include` leaves them out")
    links: list[LinkRecord] | None = Field(None, description="absent where `include` leaves them out")


class FieldRecord(Answer):
    """One key-value pair."""

    page: int = Field(ge=0)
    key: str
    value: str
    score: Probability
    key_lines: list[int]
    value_lines: list[int]
    key_box: Box
    value_box: Box


class ErrorRecord(Answer):
    """What is wrong with a page of a partial document."""

    stage: Stage
    category: Category
    message: str
    retryable: bool
    page: int | None


class TimingsRecord(Answer):
    """Busy seconds a stage."""

    fetch: float
    read: float
    ocr: float
    ser: float
    re: float
    fields: float


class ProvenanceRecord(Answer):
    """What made the record."""

    kie_ray: str = Field(description="version of the package")
    schema_version: int
    fingerprint: str = Field(description="of the bundle")
    bundle: str = Field(description="name and first digits of the fingerprint")
    ocr: str = Field(description="engine; `annotations` where lines were given")


class PictureRecord(Answer):
    """A page as a picture, at most 1600 pixels wide and high."""

    page: int
    width: int = Field(description="of the picture, pixels")
    height: int
    media_type: Literal["image/jpeg"]
    data: str = Field(description="base64")


class Record(Answer):
    """A document as a row of the batch job's table `documents/`."""

    row_id: str
    doc_id: str = Field(description="hash of the bytes that were sent")
    uri: str = Field(description="the document's name")
    size: int | None = Field(description="bytes")
    etag: str | None
    media_type: str | None = Field(description="by the first bytes of the file; null for given lines")
    first_page: int | None
    last_page: int | None
    status: Literal["ok", "partial"] = Field(description="partial: `error` names the pages that are missing")
    error: ErrorRecord | None
    pages: list[PageRecord]
    fields: list[FieldRecord] | None = Field(None, description="absent where `include` leaves them out")
    timings: TimingsRecord
    provenance: ProvenanceRecord
    pictures: list[PictureRecord] | None = Field(None, description="only where `include` has pictures")


class ModelRecord(Answer):
    """One bundle that the endpoint serves."""

    name: str
    fingerprint: str
    tasks: list[str]
    labels: list[str]
    default: bool
    sees_images: bool = Field(description="then a request needs the file, lines alone do not do")
    ocr: str = Field(description="engine that reads the pages")
    bundle: str = Field(description="what the bundle calls itself")


class Models(Answer):
    """What `/v1/models` lists."""

    models: list[ModelRecord]


class Health(Answer):
    """The endpoint is ready."""

    status: Literal["ok"]


class ProblemDocument(Answer):
    """An error, as RFC 9457 describes it; `category` is that of the batch job's table `errors/`."""

    type: str
    title: str
    status: int
    detail: str
    stage: str = Field(description="`request`, or the stage of the work at which the document failed")
    category: Category | Literal["invalid_request"]
    retryable: bool = Field(description="the same request may succeed later")
    page: int | None = Field(None, description="the page that failed, 0 for the first one")
    request_id: str = Field(description="as the header X-Request-ID; the server's log has it")


class GivenLine(Answer):
    """A text line in place of OCR."""

    text: str = Field(max_length=4096)
    points: Points
    id: int | None = Field(None, ge=-(2**31), lt=2**31, description="unique on its page; without it the line's place")
    ocr_score: float = Field(1.0, ge=0, le=1)


class GivenPage(Answer):
    """A page of given lines."""

    width: int = Field(ge=1, le=1_000_000, description="pixels")
    height: int = Field(ge=1, le=1_000_000, description="pixels")
    lines: list[GivenLine]


class GivenDocument(Answer):
    """Lines in place of a file, for models that see no images."""

    name: str | None = Field(None, max_length=4096)
    pages: list[GivenPage] = Field(min_length=1)


class Annotation(BaseModel):
    """A text line of PaddleOCR's label file; other keys are left aside."""

    transcription: str = Field(max_length=4096)
    points: list[Annotated[list[float], Field(min_length=2, max_length=2)]] = Field(min_length=4, max_length=64)
    id: int | None = Field(None, ge=-(2**31), lt=2**31)
