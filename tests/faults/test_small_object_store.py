"""Documents larger than Ray's object store: they go to disk, and the run ends as any other."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
import ray
from ray._private.internal_api import memory_summary

from tests.faults.ray_here import Ended, ray_here, results, run_here
from tests.job_support import draw_page, label_row, make_bundle

PAGES = 8
SIDE = 5800  # a BMP of 100 MB; Ray Data itself keeps a few small blocks in flight and no more
STORE = 80 * 2**20  # Ray starts none that is much smaller


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spill")
    make_bundle(folder / "bundle")
    (folder / "image").mkdir()
    with (folder / "labels.txt").open("w", encoding="utf-8") as labels:
        for number in range(PAGES):
            side = SIDE if number in (2, 3) else 200
            draw_page(number, (side, side)).save(folder / f"image/page_{number:05d}.bmp")
            labels.write(label_row(f"page_{number:05d}.bmp", number))
    return folder


def extract(place: Path, output: str, rows_per_block: int) -> Ended:
    return run_here(
        *(place / "image", "--output", place / output, "--model", place / "bundle"),
        *("--annotations", place / "labels.txt", "--set", f"splitting.rows_per_block={rows_per_block}"),
        *("--set", "pools.ocr.size=1", "--set", "pools.ser.size=1"),
    )


class Watch(threading.Thread):
    """`most`: MiB that did not fit into the store at any time, spilled to files or laid out in files at once."""

    def __init__(self) -> None:
        super().__init__(name="watch", daemon=True)
        self._address = ray.get_runtime_context().gcs_address
        self._ended = threading.Event()
        self.most = 0

    def run(self) -> None:
        while not self._ended.wait(0.1):
            summary = memory_summary(self._address, stats_only=True)
            found = re.findall(r"(?:Spilled|Plasma filesystem mmap usage:) (\d+) MiB", summary)
            self.most = max(self.most, sum(map(int, found)))

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


@pytest.mark.slow  # a Ray of its own, twice
@pytest.mark.timeout(600)
def test_blocks_larger_than_the_object_store_go_to_disk_and_nothing_is_lost(place: Path) -> None:
    with ray_here({}, object_store_memory=2**30), Watch() as watch:
        ended = extract(place, "calm", 1)
        assert ended.returncode == 0, ended.stderr
    assert watch.most == 0
    with ray_here({}, object_store_memory=STORE), Watch() as watch:
        ended = extract(place, "small", PAGES)
        assert ended.returncode == 0, ended.stderr
    assert watch.most > 0, "the store was large enough"
    rows = results(place / "small")
    assert len(rows) == PAGES
    assert rows == results(place / "calm")
