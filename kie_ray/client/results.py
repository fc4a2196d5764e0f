"""What the endpoint answers, as the library's own types."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

import httpx2

from kie_ray.client.errors import not_understood
from kie_ray.records import Document
from kie_ray.schemas import row_to_document

_WRONG = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What JSON of another shape makes of the code that reads it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Page `page` (0-based) as the server drew it; `width` and `height` are the picture's own pixels."""

    page: int
    width: int
    height: int
    media_type: str
    data: bytes = field(repr=False)


@dataclass(slots=True)
class PicturedDocument(Document):
    """A `Document` and the pictures of its pages."""

    pictures: list[Picture] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A bundle that the endpoint serves. `tasks`: ser, re. `ocr`: the engine that reads the lines for it."""

    name: str
    fingerprint: str
    tasks: tuple[str, ...]
    labels: tuple[str, ...]
    default: bool
    sees_images: bool
    ocr: str


def document_of(response: httpx2.Response) -> Document:
    """A record as a `Document`; as a `PicturedDocument` where it has pictures. Raises ApiError: the body is none."""
    try:
        record = response.json()
        document = row_to_document(record)
        if "pictures" not in record:
            return document
        pictures = [
            Picture(item["page"], item["width"], item["height"], item["media_type"], base64.b64decode(item["data"]))
            for item in record["pictures"]
        ]
    except _WRONG as error:
        raise not_understood(response, "document record") from error
    return PicturedDocument(
        document.doc_id, document.uri, document.pages, document.error, document.timings, pictures=pictures
    )


def models_of(response: httpx2.Response) -> list[ServedModel]:
    """The list of models. Raises ApiError: the body is none."""
    try:
        return [
            ServedModel(
                item["name"],
                item["fingerprint"],
                tuple(item["tasks"]),
                tuple(item["labels"]),
                item["default"],
                item["sees_images"],
                item["ocr"],
            )
            for item in response.json()["models"]
        ]
    except _WRONG as error:
        raise not_understood(response, "list of models") from error


def picture_of(response: httpx2.Response) -> bytes:
    """A PNG file. Raises ApiError: the body is none."""
    if not response.content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise not_understood(response, "PNG picture")
    return response.content
