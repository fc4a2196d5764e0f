"""Several raylets on this machine: documents go over all of them, and SIGKILL of a whole node changes no row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.job_support import (
    descendants,
    make_bundle,
    make_pages,
    rows_without_timings,
    run_file,
    started_job,
    table,
)
from tests.ray_nodes import Node, RayNodes, running_nodes

PAGES = 80
SMALL_STEPS = ("--set", "splitting.rows_per_block=1", "--set", "splitting.rows_per_file=4")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nodes")
    make_bundle(folder / "bundle")
    make_pages(folder, PAGES)
    return folder


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    """A head that does no work and two workers of 2 CPUs."""
    with running_nodes(0, 2, 2) as cluster:
        yield cluster


def arguments(place: Path, output: str) -> list[str | Path]:
    return [
        *(place / "image", "--output", place / output, "--model", place / "bundle"),
        *("--annotations", place / "labels.txt", *SMALL_STEPS),
    ]


def holds(node: Node, actor: str) -> bool:
    """True where a worker process below `node` is an `actor`: Ray writes its class into the command line."""
    for pid in descendants(node.process.pid):
        try:
            if actor.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return True
        except OSError:
            continue  # it ended meanwhile
    return False


def wait_for(condition: Callable[[], bool], log: Path, seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def committed(output: Path) -> int:
    found = output.glob(".kie_ray/checkpoint-*/*.parquet")
    return sum(".pending." not in path.name for path in found)


@pytest.fixture(scope="module")
def calm(place: Path, nodes: RayNodes) -> list[str]:
    """Rows of an undisturbed run over both workers."""
    log = place / "calm.log"
    workers = nodes.nodes[1:]
    with started_job(*arguments(place, "calm"), log=log, **nodes.environment(RAY_ADDRESS=nodes.address)) as process:
        seen: set[int] = set()

        def over() -> bool:
            seen.update(number for number, node in enumerate(workers) if holds(node, "OcrActor"))
            return process.poll() is not None

        wait_for(over, log)
        assert process.returncode == 0, log.read_text()
    assert seen == {0, 1}, "all OCR actors were on one node"
    return rows_without_timings(place / "calm")


@pytest.mark.slow  # a head and two nodes to start, one after another
@pytest.mark.timeout(900)
def test_a_run_over_several_nodes_is_whole(place: Path, nodes: RayNodes, calm: list[str]) -> None:
    assert len(calm) == PAGES
    assert table(place / "calm", "entities").num_rows == 4 * PAGES
    report = run_file(place / "calm")
    assert (report["documents"], report["failed"]) == (PAGES, 0)
    assert not holds(nodes.nodes[0], "MapWorker"), "an actor of the run is on the head"


@pytest.mark.slow  # a head and two nodes to start, one after another
@pytest.mark.timeout(900)
def test_a_killed_node_costs_no_row(place: Path, nodes: RayNodes, calm: list[str]) -> None:
    """The node with the models goes, so that the pool has to come back on the other one among its OCR actors."""
    log, output = place / "killed.log", place / "killed"
    arguments_of_run = arguments(place, "killed")
    with started_job(*arguments_of_run, log=log, **nodes.environment(RAY_ADDRESS=nodes.address)) as process:
        wait_for(lambda: committed(output) >= 3 or process.poll() is not None, log)
        victim = next(node for node in nodes.nodes[1:] if holds(node, "KieActor"))
        victim.kill()
        assert not (output / "run.json").exists(), "the kill came after the end; use more pages"
        wait_for(lambda: process.poll() is not None, log)
        assert process.returncode == 0, log.read_text()
    assert rows_without_timings(output) == calm
    assert run_file(output)["documents"] == PAGES
