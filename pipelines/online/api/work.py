"""From a request about a document to the `Work` that a backend takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request

from kie_ray.errors import Category, Stage
from kie_ray.reading import media_type
from kie_ray.reading.magic import looks_like
from kie_ray.records import Page
from pipelines.online.api.answer import Origin
from pipelines.online.api.backend import Backend, ModelInfo, NeedsImage, NotReady, UnknownModel, Work
from pipelines.online.api.body import Lease, read_body
from pipelines.online.api.given import parse_annotations, parse_lines
from pipelines.online.api.names import clean_name
from pipelines.online.api.options import Options
from pipelines.online.api.problems import Problem, invalid
from pipelines.online.api.settings import ApiSettings

_PARSED_AT_ONCE = 128 * 2**10  # bytes of JSON that may hold up other requests

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Order:
    """A document as the client ordered it: for the backend, and for the record."""

    work: Work
    origin: Origin
    model: ModelInfo


async def read_order(
    request: Request,
    options: Options,
    backend: Backend,
    settings: ApiSettings,
    lease: Lease,
    *,
    pictures: bool = False,
    needs_file: bool = False,
) -> Order:
    """Read and check everything that a request brings.

    Args:
        lease: takes account of the body's memory.
        pictures: whether pictures of the pages are wanted.
        needs_file: refuse lines without a file.

    Raises:
        Problem: what is wrong with body, file or lines.
        Busy, NotReady, RequestError, ClientDisconnect: see `problems.of_exception`.
    """
    model = await _chosen(backend, options.model)
    body = await read_body(request, settings, lease)
    if body.lines is not None:
        if needs_file or pictures:
            raise invalid("there is no page to draw without a file: send one, not only its lines")
        name, pages = await _parsed(parse_lines, body.lines, settings)
        if model.sees_images:
            raise NeedsImage(model.name)
        origin = Origin(clean_name(options.name or name), body.lines, False, "annotations")
        return Order(Work(origin.name, model.name, pages=_named(pages, origin.name)), origin, model)
    assert body.data is not None
    name = clean_name(options.name or body.name)
    _check_file(name, body.data)
    given = None
    if body.annotations is not None:
        given = _named(await _parsed(parse_annotations, body.annotations, settings), name)
    origin = Origin(name, body.data, True, model.ocr if given is None else "annotations")
    return Order(Work(name, model.name, body.data, given, pictures), origin, model)


def _check_file(name: str, data: bytes) -> None:
    if not data:
        raise Problem(400, Category.EMPTY, f"{name}: the file has no bytes", Stage.READ)
    if media_type(data) is None:
        detail = f"{name}: looks like {looks_like(data)}; JPEG, PNG, TIFF, BMP, WebP and PDF are read"
        raise Problem(415, Category.UNSUPPORTED, detail, Stage.READ)


def _named(pages: list[Page], name: str) -> list[Page]:
    for page in pages:
        page.source = name
    return pages


async def _parsed(parse: Callable[[bytes, ApiSettings], T], raw: bytes, settings: ApiSettings) -> T:
    if len(raw) <= _PARSED_AT_ONCE:
        return parse(raw, settings)
    return await asyncio.to_thread(parse, raw, settings)


async def _chosen(backend: Backend, name: str | None) -> ModelInfo:
    models = await backend.models()
    for model in models:
        if model.default if name is None else model.name == name:
            return model
    if name is None:
        raise NotReady("no model is the default one")
    raise UnknownModel(name, [model.name for model in models])
