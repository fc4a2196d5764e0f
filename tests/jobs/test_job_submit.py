"""docs/clusters.md in practice: a real Ray head with its jobs API and a token, `ray job submit`, `stop`, and again."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import GCS_STORAGE_MAX_SIZE, create_package

from tests.job_support import ROOT, make_bundle, make_pages, rows_without_timings, run_file, table
from tests.kie_ray.s3_server import environment as s3_environment
from tests.kie_ray.s3_server import running_s3_server
from tests.ray_nodes import RAY, RayNodes, running_nodes

FEW, MANY = 8, 200
SMALL_STEPS = ("--set", "splitting.rows_per_block=1", "--set", "splitting.rows_per_file=3")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submit")
    make_pages(folder / "few", FEW)
    make_pages(folder / "many", MANY)
    return folder


@pytest.fixture(scope="module")
def checkout(place: Path) -> Path:
    """A checkout whose bundled model is a tiny one: its name and scores tell whose code and model a worker ran."""
    target = place / "checkout"
    leave_out = shutil.ignore_patterns("__pycache__", "bundles", "samples")
    for name in ("jobs", "pipelines", "kie_ray"):
        shutil.copytree(ROOT / name, target / name, ignore=leave_out)
    for name in (".gitignore", ".rayignore"):
        shutil.copy(ROOT / name, target)
    make_bundle(target / "kie_ray/bundles/default")
    return target


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayNodes]:
    """A head that does no work, alone as yet."""
    with running_nodes(0) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def storage(place: Path) -> Iterator[dict[str, str]]:
    """A bucket with the few pages; what is given is known to nobody but a job that is told."""
    import boto3

    with running_s3_server() as endpoint:
        client = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
        )
        client.create_bucket(Bucket="forms")
        for file in (place / "few/image").iterdir():
            client.upload_file(str(file), "forms", f"in/{file.name}")
        client.upload_file(str(place / "few/labels.txt"), "forms", "labels.txt")
        yield s3_environment(endpoint)


def ray_job(cluster: RayNodes, *arguments: str | Path, timeout: float = 400) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(RAY), "job", arguments[0], "--address", cluster.dashboard, *map(str, arguments[1:])],
        env=cluster.environment(),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def status(cluster: RayNodes, name: str) -> str:
    return str(cluster.ask(f"/api/jobs/{name}")["status"])


def logs(cluster: RayNodes, name: str) -> str:
    return str(cluster.ask(f"/api/jobs/{name}/logs")["logs"])


def submit(
    cluster: RayNodes,
    checkout: Path,
    name: str,
    *arguments: str | Path,
    variables: dict[str, str] | None = None,
    wait: bool = True,
) -> subprocess.CompletedProcess[str]:
    return ray_job(
        cluster,
        *("submit", "--submission-id", name, "--working-dir", checkout, *([] if wait else ["--no-wait"])),
        *("--runtime-env-json", json.dumps({"env_vars": {"OMP_NUM_THREADS": "1", **(variables or {})}})),
        *("--", "python", "jobs/batch_extract.py", *arguments),
    )


@pytest.fixture(scope="module")
def first(place: Path, cluster: RayNodes, checkout: Path, storage: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The walk-through's job: bucket in, keys by the runtime environment; a worker joins while the job waits for it."""
    started = submit(
        cluster,
        checkout,
        "forms-1",
        *("s3://forms/in/", "--output", place / "first", "--annotations", "s3://forms/labels.txt"),
        variables=storage,
        wait=False,
    )
    assert started.returncode == 0, started.stderr
    deadline = time.monotonic() + 300
    while "waiting for nodes" not in logs(cluster, "forms-1"):
        assert time.monotonic() < deadline, logs(cluster, "forms-1")
        time.sleep(0.1)
    cluster.wait(cluster.start(2))
    return ray_job(cluster, "logs", "--follow", "forms-1")


def scores(output: Path) -> list[tuple[str, int, str, float]]:
    """What the models said of each line of each page."""
    rows = table(output, "entities").to_pylist()
    return sorted((Path(row["uri"]).name, row["line_id"], row["label"], row["label_score"]) for row in rows)


@pytest.mark.timeout(900)
def test_a_submitted_job_runs_the_uploaded_code(
    place: Path, cluster: RayNodes, first: subprocess.CompletedProcess[str]
) -> None:
    assert "Job 'forms-1' succeeded" in first.stdout, first.stdout + first.stderr
    assert "the cluster has 0 CPUs and 0 GPUs, the smallest run needs 2 CPUs" in first.stdout
    assert f"{FEW} documents: {FEW} succeeded" in first.stdout
    assert status(cluster, "forms-1") == "SUCCEEDED"
    rows = [json.loads(row) for row in rows_without_timings(place / "first")]
    assert sorted(row["uri"] for row in rows) == [f"s3://forms/in/page_{number:05d}.png" for number in range(FEW)]
    assert {row["provenance"]["bundle"].partition(":")[0] for row in rows} == {"tiny-random"}
    assert len(scores(place / "first")) == 4 * FEW


@pytest.mark.timeout(900)
def test_an_id_is_taken_once(
    place: Path, cluster: RayNodes, checkout: Path, first: subprocess.CompletedProcess[str]
) -> None:
    again = submit(cluster, checkout, "forms-1", place / "few/image", "--output", place / "again")
    assert again.returncode == 1
    assert "submission_id forms-1 already exists" in again.stdout + again.stderr
    assert not (place / "again").exists()
    assert status(cluster, "forms-1") == "SUCCEEDED"


@pytest.mark.timeout(900)
def test_a_driver_on_the_cluster_brings_its_code_to_the_workers(
    place: Path, cluster: RayNodes, checkout: Path, first: subprocess.CompletedProcess[str]
) -> None:
    """Not submitted, started by hand with RAY_ADDRESS: the workers' own packages (another model) are not taken."""
    arguments = [place / "few/image", "--output", place / "by-hand", "--annotations", place / "few/labels.txt"]
    done = subprocess.run(
        ["python", str(checkout / "jobs/batch_extract.py"), *map(str, arguments)],
        env=cluster.environment(RAY_ADDRESS=cluster.address),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert scores(place / "by-hand") == scores(place / "first")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("first")  # it brings the worker
def test_a_stopped_job_is_continued_by_the_next(place: Path, cluster: RayNodes, checkout: Path) -> None:
    output = place / "stopped"
    arguments = [place / "many/image", "--output", output, "--annotations", place / "many/labels.txt", *SMALL_STEPS]
    started = submit(cluster, checkout, "forms-2", *arguments, wait=False)
    assert started.returncode == 0, started.stderr
    deadline = time.monotonic() + 400
    while len(committed(output)) < 2:
        assert time.monotonic() < deadline, logs(cluster, "forms-2")
        time.sleep(0.05)
    # as `ray job stop` does, without the seconds that the command takes to start: the job would be over by then
    assert cluster.ask("/api/jobs/forms-2/stop", "POST") == {"stopped": True}
    while (state := status(cluster, "forms-2")) == "RUNNING":
        assert time.monotonic() < deadline, logs(cluster, "forms-2")
        time.sleep(0.1)
    assert state == "STOPPED", "the stop came after the end; use more pages"
    assert "SIGTERM received at" not in logs(cluster, "forms-2"), "Ray's own handler ended the driver"
    assert not (output / "run.json").exists()

    resumed = submit(cluster, checkout, "forms-3", *arguments)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "rows were there from an earlier start" in resumed.stdout
    assert len({json.loads(row)["row_id"] for row in rows_without_timings(output)}) == MANY
    assert run_file(output)["documents"] == table(output, "documents").num_rows == MANY


def committed(output: Path) -> list[Path]:
    return [path for path in output.glob(".kie_ray/checkpoint-*/*.parquet") if ".pending." not in path.name]


def test_the_jobs_api_is_closed_to_those_without_the_token(cluster: RayNodes) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{cluster.dashboard}/api/jobs/", timeout=30)
    assert refused.value.code == 401
    with urllib.request.urlopen(f"{cluster.dashboard}/api/gcs_healthz", timeout=30) as answer:
        assert answer.status == 200, "a probe of Kubernetes has no token"


def test_the_upload_is_small_and_whole(tmp_path: Path) -> None:
    package = tmp_path / "package.zip"
    create_package(str(ROOT), package, include_gitignore=True)
    assert package.stat().st_size < 40 * 2**20 < GCS_STORAGE_MAX_SIZE
    names = set(zipfile.ZipFile(package).namelist())
    assert {name.partition("/")[0] for name in names if "/" in name} == {"jobs", "pipelines", "kie_ray"}
    wanted = ["jobs/batch_extract.py", "kie_ray/configs/extract.yaml", "kie_ray/bundles/default/bundle.json"]
    assert names.issuperset(wanted)
    code = {str(path.relative_to(ROOT)) for name in ("pipelines", "kie_ray") for path in (ROOT / name).rglob("*.py")}
    assert code <= names
