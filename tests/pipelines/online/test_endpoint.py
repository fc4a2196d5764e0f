"""The whole endpoint on a real Ray Serve: its answers, several bundles, thresholds without restart, metrics."""

from __future__ import annotations

import io
import json
import re
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kie_ray import Extractor
from kie_ray.records import Line, Page
from kie_ray.schemas import document_to_row
from tests.job_support import LINES, draw_page, make_bundle
from tests.pipelines.online.serve_support import Answer, Endpoint, endpoint, multipart, replica_pids, wait_until

SAMPLES = Path(__file__).resolve().parents[3] / "kie_ray/samples"
READ_BY_OCR = ("en_product_test.pdf", "zh_health_check.png")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="module")
def arguments(tiny: Path) -> dict[str, Any]:
    return {"bundles": {"default": None, "tiny": str(tiny)}, "max_bundles_per_replica": 1}


@pytest.fixture(scope="module")
def running(arguments: dict[str, Any]) -> Iterator[Endpoint]:
    with endpoint(arguments) as made:
        yield made


@pytest.fixture(scope="module")
def extractor() -> Iterator[Extractor]:
    with Extractor.load() as made:
        yield made


def form_lines(number: int) -> list[dict[str, Any]]:
    """Two key-value pairs as PaddleOCR writes them."""
    return [
        {
            "transcription": text if index != 3 else str(number),
            "points": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]],
            "id": 10 * index,
        }
        for index, (text, (x0, y0, x1, y1)) in enumerate(LINES)
    ]


def form_page(number: int) -> dict[str, Any]:
    """The same as a page of a JSON body."""
    lines = [
        {
            "text": line["transcription"],
            "points": [value for point in line["points"] for value in point],
            "id": line["id"],
        }
        for line in form_lines(number)
    ]
    return {"width": 200, "height": 70, "lines": lines}


def png(number: int) -> bytes:
    stream = io.BytesIO()
    draw_page(number).save(stream, "PNG")
    return stream.getvalue()


def assert_same(found: Any, expected: Any, path: str = "record") -> None:
    """Equal, numbers within 1e-4."""
    if isinstance(expected, dict):
        assert set(found) == set(expected), path
        for name, value in expected.items():
            assert_same(found[name], value, f"{path}.{name}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), path
        for index, value in enumerate(expected):
            assert_same(found[index], value, f"{path}[{index}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-4), path
    else:
        assert found == expected, path


def expected_row(extractor: Extractor, name: str) -> dict[str, Any]:
    return document_to_row(extractor.extract((SAMPLES / name).read_bytes(), name=name), {})


def test_answers_are_those_of_the_extractor(running: Endpoint, extractor: Extractor) -> None:
    """Asked for at the same time, so that pages of different documents share the calls of engine and models."""

    def ask(name: str) -> Answer:
        return running.ask(f"/v1/extract?name={name}", (SAMPLES / name).read_bytes(), timeout=280)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(ask, READ_BY_OCR))
    for name, answer in zip(READ_BY_OCR, answers, strict=True):
        assert answer.status == 200, answer.body
        record, expected = answer.json(), expected_row(extractor, name)
        assert record["status"] == "ok"
        assert record["uri"] == name
        assert expected["fields"]
        for part in ("pages", "fields"):
            assert_same(record[part], expected[part], f"{name}.{part}")
        assert record["timings"]["ocr"] > 0
        assert record["timings"]["ser"] > 0


def test_many_forms_at_a_time(running: Endpoint, extractor: Extractor) -> None:
    """40 requests from 12 clients, files with lines and lines alone; each gets its own answer."""

    def ask(number: int) -> Answer:
        if number % 2:
            return running.ask_lines([form_page(number)])
        return running.ask("/v1/extract", *multipart(png(number), json.dumps(form_lines(number))))

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(40)))
    for number, answer in enumerate(answers):
        assert answer.status == 200, answer.body
        lines = [
            Line(item["id"], item["text"], tuple(map(float, item["points"]))) for item in form_page(number)["lines"]
        ]
        page = Page(0, 200, 70, lines)
        extractor.annotate([page])
        (found,) = answer.json()["pages"]
        assert [line["text"] for line in found["lines"]][3] == str(number)
        for got, line in zip(found["lines"], page.lines, strict=True):
            assert (got["id"], got["label"]) == (line.id, line.label)
            assert got["label_score"] == pytest.approx(line.label_score, abs=1e-4)
        assert len(found["links"]) == len(page.links)


def test_a_model_by_name(running: Endpoint) -> None:
    """Two bundles share a replica that keeps one of them: they take turns."""
    models = running.ask("/v1/models").json()["models"]
    assert [(model["name"], model["default"]) for model in models] == [("default", True), ("tiny", False)]
    scores = []
    for query in ("?model=tiny", "", "?model=tiny"):
        record = running.ask_lines([form_page(1)], query).json()
        scores.append([line["label_score"] for line in record["pages"][0]["lines"]])
    assert scores[0] == scores[2]
    assert scores[0] != scores[1]
    unknown = running.ask_lines([form_page(1)], "?model=other")
    assert unknown.status == 422
    assert "default, tiny" in unknown.json()["detail"]


def test_a_new_threshold_needs_no_restart(running: Endpoint, arguments: dict[str, Any]) -> None:
    def links() -> int:
        return len(running.ask_lines([form_page(1)], "?model=tiny").json()["pages"][0]["links"])

    before, processes = links(), replica_pids("models")
    assert before > 0  # the tiny bundle's own threshold is 0
    running.deploy(arguments, {"user_config": {"re_threshold": {"tiny": 1.0}}})
    assert wait_until(lambda: links() == 0, 60, "the new threshold")
    running.deploy(arguments)
    assert wait_until(lambda: links() == before, 60, "the old threshold")
    assert replica_pids("models") == processes


def test_a_drawn_page(running: Endpoint) -> None:
    answer = running.ask("/v1/preview", *multipart(png(3), json.dumps(form_lines(3))))
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(answer.body)).size == (200, 70)
    outside = running.ask("/v1/preview?page=1", *multipart(png(3), json.dumps(form_lines(3))))
    assert outside.status == 422


def test_a_broken_file_and_lines_for_too_many_pages(running: Endpoint) -> None:
    broken = running.ask("/v1/extract?name=x.pdf", b"%PDF-1.7\nrubbish")
    assert (broken.status, broken.json()["category"]) == (400, "corrupt")
    wrong = running.ask("/v1/extract", *multipart(png(1), json.dumps([form_lines(1), form_lines(2)])))
    assert wrong.status == 422
    assert "2 pages" in wrong.json()["detail"]


def test_health_and_request_ids(running: Endpoint) -> None:
    healthy = running.ask("/healthz")
    assert (healthy.status, healthy.json()) == (200, {"status": "ok"})
    assert len(healthy.headers.get_all("X-Request-ID")) == 1  # type: ignore[attr-defined]


def test_prometheus_reads_it(running: Endpoint) -> None:
    running.ask("/v1/extract?name=x.pdf", b"%PDF-1.7\nrubbish")
    running.ask_lines([form_page(1), form_page(2)])

    wanted = ("requests_total", "errors_total", "pages_total", "body_bytes_total", "request_seconds_count")
    wanted += ("stage_seconds_count", "batch_pages_count", "documents_ongoing")

    def scraped() -> dict[str, list[tuple[dict[str, str], float]]] | None:
        """All of them, as soon as the last requests are among them too."""
        with urllib.request.urlopen(running.metrics, timeout=20) as page:
            found = samples(page.read().decode())
        if any(f"ray_kie_ray_{name}" not in found for name in wanted):
            return None
        answered = {labels["status"] for labels, _ in found["ray_kie_ray_requests_total"]}
        return found if {"200", "400"} <= answered else None

    found = wait_until(scraped, 60, "a metric")
    assert "corrupt" in {labels["category"] for labels, _ in found["ray_kie_ray_errors_total"]}
    assert {"ser", "re", "fields"} <= {labels["stage"] for labels, _ in found["ray_kie_ray_stage_seconds_count"]}
    assert {labels["deployment"] for labels, _ in found["ray_kie_ray_batch_pages_count"]} <= {"ocr", "models"}
    assert {labels["route"] for labels, _ in found["ray_kie_ray_errors_total"]} <= {"/v1/extract", "/v1/preview"}


def samples(page: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Labels and values by name, of a page in Prometheus' text format."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for match in re.finditer(r"^(ray_kie_ray_\w+)\{(.*)\} (\S+)$", page, re.MULTILINE):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2]))
        found.setdefault(match[1], []).append((labels, float(match[3])))
    return found
