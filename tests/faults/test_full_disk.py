"""A disk that is full: the run ends in one line, and the same command continues it once there is room."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.layout import OutputLayout
from tests.faults.ray_here import SMALL_STEPS, Ended, ray_here, results, run_here, wait_for
from tests.job_support import make_bundle, make_pages, run_file

PAGES = 36
DISK_BYTES = 4 * 2**20


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("full")
    make_bundle(folder / "bundle")
    make_pages(folder, PAGES)
    switches = folder / "switches"
    switches.mkdir()
    (switches / "slow").touch()  # so that the disk is full before everything is written
    poison = Path(__file__).with_name("poison")
    with ray_here({"PYTHONPATH": str(poison), "KIE_RAY_TEST_POISON": str(switches)}):
        yield folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs a small disk, and there is no mount command")
    if done.returncode != 0:
        pytest.skip(f"needs a small disk, and mounting one is not allowed here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def committed(output: Path) -> list[Path]:
    return [path for path in output.glob(".kie_ray/checkpoint-*/*.parquet") if ".pending." not in path.name]


def fill(disk: Path) -> Path:
    """Take all the room that is left, with a file that is returned."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**16, 2**12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    return filler


def extract(place: Path, output: Path) -> Ended:
    return run_here(
        *(place / "image", "--output", output, "--model", place / "bundle"),
        *("--annotations", place / "labels.txt", *SMALL_STEPS),
    )


def check_it_was_told(ended: Ended, output: Path) -> None:
    assert ended.returncode == 1, ended.stdout
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith(f"batch_extract.py: {output}: no space left on the device")
    assert "make room; then the same command continues the run" in last
    assert not (output / "run.json").exists()


@pytest.mark.slow  # the job four times
@pytest.mark.timeout(600)
def test_a_disk_that_fills_up_in_mid_run(place: Path, disk: Path) -> None:
    output = disk / "out"

    def fill_in_mid_run() -> None:
        wait_for(lambda: committed(output))
        fill(disk)

    thread = threading.Thread(target=fill_in_mid_run, daemon=True)
    thread.start()
    check_it_was_told(extract(place, output), output)
    thread.join(10)
    # and once more, before anything can be written at all
    check_it_was_told(extract(place, output), output)

    (disk / "filler").unlink()
    resumed = extract(place, output)
    assert resumed.returncode == 0, resumed.stderr
    assert "rows were there" in resumed.stdout
    assert run_file(output)["documents"] == PAGES
    calm = extract(place, place / "calm")
    assert calm.returncode == 0, calm.stderr
    assert results(output) == results(place / "calm")


def test_a_file_of_the_run_is_whole_or_the_old_one(disk: Path) -> None:
    layout = OutputLayout(str(disk / "out"))
    layout.write_json(layout.state_file, {"old": 1})
    fill(disk)
    with pytest.raises(OSError, match="No space left"):
        layout.write_json(layout.state_file, {"new": "x" * 100_000})
    assert layout.read_json(layout.state_file) == {"old": 1}
