"""The FastAPI application: its routes, and what stands around them. `docs/serving.md` describes it to its users."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from kie_ray.errors import Category
from kie_ray.records import Document
from pipelines.online.api.answer import encode_record
from pipelines.online.api.backend import Backend, NotReady
from pipelines.online.api.body import MemoryBudget
from pipelines.online.api.edge import CatchAll, Edge
from pipelines.online.api.keys import bearer_or_key
from pipelines.online.api.metrics import Metrics, NoMetrics, RequestSummary
from pipelines.online.api.openapi import (
    RECORD_EXAMPLE,
    build_document,
    document_body,
    problem_responses,
    query_parameters,
)
from pipelines.online.api.options import ExtractOptions, NoOptions, PreviewOptions, parse_options
from pipelines.online.api.page import load_page
from pipelines.online.api.problems import INVALID, Problem, of_item, respond
from pipelines.online.api.schemas import Health, ModelRecord, Models, Record
from pipelines.online.api.settings import ApiSettings
from pipelines.online.api.work import read_order

logger = logging.getLogger(__name__)

PREFIX = "/v1"
_CHECK_SECONDS = 10.0
_PAGES_AT_ONCE = 20  # a longer document, or a larger file, is hashed and encoded while other requests go on
_BYTES_AT_ONCE = 2**20
_DESCRIPTION = "Scanned forms in, key-value fields out. Errors are problem documents (RFC 9457)."
_PROBLEMS = (400, 408, 413, 415, 422, 500, 503, 504)


def build_api(backend: Backend, settings: ApiSettings | None = None, metrics: Metrics | None = None) -> FastAPI:
    """The endpoint's HTTP side over `backend`, as an ASGI application.

    Args:
        settings: limits, keys and origins; None: the default limits, open to everybody.
        metrics: told about every finished request.
    """
    settings = settings or ApiSettings()
    app = FastAPI(
        title="kie_ray",
        version=importlib.metadata.version("kie-ray"),
        summary="Key-value fields from scanned forms",
        description=_DESCRIPTION,
        docs_url=None,  # both would load scripts from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        middleware=_middleware(settings, metrics or NoMetrics()),
        exception_handlers={HTTPException: _http_problem},
    )
    app.include_router(_document_routes(backend, settings))
    app.include_router(_open_routes(backend))

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build_document(app, PREFIX if settings.keys.required else None)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _document_routes(backend: Backend, settings: ApiSettings) -> APIRouter:
    budget = MemoryBudget(settings.max_bytes_in_flight)

    async def check_key(request: Request) -> None:
        if not settings.keys.accept(bearer_or_key(request.headers)):
            challenge = {"WWW-Authenticate": 'Bearer realm="kie_ray"'}
            detail = "Send a valid key as `Authorization: Bearer KEY`"
            raise Problem(401, Category.FORBIDDEN, detail, headers=challenge)

    routes = APIRouter(prefix=PREFIX, dependencies=[Depends(check_key)])

    @routes.post(
        "/extract",
        summary="Labels, links and fields of a document",
        response_model=Record,
        responses={
            200: {"description": "The record", "content": {"application/json": {"example": RECORD_EXAMPLE}}},
            **problem_responses(*_PROBLEMS),
        },
        openapi_extra={"parameters": query_parameters(ExtractOptions), "requestBody": document_body(lines=True)},
    )
    async def extract(request: Request) -> Response:
        """Reads all pages and gives the record that the batch job would write as a row of `documents/`.

        A document of which some pages failed is a record with status `partial` that names them in `error`; a document
        that failed as a whole is a problem document.
        """
        options = parse_options(ExtractOptions, request.query_params)
        pictures = "pictures" in options.parts
        with budget.lease() as lease:
            order = await read_order(request, options, backend, settings, lease, pictures=pictures)
            extracted = await backend.extract(order.work)
            document = extracted.document
            _tell(request, document, len(document.pages))
            if document.error is not None and document.status == "failed":
                raise of_item(document.error)
            arguments = (extracted, order.origin, order.model, options.parts, options.min_score)
            if len(document.pages) > _PAGES_AT_ONCE or len(order.origin.content) > _BYTES_AT_ONCE or pictures:
                content = await asyncio.to_thread(encode_record, *arguments)
            else:
                content = encode_record(*arguments)
        return Response(content, media_type="application/json")

    @routes.post(
        "/preview",
        summary="A page with its entities and links drawn on it",
        response_class=PngResponse,
        responses={
            200: {
                "description": "The page",
                "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
            },
            **problem_responses(*_PROBLEMS),
        },
        openapi_extra={"parameters": query_parameters(PreviewOptions), "requestBody": document_body(lines=False)},
    )
    async def preview(request: Request) -> Response:
        """The body is that of `/v1/extract`, with a file."""
        options = parse_options(PreviewOptions, request.query_params)
        with budget.lease() as lease:
            order = await read_order(request, options, backend, settings, lease, needs_file=True)
            png, document = await backend.draw(order.work, options.page)
        _tell(request, document, 1)
        return PngResponse(png)

    @routes.get(
        "/models",
        summary="The models that are served",
        response_model=Models,
        responses=problem_responses(422, 500, 503),
    )
    async def models(request: Request) -> Response:
        """Every bundle with its labels; `default` marks the one that is used where a request names none."""
        parse_options(NoOptions, request.query_params)
        found = [ModelRecord(**asdict(model)) for model in await backend.models()]
        return _json(Models(models=found))

    return routes


def _open_routes(backend: Backend) -> APIRouter:
    routes = APIRouter()
    page = load_page()

    @routes.get(
        "/healthz",
        summary="Whether the endpoint is ready",
        response_model=Health,
        responses=problem_responses(500, 503),
    )
    async def healthz() -> Response:
        """200 only while OCR and the default model answer."""
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await backend.check()
        except NotReady:
            raise
        except Exception as error:
            logger.warning("the health check failed", exc_info=error)
            raise NotReady from error
        return _json(Health(status="ok"))

    @routes.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        if request.headers.get("if-none-match") == page.etag:
            return Response(status_code=304, headers=page.headers)
        return Response(page.content, headers=page.headers, media_type="text/html")

    return routes


class PngResponse(Response):
    """A picture."""

    media_type = "image/png"


def _middleware(settings: ApiSettings, metrics: Metrics) -> list[Middleware]:
    layers = [Middleware(Edge, settings=settings, metrics=metrics)]
    if settings.cors_origins:
        layers.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(settings.cors_origins),
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "X-API-Key", "Content-Type", "X-Request-ID"],
                expose_headers=["X-Request-ID", "Retry-After"],
            )
        )
    return [*layers, Middleware(CatchAll)]


async def _http_problem(request: Request, error: Exception) -> Response:
    """404 and 405 of the router; OPTIONS is answered with the methods that the path takes."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        methods = _methods(request)
        headers = {"Allow": ", ".join(methods)}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        detail = f"{request.method[:20]} is none of {', '.join(methods)}"
        return respond(request.scope, Problem(405, INVALID, detail, headers=headers))
    if error.status_code == 404:
        detail = "The paths are /v1/extract, /v1/preview, /v1/models, /healthz, /openapi.json and /"
        return respond(request.scope, Problem(404, Category.NOT_FOUND, detail))
    headers = dict(error.headers or {})
    return respond(request.scope, Problem(error.status_code, INVALID, str(error.detail), headers=headers))


def _methods(request: Request) -> list[str]:
    taken = set(getattr(request.scope.get("route"), "methods", None) or ())
    return sorted(taken | {"OPTIONS"} | ({"HEAD"} if "GET" in taken else set()))


def _tell(request: Request, document: Document, pages: int) -> None:
    summary: RequestSummary | None = request.scope.get("kie_ray.summary")
    if summary is not None:
        summary.stage_seconds, summary.pages = document.timings, pages
        summary.category = document.error.category if document.error is not None else None


def _json(answer: Models | Health) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")
