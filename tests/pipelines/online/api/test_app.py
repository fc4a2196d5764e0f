"""Routes, methods, headers, keys and metrics, over a scripted backend."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
from dataclasses import replace

import pytest

from kie_ray.errors import Category, DocumentError, ErrorItem, Stage
from pipelines.online.api.app import build_api
from pipelines.online.api.backend import Busy, NotReady, PageOutOfRange, TooSlow, WrongPageCount
from pipelines.online.api.keys import Keys
from pipelines.online.api.problems import STATUS
from pipelines.online.api.settings import ApiSettings
from tests.pipelines.online.api.support import (
    MODEL,
    PNG,
    VISUAL,
    Recorded,
    Scripted,
    client,
    document,
    json_body,
    json_line,
    json_page,
    problem,
    send,
)

SECRET = "/srv/models/secret.bin line 3"


def test_a_record_with_everything_that_a_row_has() -> None:
    body = client(Scripted()).post("/v1/extract?name=form.png", content=PNG).json()
    digest = hashlib.blake2b(PNG, digest_size=10).hexdigest()
    assert (body["row_id"], body["doc_id"], body["uri"]) == (f"{digest}-000000", digest, "form.png")
    assert (body["status"], body["error"], body["media_type"], body["size"]) == ("ok", None, "image/png", len(PNG))
    assert body["timings"] == {"fetch": 0, "read": 0.25, "ocr": 0.5, "ser": 0, "re": 0, "fields": 0}
    assert body["provenance"]["bundle"] == f"scripted:{'ab' * 8}"
    assert body["provenance"]["ocr"] == "scripted"
    assert [item["value"] for item in body["fields"]] == ["Ada", "1843"]
    assert "pictures" not in body


def test_min_score_leaves_weak_fields_and_links_out() -> None:
    body = client(Scripted()).post("/v1/extract?min_score=0.5", content=PNG).json()
    assert [item["value"] for item in body["fields"]] == ["Ada"]
    assert [link["value_line"] for link in body["pages"][0]["links"]] == [7]
    assert len(body["pages"][0]["lines"]) == 3


@pytest.mark.parametrize(
    ("include", "page_keys", "top_keys"),
    [
        ("fields", set(), {"fields"}),
        ("lines,links", {"lines", "links"}, set()),
        ("links,pictures", {"links"}, {"pictures"}),
    ],
)
def test_include_names_the_parts(include: str, page_keys: set[str], top_keys: set[str]) -> None:
    body = client(Scripted()).post(f"/v1/extract?include={include}", content=PNG).json()
    assert set(body["pages"][0]) == {"index", "width", "height"} | page_keys
    assert {"fields", "pictures"} & set(body) == top_keys
    if "pictures" in top_keys:
        assert body["pictures"] == [{"page": 0, "width": 3, "height": 2, "media_type": "image/jpeg", "data": "/9j/"}]


def test_a_long_document_is_whole() -> None:
    body = client(Scripted(document(60))).post("/v1/extract", content=PNG).json()
    assert [page["index"] for page in body["pages"]] == list(range(60))
    assert len(body["fields"]) == 120


def test_no_number_that_json_lacks() -> None:
    broken = document()
    broken.pages[0].lines[0].label_score = float("nan")
    text = client(Scripted(broken)).post("/v1/extract", content=PNG).text
    assert json.loads(text, parse_constant=pytest.fail)["pages"][0]["lines"][0]["label_score"] is None


def test_a_partial_document_is_an_answer_that_names_its_error() -> None:
    partial = document()
    partial.error = ErrorItem.of(Stage.READ, Category.CORRUPT, "form.pdf: page 2 of 2: damaged", page=1)
    body = client(Scripted(partial)).post("/v1/extract", content=PNG).json()
    assert body["status"] == "partial"
    assert body["error"] == {
        "stage": "read",
        "category": "corrupt",
        "message": "form.pdf: page 2 of 2: damaged",
        "retryable": False,
        "page": 1,
    }


def test_a_defect_in_one_page_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    partial = document()
    partial.error = ErrorItem.of(Stage.SER, Category.INTERNAL, SECRET, page=1)
    response = client(Scripted(partial)).post("/v1/extract", content=PNG)
    assert response.json()["error"]["category"] == "internal"
    assert SECRET not in response.text
    assert SECRET in caplog.text


@pytest.mark.parametrize("category", list(Category))
def test_every_category_of_a_failed_document_has_its_status(category: Category) -> None:
    failed = document(0)
    failed.error = ErrorItem.of(Stage.READ, category, "form.pdf: what is wrong", page=3)
    response = client(Scripted(failed)).post("/v1/extract", content=PNG)
    body = problem(response, STATUS[category], category)
    assert (body["stage"], body["page"], body["retryable"]) == ("read", 3, failed.error.retryable)
    assert ("what is wrong" in body["detail"]) == (category != Category.INTERNAL)
    assert ("retry-after" in response.headers) == (response.status_code == 503)


@pytest.mark.parametrize(
    ("error", "status", "category", "words"),
    [
        (Busy(2.2), 503, "unavailable", "busy"),
        (TooSlow(120), 504, "timeout", "120 seconds"),
        (NotReady(SECRET), 503, "unavailable", "do not answer"),
        (PageOutOfRange(4, 2), 422, "invalid_request", "page = 4: the document has pages 0 to 1"),
        (WrongPageCount(1, 2), 422, "invalid_request", "the document has 2"),
        (DocumentError(ErrorItem.of(Stage.READ, Category.ENCRYPTED, "x.pdf: encrypted")), 400, "encrypted", "x.pdf"),
        (ValueError(SECRET), 500, "internal", "request_id"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/extract", "/v1/preview"])
def test_what_a_backend_raises(
    path: str, error: Exception, status: int, category: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = client(Scripted(error)).post(path, content=PNG)
    body = problem(response, status, category)
    assert words in body["detail"]
    assert SECRET not in response.text
    if status == 503:
        assert int(response.headers["retry-after"]) == (3 if isinstance(error, Busy) else 2)
        assert body["retryable"]
    if status == 500:
        assert SECRET in caplog.text
        assert "Traceback" in caplog.text
        assert body["request_id"] in caplog.text
    else:
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(("data", "status", "category"), [(b"", 400, "empty"), (b"PK\x03\x04..", 415, "unsupported")])
def test_the_first_bytes_decide(data: bytes, status: int, category: str) -> None:
    backend = Scripted()
    response = client(backend).post("/v1/extract", content=data, headers={"Content-Type": "image/png"})
    assert problem(response, status, category)["stage"] == "read"
    assert not backend.seen
    named = client(backend).post("/v1/extract?name=a.docx", content=PNG, headers={"Content-Type": "text/html"})
    assert named.json()["media_type"] == "image/png"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("inclde=lines", "unknown query parameter 'inclde'; did you mean include?"),
        ("zzz=1", "there are: model, name, min_score, include"),
        ("include=lines,links,words", "'words' is none of lines, links, fields, pictures"),
        ("include=", "'' is none of"),
        ("min_score=2", "query parameter min_score = '2': Input should be less than or equal to 1"),
        ("min_score=nan", "min_score"),
        ("min_score=inf", "min_score"),
        ("min_score=x", "valid number"),
        ("min_score=0&min_score=1", "query parameter 'min_score' is given twice"),
        ("model=other", "model 'other' is not served here; there are: default, visual"),
        ("model=", "model"),
        ("page=0", "unknown query parameter 'page'"),
    ],
)
def test_wrong_options_name_what_is_right(query: str, words: str) -> None:
    backend = Scripted()
    body = problem(client(backend).post(f"/v1/extract?{query}", content=PNG), 422, "invalid_request")
    assert words in body["detail"]
    assert not backend.seen


def test_the_model_that_the_request_names() -> None:
    backend = Scripted()
    connection = client(backend)
    for query in ("", "?model=visual"):
        assert connection.post(f"/v1/extract{query}", content=PNG).status_code == 200
    assert [work.model for work in backend.seen] == ["default", "visual"]
    body = json_body(json_page([json_line()]))
    response = connection.post("/v1/extract?model=visual", content=body, headers={"Content-Type": "application/json"})
    assert "looks at page images" in problem(response, 422)["detail"]


def test_preview() -> None:
    backend = Scripted()
    connection = client(backend)
    response = connection.post("/v1/preview?page=0&model=default", content=PNG)
    assert (response.status_code, response.headers["content-type"], response.content) == (200, "image/png", PNG)
    for query in ("page=-1", "page=x", "page=1e3", "page=99999999999", "min_score=1"):
        problem(connection.post(f"/v1/preview?{query}", content=PNG), 422)
    lines = json_body(json_page([json_line()]))
    response = connection.post("/v1/preview", content=lines, headers={"Content-Type": "application/json"})
    assert "send one" in problem(response, 422)["detail"]
    assert len(backend.seen) == 1


def test_models_and_health() -> None:
    backend = Scripted()
    connection = client(backend)
    first, second = connection.get("/v1/models").json()["models"]
    assert (first["name"], first["default"], first["labels"]) == ("default", True, list(MODEL.labels))
    assert (second["name"], second["sees_images"]) == (VISUAL.name, True)
    problem(connection.get("/v1/models?x=1"), 422)
    assert connection.get("/healthz").json() == {"status": "ok"}
    for error in (NotReady("ocr"), RuntimeError(SECRET)):
        backend.ready = error
        response = connection.get("/healthz")
        problem(response, 503, "unavailable")
        assert response.headers["retry-after"]
        assert SECRET not in response.text


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/v1/extract", 405, "OPTIONS, POST"),
        ("HEAD", "/v1/extract", 405, "OPTIONS, POST"),
        ("PUT", "/healthz", 405, "GET, HEAD, OPTIONS"),
        ("POST", "/", 405, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/v1/extract", 204, "OPTIONS, POST"),
        ("OPTIONS", "/v1/models", 204, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/", 204, "GET, HEAD, OPTIONS"),
        ("GET", "/v1", 404, None),
        ("GET", "/docs", 404, None),
        ("GET", "/redoc", 404, None),
        ("POST", "/v1/extract/", 404, None),
        ("OPTIONS", "/nowhere", 404, None),
        ("GET", "/../etc/passwd", 404, None),
    ],
)
def test_methods_and_paths(method: str, path: str, status: int, allow: str | None) -> None:
    response = client(Scripted()).request(method, path)
    assert response.headers.get("allow") == allow
    if method == "HEAD" or status == 204:
        assert (response.status_code, response.content) == (status, b"")
    else:
        problem(response, status)


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/models", "/openapi.json"])
def test_head_is_get_without_a_body(path: str) -> None:
    connection = client(Scripted())
    got, head = connection.get(path), connection.head(path)
    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == str(len(got.content))


def test_every_answer_has_a_request_id_and_security_headers() -> None:
    connection = client(Scripted(ValueError("x")))
    for method, path in [("GET", "/"), ("GET", "/healthz"), ("POST", "/v1/extract"), ("GET", "/nowhere")]:
        headers = connection.request(method, path, content=PNG if method == "POST" else None).headers
        assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
    assert connection.get("/healthz", headers={"X-Request-ID": "mine-1.2"}).headers["x-request-id"] == "mine-1.2"
    for bad in ("a b", "x" * 129, "<script>", ""):
        assert connection.get("/healthz", headers={"X-Request-ID": bad}).headers["x-request-id"] != bad


def test_a_proxy_that_adds_the_request_id_is_not_doubled() -> None:
    connection = client(Scripted(), ApiSettings(proxy_adds_request_id=True))
    response = connection.get("/nowhere", headers={"X-Request-ID": "from-the-proxy"})
    assert "x-request-id" not in response.headers
    assert response.json()["request_id"] == "from-the-proxy"


def test_keys() -> None:
    backend = Scripted()
    connection = client(backend, ApiSettings(keys=Keys(["first-key", "second-key"])))
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic first-key"},
        {"Authorization": "Bearer first-key second-key"},
        {"X-API-Key": "first-ke"},
        {"X-API-Key": "\xff"},
    ):
        for method, path in (("POST", "/v1/extract?nonsense=1"), ("POST", "/v1/preview"), ("GET", "/v1/models")):
            raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
            response = connection.request(method, path, headers=raw)
            problem(response, 401, "forbidden")
            assert response.headers["www-authenticate"].startswith("Bearer")
    for headers in (
        {"Authorization": "Bearer second-key"},
        {"authorization": "bearer first-key"},
        {"X-API-Key": "first-key"},
    ):
        assert connection.post("/v1/extract", content=PNG, headers=headers).status_code == 200
    assert len(backend.seen) == 3
    for path in ("/", "/healthz", "/openapi.json"):
        assert connection.get(path).status_code == 200
    assert connection.options("/v1/extract").status_code == 204


def test_a_body_without_a_key_is_not_read() -> None:
    app = build_api(Scripted(), ApiSettings(keys=Keys(["a-key"])))
    exchange = asyncio.run(send(app, [b"x"] * 5))
    assert (exchange.status, exchange.taken) == (401, 0)


def test_cors_is_off_unless_origins_are_named() -> None:
    preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    closed = client(Scripted()).options("/v1/extract", headers=preflight)
    assert not [name for name in closed.headers if name.startswith("access-control")]
    connection = client(Scripted(), ApiSettings(keys=Keys(["a-key"]), cors_origins=["https://a.example"]))
    opened = connection.options("/v1/extract", headers=preflight)
    assert opened.status_code == 200
    assert opened.headers["access-control-allow-origin"] == "https://a.example"
    refused = connection.post("/v1/extract", headers={"Origin": "https://a.example"})
    assert problem(refused, 401)
    assert refused.headers["access-control-allow-origin"] == "https://a.example"
    assert "X-Request-ID" in refused.headers["access-control-expose-headers"]
    other = connection.post("/v1/extract", headers={"Origin": "https://b.example"})
    assert "access-control-allow-origin" not in other.headers


def test_metrics_see_every_request_once() -> None:
    metrics = Recorded()
    backend = Scripted(document(2))
    connection = client(backend, metrics=metrics)
    connection.post("/v1/extract", content=PNG)
    connection.get("/nowhere/1")
    connection.request("BREW", "/v1/extract")
    connection.head("/healthz")
    backend.answer = Busy()
    connection.post("/v1/preview", content=PNG)
    seen = [(r.route, r.method, r.status, r.category, r.pages) for r in metrics.requests]
    assert seen == [
        ("/v1/extract", "POST", 200, None, 2),
        ("unmatched", "GET", 404, "not_found", 0),
        ("/v1/extract", "OTHER", 405, "invalid_request", 0),
        ("/healthz", "HEAD", 200, None, 0),
        ("/v1/preview", "POST", 503, "unavailable", 0),
    ]
    first = metrics.requests[0]
    assert first.stage_seconds == {"read": 0.25, "ocr": 0.5}
    assert first.body_bytes == len(PNG)
    assert first.seconds > 0


def test_metrics_that_fail_cost_no_answer() -> None:
    class Broken:
        def record(self, request: object) -> None:
            raise RuntimeError("no metrics today")

    assert client(Scripted(), metrics=Broken()).get("/healthz").status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "multipart/form-data; boundary=b"}])
def test_a_client_that_leaves_makes_no_noise(headers: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    metrics = Recorded()
    backend = Scripted()
    exchange = asyncio.run(send(build_api(backend, metrics=metrics), [b"--b\r\n"], headers=headers, leaves=True))
    assert exchange.sent == []
    assert [request.status for request in metrics.requests] == [499]
    assert not backend.seen
    assert not caplog.records


def test_a_cancelled_request_stays_cancelled() -> None:
    """Serve cancels the task of a client that has left; nothing may swallow that."""
    metrics = Recorded()

    async def cancel() -> None:
        app = build_api(Scripted(), metrics=metrics)
        task = asyncio.create_task(send(app, [PNG] * 50, pause=0.05))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert [request.status for request in metrics.requests] == [499]


def test_no_default_model_is_not_ready() -> None:
    backend = Scripted(served=[replace(MODEL, default=False)])
    problem(client(backend).post("/v1/extract", content=PNG), 503)
