"""SIGKILL at random moments, and what it can leave behind: the next start loses nothing and writes nothing twice."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.job_support import (
    kill_group,
    make_bundle,
    make_pages,
    rows_without_timings,
    run_file,
    run_job,
    started_job,
    table,
)

PAGES = 240
SMALL_STEPS = ("--set", "splitting.rows_per_block=3", "--set", "splitting.rows_per_file=6")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill")
    make_bundle(folder / "bundle")
    make_pages(folder, PAGES)
    return folder


def arguments(place: Path, output: str) -> list[str | Path]:
    return [
        *(place / "image", "--output", place / output, "--model", place / "bundle"),
        *("--annotations", place / "labels.txt", *SMALL_STEPS),
    ]


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> list[str]:
    result = run_job(*arguments(place, "calm"))
    assert result.returncode == 0, result.stderr
    rows = rows_without_timings(place / "calm")
    assert len(rows) == PAGES
    return rows


def committed(output: Path) -> list[Path]:
    return [path for path in output.glob(".kie_ray/checkpoint-*/*.parquet") if ".pending." not in path.name]


@pytest.mark.timeout(600)
def test_three_kills_at_random_moments_change_nothing(place: Path, undisturbed: list[str]) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"random moments from seed {seed}")
    moments = random.Random(seed)
    output = place / "killed"
    seen = []
    for kill in range(3):
        wanted = len(committed(output)) + moments.randint(0, 8)
        with started_job(*arguments(place, "killed"), log=place / "killed.log") as process:
            deadline = time.monotonic() + 200
            while len(committed(output)) < wanted and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(moments.random() * 2)
            kill_group(process)
        seen.append(len(committed(output)))
        if kill == 0:
            assert not (output / "run.json").exists(), "the first kill came after the end; use more pages"
    print(f"committed files at the kills: {seen}")
    leave_behind(output)
    result = run_job(*arguments(place, "killed"))
    assert result.returncode == 0, result.stderr
    assert rows_without_timings(output) == undisturbed
    assert run_file(output)["documents"] == PAGES
    assert table(output, "entities").num_rows == table(place / "calm", "entities").num_rows


def leave_behind(output: Path) -> None:
    """What a kill between data and commit leaves, and what an actor that outlived its driver does."""
    done = committed(output)
    if not done or (output / "run.json").exists():
        return
    checkpoint = done[0].parent
    data = next((output / "documents").glob(f"{done[0].stem}-*.parquet"))
    shutil.copy(data, output / "documents/pending_000001_000000-0.parquet")
    shutil.copy(done[0], checkpoint / "pending_000001_000000.pending.parquet")
    shutil.copy(data, output / "documents/orphan_000001_000000-0.parquet")
    (output / "documents/torn_000001_000000-0.parquet").write_bytes(data.read_bytes()[:50])


def test_a_data_file_that_disappears_is_noticed(place: Path, undisturbed: list[str]) -> None:
    output = place / "thinned"
    shutil.copytree(place / "calm", output)
    (output / "run.json").unlink()
    lost = next((output / "documents").glob("*.parquet"))
    rows = pq.read_metadata(lost).num_rows
    lost.unlink()
    result = run_job(*arguments(place, "thinned"))
    assert result.returncode == 1
    assert f"{rows} missing" in result.stderr
    assert not (output / "run.json").exists()


def test_a_row_that_is_written_twice_is_noticed(place: Path, undisturbed: list[str]) -> None:
    output = place / "doubled"
    shutil.copytree(place / "calm", output)
    (output / "run.json").unlink()
    (file,) = (output / "documents").glob("*.parquet")
    rows = pq.read_table(file)
    pq.write_table(pa.concat_tables([rows, rows.slice(0, 2)]), file)
    result = run_job(*arguments(place, "doubled"))
    assert result.returncode == 1
    assert "0 missing" in result.stderr
    assert "2 more than once" in result.stderr
    assert not (output / "run.json").exists()
