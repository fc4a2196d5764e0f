"""Replicas that come with the load and go after it, behind several ingress replicas."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.pipelines.online.serve_support import Answer, endpoint, replica_pids, wait_until
from tests.pipelines.online.test_endpoint import form_page

ARGUMENTS = {
    "ingress": {"min_replicas": 2, "max_replicas": 2},
    "model_replicas": {"min_replicas": 1, "max_replicas": 2, "max_ongoing_requests": 4, "batch_size": 2},
}
QUICKLY = {
    "autoscaling_config": {
        "min_replicas": 1,
        "max_replicas": 2,
        "target_ongoing_requests": 2,
        "upscale_delay_s": 1,
        "downscale_delay_s": 3,
        "metrics_interval_s": 0.5,
        "look_back_period_s": 1,
    }
}


@pytest.mark.slow
def test_a_second_replica_comes_with_the_load_and_leaves_after_it() -> None:
    """Twelve clients without a pause; no request is lost while replicas come and go."""
    answers: list[tuple[int, Answer]] = []
    with endpoint(ARGUMENTS) as running:
        running.deploy(ARGUMENTS, QUICKLY)
        assert len(replica_pids("ingress")) == 2
        assert len(replica_pids("models")) == 1
        finished = time.monotonic() + 240

        def client(number: int) -> None:
            while time.monotonic() < finished:
                answers.append((number, running.ask_lines([form_page(number)], timeout=200)))
                number += 100

        with ThreadPoolExecutor(13) as pool:
            clients = [pool.submit(client, number) for number in range(12)]
            wait_until(lambda: len(replica_pids("models")) == 2, 120, "the second replica")
            time.sleep(15)  # the new replica loads its models and takes its share
            finished = time.monotonic()
            for one in clients:
                one.result()
            few = pool.submit(client, 12)
            finished = time.monotonic() + 240
            wait_until(lambda: len(replica_pids("models")) == 1, 120, "the end of one replica")
            finished = time.monotonic()
            few.result()
        assert Counter(answer.status for _, answer in answers) == {200: len(answers)}
        for number, answer in answers:
            assert answer.json()["pages"][0]["lines"][3]["text"] == str(number)
