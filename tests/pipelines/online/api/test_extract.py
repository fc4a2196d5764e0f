"""Real documents through reader, lines, models and HTTP: the same records as the library gives."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

import kie_ray
from kie_ray import Extractor
from kie_ray.datasets import read_labels
from kie_ray.errors import Category
from kie_ray.limits import Limits
from kie_ray.ocr import OcrSettings
from kie_ray.schemas import document_to_row
from pipelines.online.api.schemas import Record
from pipelines.online.api.settings import ApiSettings
from tests.faults.test_hostile_files import HOSTILE, LIMITS, pdf, pdf_of_many
from tests.job_support import draw_page
from tests.pipelines.online.api.support import client, problem
from tests.pipelines.online.local_backend import LocalBackend, serving

SAMPLES = Path(kie_ray.__file__).parent / "samples"
FILES = [SAMPLES / page.source for page in read_labels(SAMPLES / "labels.txt")]


@pytest.fixture(scope="module")
def extractor() -> Iterator[Extractor]:
    labels = OcrSettings(engine="annotations", annotations=str(SAMPLES / "labels.txt"))
    with Extractor.load(ocr=labels) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def connection(extractor: Extractor) -> Any:
    return client(LocalBackend(extractor))


def row(document: kie_ray.Document) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(document_to_row(document, {})))
    return {name: made[name] for name in ("status", "error", "pages", "fields")}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_records_equal_those_of_the_extractor(extractor: Extractor, connection: Any, file: Path) -> None:
    response = connection.post("/v1/extract", files={"file": (file.name, file.read_bytes())})
    body = response.json()
    expected = row(extractor.extract(file))
    assert {name: body[name] for name in expected} == expected
    assert body["fields"]
    Record.model_validate_json(response.content)


def test_a_document_that_the_label_file_does_not_name(connection: Any) -> None:
    files = {"file": ("nobody.png", (SAMPLES / "zh_health_check.png").read_bytes())}
    problem(connection.post("/v1/extract", files=files), 422, "no_annotation")


def test_three_ways_to_give_lines_give_one_record(extractor: Extractor, connection: Any) -> None:
    rows = (SAMPLES / "labels.txt").read_text(encoding="utf-8").splitlines()
    name, _, annotations = rows[0].partition("\t")
    data = (SAMPLES / name).read_bytes()
    by_engine = connection.post(f"/v1/extract?name={name}", content=data).json()
    by_part = connection.post("/v1/extract", files={"file": ("other.jpg", data), "annotations": annotations.encode()})
    page = by_engine["pages"][0]
    lines = [{key: line[key] for key in ("id", "text", "points", "ocr_score")} for line in page["lines"]]
    given = {"name": name, "pages": [{"width": page["width"], "height": page["height"], "lines": lines}]}
    by_json = connection.post("/v1/extract", json=given)
    for other in (by_part.json(), by_json.json()):
        assert (other["pages"], other["fields"]) == (by_engine["pages"], by_engine["fields"])
        assert other["provenance"]["ocr"] == "annotations"
    assert by_part.json()["doc_id"] == by_engine["doc_id"]


def test_annotations_for_another_number_of_pages(connection: Any) -> None:
    files = {"file": ("two.pdf", pdf(2)), "annotations": b"[]"}
    body = problem(connection.post("/v1/extract", files=files), 422, "invalid_request")
    assert body["detail"] == "annotations: lines of 1 pages are given, the document has 2"
    files["annotations"] = b"[[], []]"
    assert len(connection.post("/v1/extract", files=files).json()["pages"]) == 2


def test_pictures_and_preview(connection: Any) -> None:
    stream = io.BytesIO()
    frames = [Image.new("RGB", size, "white") for size in ((2000, 500), (60, 40))]
    frames[0].save(stream, "TIFF", save_all=True, append_images=frames[1:])
    line = [{"transcription": "Name:", "points": [[5, 5], [50, 5], [50, 20], [5, 20]]}]
    files = {"file": ("two.tif", stream.getvalue()), "annotations": json.dumps([line, line]).encode()}
    body = connection.post("/v1/extract?include=pictures", files=files).json()
    sizes = [(picture["page"], picture["width"], picture["height"]) for picture in body["pictures"]]
    assert sizes == [(0, 1600, 400), (1, 60, 40)]
    for picture in body["pictures"]:
        image = Image.open(io.BytesIO(base64.b64decode(picture["data"], validate=True)))
        assert (image.format, image.size) == ("JPEG", (picture["width"], picture["height"]))
    drawn = connection.post("/v1/preview?page=1", files=files)
    assert np.asarray(Image.open(io.BytesIO(drawn.content))).shape == (40, 60, 3)
    body = problem(connection.post("/v1/preview?page=2", files=files), 422)
    assert body["detail"] == "page = 2: the document has pages 0 to 1"


def test_a_broken_page_leaves_the_others() -> None:
    stream = io.BytesIO()
    frames = [Image.new("RGB", size, "white") for size in ((60, 40), (3000, 3000), (50, 30))]
    frames[0].save(stream, "TIFF", save_all=True, append_images=frames[1:])
    labels = OcrSettings(engine="annotations", annotations=str(SAMPLES / "labels.txt"))
    with Extractor.load(ocr=labels, limits=Limits(max_pixels=1_000_000)) as extractor:
        connection = client(LocalBackend(extractor))
        files = {"file": ("three.tif", stream.getvalue()), "annotations": b"[[], [], []]"}
        body = connection.post("/v1/extract", files=files).json()
        assert (body["status"], body["error"]["category"], body["error"]["page"]) == ("partial", "too_large", 1)
        assert [page["index"] for page in body["pages"]] == [0, 2]
        refused = problem(connection.post("/v1/preview?page=1", files=files), 413, "too_large")
        assert refused["page"] == 1


def test_the_default_engine_reads_a_small_page() -> None:
    stream = io.BytesIO()
    draw_page(7, (400, 140)).save(stream, "PNG")
    backend = LocalBackend.load()
    try:
        body = client(backend).post("/v1/extract?name=form.png", content=stream.getvalue()).json()
    finally:
        backend.close()
    assert body["provenance"]["ocr"] == "rapidocr"
    texts = [line["text"] for line in body["pages"][0]["lines"]]
    assert any("Lovelace" in text for text in texts), texts


EXPECTED = {
    Category.EMPTY: 400,
    Category.CORRUPT: 400,
    Category.ENCRYPTED: 400,
    Category.CRASH: 400,
    Category.TOO_LARGE: 413,
    Category.TOO_MANY_PAGES: 413,
    Category.UNSUPPORTED: 415,
}
SCRIPTED_DECODER = ("hang", "crash", "memory bomb", "exit", "short page")


def test_hostile_uploads_get_their_status_and_the_server_goes_on(extractor: Extractor) -> None:
    good = (SAMPLES / "zh_job_application.jpg").read_bytes()
    labels = OcrSettings(engine="annotations", annotations=str(SAMPLES / "labels.txt"))
    with Extractor.load(ocr=labels, limits=LIMITS) as guarded:
        settings = ApiSettings(limits=LIMITS)
        with serving(LocalBackend(guarded), settings) as address, httpx2.Client(base_url=address, timeout=60) as api:
            for name, (data, category, _) in HOSTILE.items():
                if name in SCRIPTED_DECODER:
                    continue
                for path in ("/v1/extract", "/v1/preview"):
                    response = api.post(path, files={"file": ("form.png", data)})
                    body = problem(response, EXPECTED[category], category)
                    assert body["detail"].startswith("form.png: "), name
            response = api.post("/v1/extract?name=zh_job_application.jpg", content=good)
            assert response.status_code == 200, response.text
            assert response.json()["fields"] == row(extractor.extract(good, name="zh_job_application.jpg"))["fields"]


def test_over_real_sockets_an_upload_over_the_limit_is_told_so(extractor: Extractor) -> None:
    """The answer reaches the client though the server stops reading in the middle of the body."""

    def endless() -> Iterator[bytes]:
        for _ in range(3_000):
            yield bytes(2**15)

    settings = ApiSettings(limits=Limits(max_bytes=200_000))
    with serving(LocalBackend(extractor), settings) as address, httpx2.Client(base_url=address, timeout=60) as api:
        problem(api.post("/v1/extract", content=endless()), 413, "too_large")
        problem(api.post("/v1/extract", content=bytes(50_000_000)), 413, "too_large")
        problem(api.post("/v1/extract", files={"file": ("a.png", bytes(50_000_000))}), 413, "too_large")
        problem(api.post("/v1/extract", content=pdf_of_many(20_000)), 413)
        assert api.get("/healthz").status_code == 200
