"""The OpenAPI document is valid, says what is true, and random requests made from it get the answers it promises."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import validate
from pydantic import BaseModel
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kie_ray import schemas as tables
from kie_ray.errors import Category
from kie_ray.reading.magic import SUPPORTED
from pipelines.online.api import schemas
from pipelines.online.api.app import build_api
from pipelines.online.api.given import MAX_TEXT, parse_annotations, parse_lines
from pipelines.online.api.keys import Keys
from pipelines.online.api.openapi import ANNOTATIONS_EXAMPLE, LINES_EXAMPLE, RECORD_EXAMPLE
from pipelines.online.api.options import PARTS
from pipelines.online.api.problems import INVALID, STATUS, TITLES
from pipelines.online.api.settings import ApiSettings
from tests.pipelines.online.api.support import PNG, Scripted, client

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = client(Scripted()).get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{method} {path}": body for path, item in document["paths"].items() for method, body in item.items()}


def test_it_is_valid(document: dict[str, Any]) -> None:
    validate(document)
    assert set(operations(document)) == {"post /v1/extract", "post /v1/preview", "get /v1/models", "get /healthz"}


def test_bodies_options_and_problems(document: dict[str, Any]) -> None:
    extract, preview = (operations(document)[f"post /v1/{name}"] for name in ("extract", "preview"))
    content = extract["requestBody"]["content"]
    assert {"multipart/form-data", "application/json", "application/pdf", "image/tiff"} <= set(content)
    assert "application/json" not in preview["requestBody"]["content"]
    parameters = {item["name"]: item["schema"] for item in extract["parameters"]}
    assert set(parameters) == {"model", "name", "min_score", "include"}
    assert (parameters["min_score"]["minimum"], parameters["min_score"]["maximum"]) == (0, 1)
    assert all(part in parameters["include"]["pattern"] for part in PARTS)
    for operation in (extract, preview):
        assert set(operation["responses"]) == {"200", "400", "408", "413", "415", "422", "500", "503", "504"}
    for operation in operations(document).values():
        for status, response in operation["responses"].items():
            assert "X-Request-ID" in response["headers"]
            if status == "200":
                continue
            (kind,) = response["content"]
            assert kind == "application/problem+json"
            schemas.ProblemDocument.model_validate(response["content"][kind]["example"])
        assert ("503" in operation["responses"]) == ("Retry-After" in operation["responses"]["503"]["headers"])
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_keys_are_told_where_they_are_needed(document: dict[str, Any]) -> None:
    assert not [name for name, operation in operations(document).items() if "security" in operation]
    assert "securitySchemes" not in document["components"]
    keyed = client(Scripted(), ApiSettings(keys=Keys(["a-key"]))).get("/openapi.json").json()
    validate(keyed)
    for name, operation in operations(keyed).items():
        assert (" /v1/" in name) == ("security" in operation) == ("401" in operation["responses"])
    assert set(keyed["components"]["securitySchemes"]) == {"bearer", "key"}


def test_examples_are_true() -> None:
    schemas.Record.model_validate(RECORD_EXAMPLE)
    schemas.GivenDocument.model_validate(LINES_EXAMPLE)
    parse_lines(json.dumps(LINES_EXAMPLE).encode(), ApiSettings())
    parse_annotations(json.dumps(ANNOTATIONS_EXAMPLE).encode(), ApiSettings())
    assert set(STATUS.values()) <= set(TITLES)


@pytest.mark.parametrize(
    ("model", "table"),
    [
        (schemas.Record, tables.DOCUMENT_SCHEMA),
        (schemas.PageRecord, tables.PAGE_TYPE),
        (schemas.LineRecord, tables.LINE_TYPE),
        (schemas.LinkRecord, tables.LINK_TYPE),
        (schemas.FieldRecord, tables.FIELD_TYPE),
        (schemas.ErrorRecord, tables.ERROR_TYPE),
        (schemas.TimingsRecord, tables.TIMINGS_TYPE),
        (schemas.ProvenanceRecord, tables.PROVENANCE_TYPE),
    ],
)
def test_records_are_rows_of_the_batch_job(model: type[BaseModel], table: Any) -> None:
    names = [item.name for item in table]
    assert [name for name in model.model_fields if name != "pictures"] == names


def test_models_say_what_the_parsers_do() -> None:
    assert schemas.GivenLine.model_json_schema()["properties"]["text"]["maxLength"] == MAX_TEXT
    kinds = schemas.ProblemDocument.model_json_schema()["properties"]["category"]["anyOf"]
    assert {"const": INVALID, "type": "string"} in kinds
    assert set(schemas.ProblemDocument.model_json_schema()["$defs"]["Category"]["enum"]) == set(Category)


def test_answers_are_what_the_models_say() -> None:
    connection = client(Scripted())
    for include in ("lines,links,fields", "fields,pictures", "lines"):
        body = connection.post(f"/v1/extract?include={include}", content=PNG).content
        schemas.Record.model_validate_json(body, strict=False)
    schemas.Models.model_validate_json(connection.get("/v1/models").content)
    schemas.Health.model_validate_json(connection.get("/healthz").content)
    schemas.ProblemDocument.model_validate_json(connection.get("/nowhere").content)


for kind in SUPPORTED:
    schemathesis.serializer.alias(kind, "application/octet-stream")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("post", "/v1/extract", {200, 415, 422}),
        ("post", "/v1/preview", {415, 422}),
        ("get", "/v1/models", {200}),
        ("get", "/healthz", {200}),
    ],
)
def test_random_requests_get_promised_answers(method: str, path: str, expected: set[int]) -> None:
    api = schemathesis.openapi.from_asgi("/openapi.json", build_api(Scripted()))
    seen: Counter[int] = Counter()

    @given(case=api[path][method].as_strategy())
    @settings(max_examples=50, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def check(case: schemathesis.Case) -> None:
        seen[case.call_and_validate(checks=CHECKS).status_code] += 1

    check()
    assert expected <= set(seen), seen
