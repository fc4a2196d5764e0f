"""Serving does not gather memory: a model replica after 2000 requests is as large as after 200."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.endpoint import endpoint
from benchmarks.serving import gather_pages, memory


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_of_a_model_replica_does_not_grow_with_the_requests(tmp_path: Path) -> None:
    with endpoint(tmp_path / "log.txt") as server:
        found = memory(server, gather_pages(None, 6).lines, (200, 2000), clients=16)
    few, many = found["bytes"]
    assert few["private"] > 50 * 2**20  # of the process that holds the models
    assert many["rss"] <= 1.10 * few["rss"], found
