"""Pools sized by a calibration: real Ray, real workers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from kie_ray.config import load_settings
from kie_ray.schemas import MANIFEST_SCHEMA
from pipelines.calibration import calibrate, is_worth_it
from pipelines.cluster import plan_pools
from pipelines.config import ExtractConfig
from pipelines.layout import OutputLayout
from pipelines.tables import JobContext
from tests.job_support import make_bundle, make_pages, rows_without_timings, run_file, run_job


def test_only_long_runs_with_an_open_size_are_calibrated() -> None:
    def worth_it(rows: int, *settings: str) -> bool:
        config = load_settings(ExtractConfig, None, list(settings))
        return is_worth_it(config, plan_pools(config, {"CPU": 6}, 4), rows, 4)

    assert worth_it(4000)
    assert not worth_it(3999)
    assert worth_it(4, "pools.calibrate_from=1")
    assert not worth_it(10**9, "pools.calibrate_from=0")
    assert worth_it(4000, "pools.ocr.size=2")
    assert not worth_it(4000, "pools.ocr.size=2", "pools.ser.size=1")
    assert not worth_it(4000, "pools.ocr.threads=2")


def test_a_calibrated_run_is_whole_and_says_what_it_timed(tmp_path: Path) -> None:
    labels = make_pages(tmp_path, 12)
    (tmp_path / "image" / "aaa.png").write_bytes(b"no picture")
    bundle = make_bundle(tmp_path / "bundle")
    result = run_job(
        *(tmp_path / "image", "--output", tmp_path / "out", "--model", bundle, "--annotations", labels),
        *("--set", "pools.calibrate_from=1", "--max-error-rate", "1"),
    )
    assert result.returncode == 0, result.stderr
    report = run_file(tmp_path / "out")
    found = report["calibration"]
    assert found["pages"] == 7, "eight documents, one of them no picture"
    assert found["ocr"] > 0
    assert found["models"]["ser"] > found["ocr"], "labels stand in for OCR, so the model is what costs"
    assert (report["documents"], report["pages"], report["failed"]) == (13, 12, 1)
    assert len(set(rows_without_timings(tmp_path / "out"))) == 13
    assert report["pools"]["ser"]["max_size"] >= report["pools"]["ocr"]["max_size"]


@pytest.fixture
def local_ray() -> Iterator[None]:
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


def test_a_worker_that_fails_leaves_the_rules(
    tmp_path: Path, local_ray: None, caplog: pytest.LogCaptureFixture
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels = make_pages(tmp_path, 2)
    config = load_settings(ExtractConfig, None, ["ocr.engine=annotations", f"ocr.annotations={labels}"])
    layout = OutputLayout(str(tmp_path / "out"))
    Path(layout.manifest).mkdir(parents=True)
    rows = [{"row_id": str(n), "doc_id": str(n), "uri": f"{tmp_path}/image/page_{n:05d}.png"} for n in range(2)]
    pq.write_table(pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA), Path(layout.manifest) / "part-0.parquet")
    plan = plan_pools(config, ray.cluster_resources(), 2)
    job = JobContext(config, str(tmp_path / "nowhere"), {}, "test", None, "none")
    with caplog.at_level(logging.WARNING):
        assert calibrate(layout, plan, job) is None
    assert "sized without a calibration" in caplog.text
