"""A bundle of two models runs in two pools and answers as one encoder with both heads does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.job_support import make_bundle, make_pages, rows_without_timings, run_file, run_job


@pytest.mark.slow
def test_a_pool_for_re_of_its_own(tmp_path: Path) -> None:
    labels = make_pages(tmp_path, 6)
    rows = {}
    for name in ("one", "two"):
        make_bundle(tmp_path / name, two_models=name == "two")
        output = tmp_path / f"out-{name}"
        result = run_job(
            *(tmp_path / "image", "--output", output, "--model", tmp_path / name, "--annotations", labels),
        )
        assert result.returncode == 0, result.stderr
        rows[name] = [json.loads(row) for row in rows_without_timings(output)]
        pools = run_file(output)["pools"]
        assert (pools["re"] is None) == (name == "one")
        assert run_file(output)["stages"]["re"]["busy_seconds"] > 0
    for one, two in zip(rows["one"], rows["two"], strict=True):
        assert one["pages"] == two["pages"]
        assert one["pages"][0]["links"]
