"""The whole job between two prefixes of a store that throttles, breaks off and loses answers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.faults.ray_here import SMALL_STEPS, Ended, ray_here, results, run_here, wait_for
from tests.faults.s3_proxy import Fault, Kind, Proxy, running_proxy
from tests.job_support import kill_group, make_bundle, make_pages, run_job, started_job, table
from tests.kie_ray.s3_server import environment, running_s3_server

PAGES = 18
LASTING = "page_00003", "page_00011"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Path]]:
    folder = tmp_path_factory.mktemp("s3")
    make_bundle(folder / "bundle")
    make_pages(folder, PAGES)
    with running_s3_server() as upstream, running_proxy(upstream) as proxy, ray_here(environment(proxy.endpoint)):
        client = boto3.client("s3")
        client.create_bucket(Bucket="forms")
        for file in (folder / "image").iterdir():
            client.upload_file(str(file), "forms", f"in/{file.name}")
        yield proxy, folder


@pytest.fixture(scope="module")
def undisturbed(store: tuple[Proxy, Path]) -> list[str]:
    ended = extract(store[1], "calm")
    assert ended.returncode == 0, ended.stderr
    rows = results(download("calm", store[1]))
    assert len(rows) == PAGES
    return rows


@pytest.fixture(autouse=True)
def calm_again(store: tuple[Proxy, Path]) -> Iterator[None]:
    yield
    store[0].calm()
    store[0].hits.clear()


def extract(folder: Path, output: str, *more: str, inputs: str = "s3://forms/in/") -> Ended:
    return run_here(
        *(inputs, "--output", f"s3://forms/{output}", "--model", folder / "bundle"),
        *("--annotations", folder / "labels.txt", *SMALL_STEPS, "--set", "fetch.backoff_seconds=0.05", *more),
    )


def download(prefix: str, folder: Path) -> Path:
    """The output below `prefix` as a local folder."""
    client = boto3.client("s3")
    target = folder / f"copy-{prefix}-{len(list(folder.iterdir()))}"
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="forms", Prefix=f"{prefix}/"):
        for item in page.get("Contents", ()):
            if not item["Key"].endswith("/"):
                file = target / item["Key"].removeprefix(f"{prefix}/")
                file.parent.mkdir(parents=True, exist_ok=True)
                client.download_file("forms", item["Key"], str(file))
    return target


@pytest.mark.timeout(600)
def test_passing_faults_of_every_kind_change_nothing(store: tuple[Proxy, Path], undisturbed: list[str]) -> None:
    proxy, folder = store
    kinds: tuple[Kind, ...] = ("503", "reset", "partial", "slow", "500", "lost answer")
    # of every kind one request in fifteen: each request meets a fault now and then, few meet two in a row
    for offset, kind in enumerate(kinds):
        turns = itertools.cycle([index == 2 * offset for index in range(15)])
        proxy.faults.append(Fault(kind, lambda method, path, turns=turns: next(turns), seconds=0.5))  # type: ignore[misc]
    ended = extract(folder, "shaken")
    hits = dict(proxy.hits)
    proxy.calm()
    assert ended.returncode == 0, ended.stderr
    assert set(hits) == set(kinds), hits
    assert results(download("shaken", folder)) == undisturbed
    again = extract(folder, "shaken")
    assert "nothing was done" in again.stdout


def test_a_limit_takes_the_first_names_of_a_bucket_at_every_start(store: tuple[Proxy, Path]) -> None:
    client = boto3.client("s3")
    files = sorted((store[1] / "image").iterdir())[:8]
    for number, file in enumerate(files):
        client.upload_file(str(file), "forms", f"nested/{number % 4}/{number // 4}/{file.name}")
    ended = extract(store[1], "few", "--limit", "3", inputs="s3://forms/nested/")
    assert ended.returncode == 0, ended.stderr
    uris = [json.loads(row)["uri"] for row in results(download("few", store[1]))]
    first = ("0/0/page_00000", "0/1/page_00004", "1/0/page_00001")
    assert sorted(uris) == [f"s3://forms/nested/{name}.png" for name in first]
    again = extract(store[1], "few", "--limit", "3", inputs="s3://forms/nested/")
    assert "nothing was done" in again.stdout


@pytest.mark.slow  # two whole jobs; its halves are in test_s3_requests.py and tests/jobs/test_batch_extract.py
@pytest.mark.timeout(600)
def test_objects_that_cannot_be_had_are_error_rows_for_the_next_run(
    store: tuple[Proxy, Path], undisturbed: list[str]
) -> None:
    proxy, folder = store
    proxy.faults = [
        Fault(kind, lambda method, path, name=name: method == "GET" and name in path)  # type: ignore[misc]
        for name, kind in zip(LASTING, ("503", "partial"), strict=True)
    ]
    ended = extract(folder, "holes", "--max-error-rate", "0.2", "--set", "fetch.attempts=2")
    assert ended.returncode == 0, ended.stderr
    found = download("holes", folder)
    errors = {Path(row["uri"]).stem: row for row in table(found, "errors").to_pylist()}
    assert {name: (row["stage"], row["category"], row["retryable"]) for name, row in errors.items()} == dict.fromkeys(
        LASTING, ("fetch", "unavailable", True)
    )
    good = [row for row in results(found) if not any(f"{name}.png" in row for name in LASTING)]
    assert good == [row for row in undisturbed if not any(f"{name}.png" in row for name in LASTING)]
    proxy.calm()
    ended = extract(folder, "filled", inputs="s3://forms/holes/errors")
    assert ended.returncode == 0, ended.stderr
    filled = results(download("filled", folder))
    assert sorted(good + filled) == undisturbed


@pytest.mark.slow  # with 503, Arrow's and Ray's own patience comes first: some minutes
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("part", "kind", "skip"), [("documents", "403", 2), ("checkpoint", "503", 3), ("run.json", "503", 0)]
)
def test_an_output_that_fails_for_good_ends_the_run_in_one_line_and_the_next_start_goes_on(
    store: tuple[Proxy, Path], undisturbed: list[str], part: str, kind: Kind, skip: int
) -> None:
    proxy, folder = store
    output = f"broken-{part}"

    def matches(method: str, path: str) -> bool:
        return method in ("PUT", "POST") and part in path.partition(f"/{output}/")[2]

    proxy.faults = [Fault(kind, matches, skip=skip)]
    ended = extract(folder, output)
    assert proxy.hits.get(kind), "nothing was refused"
    assert ended.returncode == 1, ended.stdout
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith(f"batch_extract.py: s3://forms/{output}: ")
    assert "the same command continues the run" in last
    proxy.calm()
    resumed = extract(folder, output)
    assert resumed.returncode == 0, resumed.stderr
    copy = download(output, folder)
    assert results(copy) == undisturbed
    assert json.loads((copy / "run.json").read_text())["documents"] == PAGES


@pytest.mark.slow  # a process and a Ray of its own, three times
@pytest.mark.timeout(900)
def test_a_killed_run_between_buckets_refuses_nobody_and_is_continued(
    store: tuple[Proxy, Path], undisturbed: list[str]
) -> None:
    proxy, folder = store
    arguments = [
        *("s3://forms/in/", "--output", "s3://forms/killed", "--model", folder / "bundle"),
        *("--annotations", folder / "labels.txt", *SMALL_STEPS),
    ]
    proxy.faults = [Fault("slow", lambda method, path: method == "GET" and "/in/" in path, seconds=1.0)]
    with started_job(*arguments, log=folder / "killed.log") as process:
        wait_for(lambda: any(method == "PUT" and "/killed/documents/" in path for method, path in proxy.requests))
        second = run_job(*arguments)
        assert (second.returncode, "is writing to s3://forms/killed" in second.stderr) == (2, True), second.stderr
        kill_group(process)
    proxy.calm()
    resumed = run_job(*arguments)
    assert resumed.returncode == 0, resumed.stderr
    assert results(download("killed", folder)) == undisturbed
