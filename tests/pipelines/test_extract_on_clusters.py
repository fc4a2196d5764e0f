"""The job where a user has less, or other, than one machine with local disks: a 2-CPU cluster, an object store."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.job_support import ROOT, environment, make_bundle, make_pages, rows_without_timings, run_job
from tests.kie_ray.s3_server import environment as s3_environment
from tests.kie_ray.s3_server import running_s3_server

PAGES = 30
KEEP_FILES = ("--set", "splitting.merge_files=false")  # half of the commits can be taken back only from such a run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clusters")
    make_bundle(folder / "bundle")
    make_pages(folder, PAGES)
    return folder


SCRIPT = """
import sys, ray
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
sys.argv[1:] = {arguments!r}
sys.path.insert(0, {root!r})
from jobs.batch_extract import main
sys.exit(main())
"""


def test_a_resumed_run_does_not_hang_on_a_cluster_of_two_cpus(place: Path, tmp_path: Path) -> None:
    """The filter of a resumed run is an actor that takes a CPU of its own: with Ray's defaults this dead-locks."""
    arguments = [str(place / "image"), "--output", str(tmp_path / "out"), "--model", str(place / "bundle")]
    arguments += ["--annotations", str(place / "labels.txt"), "--set", "splitting.rows_per_file=5"]
    arguments += KEEP_FILES

    def run() -> None:
        script = SCRIPT.format(arguments=arguments, root=str(ROOT))
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, done.stderr

    run()
    rows = rows_without_timings(tmp_path / "out")
    assert len(list((tmp_path / "out/documents").glob("*.parquet"))) > 1
    (tmp_path / "out/run.json").unlink()
    for name in sorted(path.stem for path in (tmp_path / "out").glob(".kie_ray/checkpoint-*/*.parquet"))[::2]:
        next((tmp_path / "out").glob(f".kie_ray/checkpoint-*/{name}.parquet")).unlink()
    run()
    assert rows_without_timings(tmp_path / "out") == rows


@pytest.fixture(scope="module")
def bucket(place: Path) -> Iterator[dict[str, str]]:
    import boto3

    with running_s3_server() as endpoint:
        client = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
        )
        client.create_bucket(Bucket="forms")
        for file in (place / "image").iterdir():
            client.upload_file(str(file), "forms", f"in/{file.name}")
        client.upload_file(str(place / "labels.txt"), "forms", "labels.txt")
        yield s3_environment(endpoint)


@pytest.mark.slow
def test_a_bucket_in_and_a_bucket_out(
    place: Path, bucket: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in bucket.items():
        monkeypatch.setenv(name, value)
    arguments = ["s3://forms/in/", "--output", "s3://forms/tables/run", "--model", place / "bundle"]
    arguments += ["--annotations", "s3://forms/labels.txt", "--preview", "1", *KEEP_FILES]
    result = run_job(*arguments)
    assert result.returncode == 0, result.stderr
    again = run_job(*arguments)
    assert (again.returncode, "nothing was done" in again.stdout) == (0, True), again.stderr
    local = download("tables/run", tmp_path / "copy", bucket)
    assert len(rows_without_timings(local)) == PAGES
    assert (local / "preview/index.html").is_file()
    assert "Extraction run" in (local / "report.html").read_text(encoding="utf-8")
    calm = run_job(
        place / "image",
        "--output",
        tmp_path / "out",
        "--model",
        place / "bundle",
        "--annotations",
        place / "labels.txt",
    )
    assert calm.returncode == 0, calm.stderr
    assert contents(local) == contents(tmp_path / "out")

    # an interrupted run on a bucket: half of the commits and the mark of the end are gone
    remove(bucket, "tables/run/run.json", *sorted(keys(bucket, "tables/run/.kie_ray/checkpoint-"))[::2])
    resumed = run_job(*arguments)
    assert resumed.returncode == 0, resumed.stderr
    assert "rows were there" in resumed.stdout
    shutil.rmtree(local)
    assert contents(download("tables/run", local, bucket)) == contents(tmp_path / "out")


def contents(output: Path) -> list[tuple[str, str]]:
    """What was extracted from which page; uris and ids differ between a bucket and a disk."""
    from tests.job_support import table

    entities = table(output, "entities").to_pylist()
    return sorted(
        (Path(row["uri"]).name, f"{row['line_id']} {row['text']} {row['label']} {row['label_score']}")
        for row in entities
    )


def keys(bucket: dict[str, str], prefix: str) -> list[str]:
    listed = client_of(bucket).get_paginator("list_objects_v2").paginate(Bucket="forms", Prefix=prefix)
    return [item["Key"] for page in listed for item in page.get("Contents", []) if not item["Key"].endswith("/")]


def remove(bucket: dict[str, str], *names: str) -> None:
    for name in names:
        client_of(bucket).delete_object(Bucket="forms", Key=name)


def download(prefix: str, target: Path, bucket: dict[str, str]) -> Path:
    for key in keys(bucket, prefix + "/"):
        file = target / key.removeprefix(prefix + "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        client_of(bucket).download_file("forms", key, str(file))
    return target


def client_of(bucket: dict[str, str]):  # type: ignore[no-untyped-def]
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=bucket["AWS_ENDPOINT_URL"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
