"""The record of a document as JSON: the row that the batch job would write, without what the request leaves out."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import to_json

from kie_ray.errors import Category
from kie_ray.reading import media_type
from kie_ray.records import Document
from kie_ray.schemas import SCHEMA_VERSION, document_to_row
from pipelines.ids import row_id
from pipelines.online.api.backend import Extracted, ModelInfo, Picture
from pipelines.online.api.problems import SEE_LOG

logger = logging.getLogger(__name__)

_LONG = ("pages", "fields")


@dataclass(frozen=True, slots=True)
class Origin:
    """What a record says of where it comes from. `content` is the file, or the JSON that came in its place."""

    name: str
    content: bytes
    is_file: bool
    ocr: str

    def row(self) -> dict[str, Any]:
        """The columns of a manifest row."""
        doc_id = hashlib.blake2b(self.content, digest_size=10).hexdigest()
        return {
            "row_id": row_id(doc_id, 0),
            "doc_id": doc_id,
            "uri": self.name,
            "size": len(self.content),
            "media_type": media_type(self.content) if self.is_file else None,
            "first_page": 0,
        }


def encode_record(
    extracted: Extracted, origin: Origin, model: ModelInfo, parts: Collection[str], min_score: float = 0.0
) -> bytes:
    """The record of a document that has pages, as UTF-8 JSON.

    Args:
        parts: of lines, links, fields, pictures: the keys that the record has.
        min_score: fields and links with a lower score are left out.
    """
    row = document_to_row(_without_secrets(extracted.document), origin.row(), _provenance(origin, model))
    members = dict.fromkeys(row, b"") | {name: _json(value) for name, value in row.items() if name not in _LONG}
    # Page by page: one call over a document of thousands of pages would hold the interpreter for a second.
    members["pages"] = _join(_json(_page(page, parts, min_score)) for page in row["pages"])
    if "fields" in parts:
        members["fields"] = _join(_json(item) for item in row["fields"] if not item["score"] < min_score)
    else:
        del members["fields"]
    if "pictures" in parts:
        members["pictures"] = _join(_json(_picture(*item)) for item in sorted(extracted.pictures.items()))
    return b"{" + b",".join(b'"%b":%b' % (name.encode(), value) for name, value in members.items()) + b"}"


def _page(page: Mapping[str, Any], parts: Collection[str], min_score: float) -> dict[str, Any]:
    kept = {name: page[name] for name in ("index", "width", "height")}
    if "lines" in parts:
        kept["lines"] = page["lines"]
    if "links" in parts:
        kept["links"] = [link for link in page["links"] if not link["score"] < min_score]
    return kept


def _picture(page: int, picture: Picture) -> dict[str, Any]:
    return {
        "page": page,
        "width": picture.width,
        "height": picture.height,
        "media_type": "image/jpeg",
        "data": base64.b64encode(picture.jpeg).decode("ascii"),
    }


def _provenance(origin: Origin, model: ModelInfo) -> dict[str, Any]:
    return {
        "kie_ray": importlib.metadata.version("kie-ray"),
        "schema_version": SCHEMA_VERSION,
        "fingerprint": model.fingerprint,
        "bundle": f"{model.bundle}:{model.fingerprint[:16]}",
        "ocr": origin.ocr,
    }


def _without_secrets(document: Document) -> Document:
    """What is said about a defect of ours is for the log."""
    error = document.error
    if error is None or error.category != Category.INTERNAL:
        return document
    logger.error("a page of %s failed in the %s stage: %s", document.uri, error.stage, error.message)
    return replace(document, error=replace(error, message=SEE_LOG))


def _join(items: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


def _json(value: Any) -> bytes:
    return to_json(value, inf_nan_mode="null")  # JSON has no NaN
