"""The endpoint under load: a killed replica, a document that kills, a page that fails, more requests than fit."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import cloudpickle, serve

from kie_ray.records import Page
from pipelines.online import app, application
from pipelines.online.model_deployment import ModelDeployment, _Loaded
from tests.pipelines.online.serve_support import Answer, Endpoint, endpoint, multipart, replica_pids, wait_until
from tests.pipelines.online.test_endpoint import form_lines, form_page, png

ARGUMENTS = {
    "retry_after_seconds": 1,
    "attempts": 2,
    "model_replicas": {"batch_size": 4, "max_ongoing_requests": 4, "max_queued_requests": 8},
    "ingress": {"max_ongoing_requests": 40, "max_queued_requests": 10},
}


class FragileAnnotator:
    """Does what a line's text says: KILL its process, FAIL, or be SLOW; else the real models' work."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.timings = real.timings

    @property
    def info(self) -> Any:
        return self.real.info

    def annotate(self, pages: Sequence[Page]) -> None:
        texts = {line.text for page in pages for line in page.lines}
        if "KILL" in texts:
            os.kill(os.getpid(), signal.SIGKILL)
        if "FAIL" in texts:
            raise RuntimeError("a secret of the models")
        if "SLOW" in texts:
            time.sleep(0.4)
        self.real.annotate(pages)


class FragileModels(ModelDeployment):
    """Models that a request can break."""

    def _load(self, name: str) -> _Loaded:
        loaded = super()._load(name)
        return _Loaded(name, FragileAnnotator(loaded.annotator), loaded.re_threshold)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def running() -> Iterator[Endpoint]:
    def build(arguments: Mapping[str, Any]) -> serve.Application:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(application, "ModelDeployment", FragileModels)
            return app(arguments)

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        with endpoint(ARGUMENTS, build) as made:
            yield made
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def ask(running: Endpoint, number: int, text: str | None = None) -> Answer:
    """A form of one page; `text` on it makes the models do what it says."""
    page = form_page(number)
    if text is not None:
        page["lines"][0]["text"] = text
    return running.ask_lines([page], timeout=200)


def patient(running: Endpoint, number: int, deadline: float) -> Answer:
    """Asked again for as long as the server says that it is busy, as its Retry-After wants it."""
    while True:
        if number % 2:
            answer = ask(running, number)
        else:
            answer = running.ask("/v1/extract", *multipart(png(number), json.dumps(form_lines(number))), timeout=200)
        if answer.status != 503 or time.monotonic() > deadline:
            return answer
        time.sleep(float(answer.headers["Retry-After"]) * random.uniform(0.5, 1.5))


def logged(deployment: str) -> str:
    """Serve's log files of the deployment's replicas."""
    folder = Path(ray._private.worker._global_node.get_logs_dir_path()) / "serve"
    return "".join(file.read_text() for file in folder.glob(f"replica_kie_{deployment}_*.log"))


def number_of(answer: Answer) -> int:
    """The number on the form that was answered."""
    return int(answer.json()["pages"][0]["lines"][3]["text"])


@pytest.mark.parametrize("deployment", ["models", "ocr"])
def test_a_killed_replica_costs_no_request(running: Endpoint, deployment: str) -> None:
    """Six clients without a pause; the only replica is killed after a second."""
    end = time.monotonic() + 4
    answers: dict[int, Answer] = {}

    def client(first: int) -> None:
        number = first
        while time.monotonic() < end or number == first:
            answers[number] = patient(running, number, end + 120)
            number += 100

    with ThreadPoolExecutor(6) as pool:
        clients = [pool.submit(client, first) for first in range(6)]
        time.sleep(1)
        (victim,) = replica_pids(deployment)
        os.kill(victim, signal.SIGKILL)
        for one in clients:
            one.result()
    assert Counter(answer.status for answer in answers.values()) == {200: len(answers)}
    assert all(number_of(answer) == number for number, answer in answers.items())
    assert len(answers) > 6
    assert victim not in replica_pids(deployment)
    assert wait_until(lambda: running.ask("/healthz").status == 200, 60, "health")


def test_a_page_that_fails_does_not_fail_its_neighbours(running: Endpoint) -> None:
    with ThreadPoolExecutor(5) as pool:
        good = [pool.submit(ask, running, number) for number in range(4)]
        bad = pool.submit(ask, running, 9, "FAIL").result()
        answers = [one.result() for one in good]
    assert [(answer.status, number_of(answer)) for answer in answers] == [(200, number) for number in range(4)]
    assert (bad.status, bad.json()["category"], bad.json()["stage"]) == (500, "internal", "ser")
    assert b"secret" not in bad.body
    assert wait_until(lambda: "a secret of the models" in logged("models"), 20, "the log of the failure")
    assert wait_until(lambda: bad.json()["request_id"] in logged("ingress"), 20, "the log of the request")
    mixed = running.ask_lines([form_page(1), {**form_page(2), "lines": [{**form_page(2)["lines"][0], "text": "FAIL"}]}])
    record = mixed.json()
    assert (mixed.status, record["status"], record["error"]["page"]) == (200, "partial", 1)
    assert [page["index"] for page in record["pages"]] == [0]


def test_a_document_that_kills_is_given_up_and_the_others_come_through(running: Endpoint) -> None:
    stop = threading.Event()
    answers: list[Answer] = []

    def client() -> None:
        number = 0
        while not stop.is_set():
            answers.append(patient(running, number, time.monotonic() + 150))
            number += 2

    with ThreadPoolExecutor(3) as pool:
        clients = [pool.submit(client) for _ in range(2)]
        killer = pool.submit(ask, running, 9, "KILL").result()
        stop.set()
        for one in clients:
            one.result()
    assert (killer.status, killer.json()["category"], killer.json()["stage"]) == (400, "crash", "ser")
    assert Counter(answer.status for answer in answers) == {200: len(answers)}
    assert ask(running, 1).status == 200


def test_overload_is_refused_and_passes(running: Endpoint) -> None:
    """80 requests at a time for about 52 places, each slow."""
    with ThreadPoolExecutor(80) as pool:
        answers = list(pool.map(lambda number: ask(running, number, "SLOW"), range(160)))
    statuses = Counter(answer.status for answer in answers)
    assert set(statuses) == {200, 503}
    refused = [answer for answer in answers if answer.status == 503]
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert any(answer.headers["Content-Type"] == "application/problem+json" for answer in refused)
    started = time.monotonic()
    assert all(ask(running, number).status == 200 for number in range(5))
    assert time.monotonic() - started < 10
    assert running.ask("/healthz").status == 200
