"""The clients against the endpoint's own HTTP side: what they return is what the Extractor gives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kie_ray import Extractor
from kie_ray.client import ApiError, PicturedDocument
from kie_ray.datasets import read_labels, with_sizes
from kie_ray.errors import Category, Stage
from kie_ray.limits import Limits
from kie_ray.ocr import OcrSettings
from kie_ray.records import Document, Page
from pipelines.online.api.keys import Keys
from pipelines.online.api.settings import ApiSettings
from tests.job_support import make_bundle, make_pages
from tests.kie_ray.client.scripted import KINDS
from tests.pipelines.online.local_backend import LocalBackend, serving

KEY = "key-for-the-tests"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("client")
    make_bundle(base / "tiny")
    make_pages(base, 3)
    return base


@pytest.fixture(scope="module")
def extractor(folder: Path) -> Iterator[Extractor]:
    settings = OcrSettings(engine="annotations", annotations=str(folder / "labels.txt"))
    with Extractor.load(folder / "tiny", ocr=settings) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    settings = OcrSettings(engine="annotations", annotations=str(folder / "labels.txt"))
    backend = LocalBackend.load(folder / "tiny", ocr=settings)
    limits = Limits(max_bytes=2**20)
    with serving(backend, ApiSettings(limits=limits, keys=Keys([KEY]))) as address:
        yield address
    backend.close()


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, url: str) -> Iterator[Any]:
    with KINDS[request.param](url, KEY, timeout=60) as client:
        yield client


def same(found: Document, expected: Document) -> bool:
    """Everything but the id, which the endpoint makes from the bytes, and the seconds."""
    named = [replace(page, source="") for page in found.pages]
    return named == [replace(page, source="") for page in expected.pages] and found.error == expected.error


def test_a_file_gives_what_the_extractor_gives(client: Any, extractor: Extractor, folder: Path) -> None:
    path = folder / "image/page_00001.png"
    found, expected = client.extract(path), extractor.extract(path)
    assert expected.fields
    assert same(found, expected)
    assert found.uri == "page_00001.png"
    assert set(found.timings) == set(expected.timings)
    scores = sorted(item.score for item in expected.fields)
    middle = scores[len(scores) // 2]
    kept = client.extract(path.read_bytes(), name=path.name, min_score=middle)
    assert len(kept.fields) == sum(score >= middle for score in scores)
    assert len(kept.pages[0].lines) == 4


def test_lines_give_what_the_file_gives(client: Any, extractor: Extractor, folder: Path) -> None:
    pages = with_sizes(read_labels(folder / "labels.txt"), folder / "image")
    expected = [extractor.extract(folder / "image" / page.source) for page in pages]
    found = client.extract_pages(pages, name="three.json")
    assert [page.index for page in found.pages] == [0, 1, 2]
    alone = [Document("", "", [replace(page, index=0)]) for page in found.pages]
    assert all(same(one, other) for one, other in zip(alone, expected, strict=True))


def test_annotations_give_what_the_label_file_gives(client: Any, extractor: Extractor, folder: Path) -> None:
    path = folder / "image/page_00002.png"
    rows = dict(row.split("\t") for row in (folder / "labels.txt").read_text().splitlines())
    found = client.extract(path, name="任意 名称.png", annotations=json.loads(rows[path.name]))
    assert same(found, extractor.extract(path))
    assert found.uri == "任意 名称.png"


def test_many_files_with_bad_ones_between(client: Any, extractor: Extractor, folder: Path) -> None:
    paths = sorted((folder / "image").iterdir())
    sources = [paths[0], b"no picture", paths[1], folder / "nowhere.png", b"", paths[2]]
    results = list(client.extract_many(sources, concurrency=4))
    assert [source for source, _ in results] == sources
    errors = [one.error and (one.error.stage, one.error.category) for _, one in results]
    assert errors[1::2] == [(Stage.READ, Category.UNSUPPORTED), (Stage.FETCH, Category.NOT_FOUND), None]
    assert errors[4] == (Stage.READ, Category.EMPTY)
    for source, document in results:
        if source in paths:
            assert same(document, extractor.extract(source))


def test_pictures_previews_and_models(client: Any, folder: Path) -> None:
    path = folder / "image/page_00000.png"
    document = client.extract(path, pictures=True)
    assert isinstance(document, PicturedDocument)
    (picture,) = document.pictures
    assert (picture.page, picture.width, picture.height) == (0, 200, 70)
    assert picture.data.startswith(b"\xff\xd8")
    assert client.preview(path).startswith(b"\x89PNG")
    (model,) = client.models()
    assert (model.name, model.tasks, model.default, model.ocr) == ("default", ("ser", "re"), True, "annotations")
    assert client.health()


def test_errors_of_the_real_thing(client: Any, folder: Path, tmp_path: Path) -> None:
    path = folder / "image/page_00000.png"
    big = tmp_path / "big.png"
    big.write_bytes(bytes(8 * 2**20))
    cases = [
        (lambda: client.extract(b"text"), 415, Stage.READ, Category.UNSUPPORTED, False),
        (lambda: client.extract(big), 413, None, Category.TOO_LARGE, False),
        (lambda: client.extract(path, model="unknown"), 422, None, Category.UNSUPPORTED, True),
        (lambda: client.extract(path, min_score=7), 422, None, Category.UNSUPPORTED, True),
        (lambda: client.extract(path, name="of another folder.png"), 422, Stage.OCR, Category.NO_ANNOTATION, False),
        (lambda: client.preview(path, page=9), 422, None, Category.UNSUPPORTED, True),
        (lambda: client.extract_pages([Page(0, 0, 10)]), 422, None, Category.UNSUPPORTED, True),
    ]
    for call, status, stage, category, about_request in cases:
        with pytest.raises(ApiError) as caught:
            call()
        error = caught.value
        assert (error.status, error.item.category, error.about_request) == (status, category, about_request), error
        assert stage is None or error.item.stage == stage
        assert error.request_id


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_key_nothing_is_tried_twice(url: str, kind: str, folder: Path) -> None:
    paths = sorted((folder / "image").iterdir())
    with KINDS[kind](url, "another") as client:
        with pytest.raises(ApiError) as caught:
            list(client.extract_many(paths))
        assert client.health()
    assert caught.value.status == 401
    assert "another" not in str(caught.value)


def test_many_tasks_share_an_async_client(url: str, folder: Path) -> None:
    from kie_ray.client import AsyncClient

    async def run() -> list[Document]:
        paths = sorted((folder / "image").iterdir())
        async with AsyncClient(url, KEY) as client:
            return await asyncio.gather(*(client.extract(paths[number % 3]) for number in range(24)))

    names = [document.uri for document in asyncio.run(run())]
    assert names == [f"page_{number % 3:05d}.png" for number in range(24)]
