"""Random damage to valid files, lines, annotations, forms and options never gives a 500."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kie_ray import Extractor
from kie_ray.limits import Limits
from kie_ray.records import Line, PageImage
from pipelines.online.api.app import build_api
from pipelines.online.api.schemas import ProblemDocument, Record
from pipelines.online.api.settings import ApiSettings
from tests.faults.test_hostile_files import VALID
from tests.job_support import LINES, make_bundle
from tests.pipelines.online.api.support import json_body, json_line, json_page, send
from tests.pipelines.online.local_backend import LocalBackend

LIMITS = Limits(max_bytes=50_000, max_pixels=250_000, max_pages=5, max_seconds=60)
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=edge"}
FINE = {200, 400, 413, 415, 422}
ALL_CHECKS = list(HealthCheck)

Sent = tuple[str, dict[str, str], bytes]


class FixedLines:
    """Reads the same lines off every page: what is tried here is not OCR."""

    name = "fixed"

    def read_lines(self, images: Sequence[PageImage]) -> list[list[Line]]:
        lines = [
            Line(number, text, (x0, y0, x1, y0, x1, y1, x0, y1))
            for number, (text, (x0, y0, x1, y1)) in enumerate(LINES)
        ]
        return [[replace(line) for line in lines] for _ in images]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    bundle = make_bundle(tmp_path_factory.mktemp("mutations") / "tiny")
    with Extractor.load(bundle, limits=LIMITS) as extractor:
        extractor.engine = FixedLines()
        backend = LocalBackend(extractor)
        yield build_api(backend, ApiSettings(limits=LIMITS, max_json_bytes=20_000))
        backend.close()


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as loop:
        yield loop


PAGE = json_page([json_line("Name", id=1, ocr_score=0.5), json_line("Ada", id=2), json_line("")])
MARKS = [{"transcription": "Name", "points": [[1, 2], [9, 2], [9, 8], [1, 8]], "id": 3, "label": "question"}]
TREES: list[Any] = [{"name": "form", "pages": [PAGE, PAGE]}, MARKS, [MARKS, MARKS, []]]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([0, -1, 2**31, 2**63, 1e308, 1e-320, 10**4000]),
    st.text(max_size=20),
    st.sampled_from(["\ud800", "\0", "x" * 5_000, "\u202e", "<script>", "[MASK]", "<s>", "\U0001f9fe" * 40]),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=9), st.dictionaries(st.text(max_size=6), SCALARS, max_size=3))
DAMAGE = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8)
OPTIONS = {
    "model": st.sampled_from(["default", "other", "../default", "", "\0"]) | st.text(max_size=9),
    "name": st.sampled_from(["a.png", "../../x", "\0", ".."]) | st.text(max_size=300),
    "min_score": st.sampled_from(["0", "1", "0.5", "nan", "-1", "1e400", "\u0665"]) | st.floats().map(str),
    "include": st.sampled_from(["fields", "pictures", "lines,links", "lines,,links", "LINES", "lines,pictures,lines"])
    | st.text(max_size=9),
    "page": st.sampled_from(["0", "1", "-1", "9" * 30, "1.0", ""]) | st.integers().map(str),
}


def encodable(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@st.composite
def queries(draw: Any) -> str:
    names = draw(st.lists(st.sampled_from([*OPTIONS, "x"]), max_size=2, unique=True))
    pairs = [(name, draw(OPTIONS.get(name, st.text(max_size=5)))) for name in names]
    return "&".join(f"{name}={quote(encodable(value))}" for name, value in pairs)


@st.composite
def trees(draw: Any, source: list[Any]) -> bytes:
    """A valid tree with one or two values replaced, removed or renamed, as JSON."""
    tree = json.loads(json.dumps(draw(st.sampled_from(source))))
    for _ in range(draw(st.integers(0, 2))):
        node: Any = tree
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = node[key]
            if isinstance(inner, dict | list) and inner and draw(st.integers(0, 3)):
                node = inner
                continue
            action = draw(st.integers(0, 3))
            if action == 0:
                del node[key]
            elif action == 1 and isinstance(node, dict):
                node[draw(st.text(max_size=6))] = node.pop(key)
            else:
                node[key] = draw(VALUES)
            break
    return encodable(json.dumps(tree, ensure_ascii=draw(st.booleans())))


@st.composite
def damaged(draw: Any, content: bytes) -> bytes:
    data = bytearray(content)
    for place, value in draw(DAMAGE):
        if data:
            data[int(place * (len(data) - 1))] = value
    return bytes(data[: int(len(data) * draw(st.sampled_from([1.0, 1.0, 1.0, 0.97, 0.5, 0.0])))])


def form(data: bytes, annotations: bytes | None) -> bytes:
    parts = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + data + b"\r\n"
    if annotations is not None:
        parts += b'--edge\r\nContent-Disposition: form-data; name="annotations"\r\n\r\n' + annotations + b"\r\n"
    return parts + b"--edge--\r\n"


@st.composite
def requests(draw: Any) -> Sent:
    path = draw(st.sampled_from(["/v1/extract"] * 4 + ["/v1/preview"]))
    query = draw(queries()) if draw(st.booleans()) else ""
    target = f"{path}?{query}" if query else path
    data = VALID[draw(st.sampled_from(sorted(VALID)))]
    kind = draw(st.sampled_from(["file", "lines", "lines as text", "annotations", "form as bytes"]))
    if kind == "file":
        return target, {}, draw(damaged(data))
    if kind == "lines":
        return target, JSON, draw(trees(TREES[:1]))
    if kind == "lines as text":
        return target, JSON, draw(damaged(json_body(PAGE, PAGE)))
    if kind == "annotations":
        return target, FORM, form(data, draw(trees(TREES[1:])))
    return target, FORM, draw(damaged(form(data, json.dumps(MARKS).encode())))


def try_all(app: Any, runner: asyncio.Runner, examples: int) -> Counter[int]:
    seen: Counter[int] = Counter()

    @given(sent=requests())
    @settings(max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=ALL_CHECKS)
    def check(sent: Sent) -> None:
        target, headers, body = sent
        done = runner.run(send(app, [body], target, headers=headers))
        seen[done.status] += 1
        assert done.status in FINE, done.json
        if done.status != 200:
            ProblemDocument.model_validate(done.json)
        elif target.startswith("/v1/extract"):
            Record.model_validate(done.json)

    check()
    return seen


def test_random_damage(app: Any, runner: asyncio.Runner) -> None:
    seen = try_all(app, runner, 1_100)
    assert sum(seen.values()) >= 1_000
    assert seen[200] > 100, seen
    assert {200, 400, 415, 422} <= set(seen), seen


@pytest.mark.slow
def test_much_random_damage(app: Any, runner: asyncio.Runner) -> None:
    seen = try_all(app, runner, 4_000)
    assert sum(seen.values()) >= 3_500
    assert set(seen) >= FINE, seen
