"""The parts of the OpenAPI document that FastAPI cannot know: streamed bodies, options, problems, keys."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from kie_ray.reading.magic import SUPPORTED
from kie_ray.schemas import SCHEMA_VERSION
from pipelines.online.api.multipart import ANNOTATIONS, FILE
from pipelines.online.api.problems import MEDIA_TYPE, TITLES, Problem
from pipelines.online.api.schemas import Annotation, GivenDocument, ProblemDocument

_REF = "#/components/schemas/{model}"

_POINTS = [91, 142, 131, 142, 131, 163, 91, 163]
LINES_EXAMPLE = {
    "name": "form.jpg",
    "pages": [
        {
            "width": 1240,
            "height": 1754,
            "lines": [
                {"text": "Name", "points": _POINTS, "id": 0, "ocr_score": 0.98},
                {"text": "Ada Lovelace", "points": [148, 142, 272, 142, 272, 164, 148, 164], "id": 1},
            ],
        }
    ],
}
ANNOTATIONS_EXAMPLE = [
    {"transcription": "Name", "points": [[91, 142], [131, 142], [131, 163], [91, 163]], "id": 0},
    {"transcription": "Ada Lovelace", "points": [[148, 142], [272, 142], [272, 164], [148, 164]], "id": 1},
]

_LINE = {"ocr_score": 0.98, "label_score": 0.97}
_VALUE_POINTS = [148, 142, 272, 142, 272, 164, 148, 164]
RECORD_EXAMPLE: dict[str, Any] = {
    "row_id": "5f1c0f2d9d6ae1b7c8a3-000000",
    "doc_id": "5f1c0f2d9d6ae1b7c8a3",
    "uri": "form.jpg",
    "size": 120_345,
    "etag": None,
    "media_type": "image/jpeg",
    "first_page": 0,
    "last_page": None,
    "status": "ok",
    "error": None,
    "pages": [
        {
            "index": 0,
            "width": 1240,
            "height": 1754,
            "lines": [
                {"id": 0, "text": "Name", "points": _POINTS, "label": "QUESTION", **_LINE},
                {"id": 1, "text": "Ada Lovelace", "points": _VALUE_POINTS, "label": "ANSWER", **_LINE},
            ],
            "links": [{"key_line": 0, "value_line": 1, "score": 0.96}],
        }
    ],
    "fields": [
        {
            "page": 0,
            "key": "Name",
            "value": "Ada Lovelace",
            "score": 0.9,
            "key_lines": [0],
            "value_lines": [1],
            "key_box": [91, 142, 131, 163],
            "value_box": [148, 142, 272, 164],
        }
    ],
    "timings": {"fetch": 0, "read": 0.02, "ocr": 0.4, "ser": 0.05, "re": 0.01, "fields": 0.001},
    "provenance": {
        "kie_ray": "0.1.0",
        "schema_version": SCHEMA_VERSION,
        "fingerprint": "9f2c" * 16,
        "bundle": "kie_ray-small-zh-en:9f2c9f2c9f2c9f2c",
        "ocr": "rapidocr",
    },
}

_EXAMPLES: dict[int, tuple[str, str, str, bool]] = {
    400: ("corrupt", "read", "form.jpg: the JPEG is damaged: it is truncated", False),
    401: ("forbidden", "request", "Send a valid key as `Authorization: Bearer KEY`", False),
    408: ("timeout", "request", "The body did not arrive within 120 seconds", True),
    413: ("too_large", "request", "the file is over the limit of 268435456 bytes", False),
    415: ("unsupported", "read", "form.docx: looks like a ZIP archive (or an office document such as .docx)", False),
    422: (
        "invalid_request",
        "request",
        'pages[0].lines[3].points[2] = "a": it must be a finite number',
        False,
    ),
    500: ("internal", "ser", "The server failed; its log says why under this request_id", True),
    503: ("unavailable", "request", "The server is busy; try again after Retry-After seconds", True),
    504: ("timeout", "request", "The document was not finished within 120 seconds; send fewer pages at a time", True),
}
_REQUEST_ID = {"description": "Names this request in the server's log", "schema": {"type": "string"}}
_RETRY_AFTER = {"description": "Seconds to wait before trying again", "schema": {"type": "integer", "minimum": 1}}
_CHALLENGE = {"description": "How to send a key", "schema": {"type": "string"}}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with problem documents."""
    return {status: _problem_response(status) for status in statuses}


def query_parameters(options: type[BaseModel]) -> list[dict[str, Any]]:
    """The `parameters` of a route whose query is `options`."""
    parameters = []
    for name, schema in options.model_json_schema()["properties"].items():
        shape = {key: value for key, value in schema.items() if key not in ("title", "description")}
        if "anyOf" in shape:  # an option that is left out is not there; it is never null
            (some,) = [choice for choice in shape.pop("anyOf") if choice.get("type") != "null"]
            shape |= some
        if shape.get("default") is None:
            shape.pop("default", None)
        parameters.append(
            {"name": name, "in": "query", "required": False, "description": schema["description"], "schema": shape}
        )
    return parameters


def document_body(*, lines: bool) -> dict[str, Any]:
    """The `requestBody` of a route that takes a document; `lines`: also as JSON without a file."""
    line = {"$ref": _REF.format(model=Annotation.__name__)}
    page = {"type": "array", "items": line}
    form = {
        "type": "object",
        "required": [FILE],
        "additionalProperties": False,
        "properties": {
            FILE: {"type": "string", "format": "binary", "description": "one image or PDF"},
            ANNOTATIONS: {
                "description": "PaddleOCR's JSON: the lines of the page, or a list of such lists, one a page; "
                "they are taken in place of OCR",
                "anyOf": [page, {"type": "array", "items": page, "minItems": 1}],
                "examples": [ANNOTATIONS_EXAMPLE],
            },
        },
    }
    content: dict[str, Any] = {
        "multipart/form-data": {"schema": form, "encoding": {ANNOTATIONS: {"contentType": "application/json"}}}
    }
    if lines:
        reference = {"$ref": _REF.format(model=GivenDocument.__name__)}
        content["application/json"] = {"schema": reference, "examples": {"a form": {"value": LINES_EXAMPLE}}}
    for kind in (*SUPPORTED, "application/octet-stream"):
        content[kind] = {"schema": {"type": "string", "format": "binary"}}
    return {
        "required": True,
        "description": "The file decides by its first bytes what it is; its name and the Content-Type do not.",
        "content": content,
    }


def build_document(app: FastAPI, keyed_prefix: str | None) -> dict[str, Any]:
    """The OpenAPI document of `app`. `keyed_prefix`: of the paths that need a key; None where none does."""
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    _, more = models_json_schema(
        [(model, "validation") for model in (ProblemDocument, GivenDocument, Annotation)],
        ref_template=_REF,
    )
    schemas.update(more["$defs"])
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    operations = [(path, operation) for path, item in document["paths"].items() for operation in item.values()]
    for path, operation in operations:
        for response in operation["responses"].values():
            response.setdefault("headers", {})["X-Request-ID"] = _REQUEST_ID
        if keyed_prefix is not None and path.startswith(keyed_prefix):
            operation["security"] = [{"bearer": []}, {"key": []}]
            operation["responses"]["401"] = _problem_response(401)
    if keyed_prefix is not None:
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
    return document


def _problem_response(status: int) -> dict[str, Any]:
    category, stage, detail, retryable = _EXAMPLES[status]
    example = Problem(status, category, detail, stage, retryable).body("0b5f3a9e2c6d4f31")
    headers: dict[str, Any] = {"X-Request-ID": _REQUEST_ID}
    if status == 503:
        headers["Retry-After"] = _RETRY_AFTER
    if status == 401:
        headers["WWW-Authenticate"] = _CHALLENGE
    schema = {"$ref": _REF.format(model=ProblemDocument.__name__)}
    return {
        "description": TITLES[status],
        "headers": headers,
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }
