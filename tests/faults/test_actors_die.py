"""Actors that are killed in mid-run cost time; documents that kill their actor every time cost themselves."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults.ray_here import SMALL_STEPS, Ended, ray_here, results, run_here
from tests.job_support import draw_page, label_row, make_bundle, make_pages, run_file, table

PAGES = 36
POISON = ("ocr_poison", "model_poison")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("actors")
    make_bundle(folder / "bundle")
    labels = make_pages(folder, PAGES)
    (folder / "switches").mkdir()
    (folder / "poison").mkdir()
    for number, name in enumerate(POISON):
        draw_page(number).save(folder / f"poison/{name}.png")
        with labels.open("a", encoding="utf-8") as stream:
            stream.write(label_row(f"{name}.png", number))
    poison = Path(__file__).with_name("poison")
    with ray_here({"PYTHONPATH": str(poison), "KIE_RAY_TEST_POISON": str(folder / "switches")}):
        yield folder


@pytest.fixture
def switches(place: Path) -> Iterator[Path]:
    yield place / "switches"
    for file in (place / "switches").iterdir():
        file.unlink()


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> list[str]:
    ended = extract(place, "calm", place / "image")
    assert ended.returncode == 0, ended.stderr
    rows = results(place / "calm")
    assert len(rows) == PAGES
    return rows


def extract(place: Path, output: str, *inputs: Path, more: tuple[str, ...] = ()) -> Ended:
    return run_here(
        *(*inputs, "--output", place / output, "--model", place / "bundle"),
        *("--annotations", place / "labels.txt", *SMALL_STEPS, *more),
    )


class Killer(threading.Thread):
    """Kills the process behind each of `logs` in turn, each once it has begun some more pages, while the block runs."""

    def __init__(self, switches: Path, logs: Sequence[str], pages: int) -> None:
        super().__init__(name="killer", daemon=True)
        self._switches, self._logs, self._pages = switches, logs, pages
        self._over = threading.Event()
        self.killed: list[int] = []

    def __enter__(self) -> Killer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        for log in self._logs:
            seen = len(self._begun(log))
            while len(begun := self._begun(log)) < seen + self._pages:
                if self._over.wait(0.02):
                    return
            with contextlib.suppress(ProcessLookupError):
                os.kill(begun[-1], signal.SIGKILL)
                self.killed.append(begun[-1])

    def _begun(self, log: str) -> list[int]:
        try:
            return [int(line) for line in (self._switches / log).read_text().split("\n")[:-1]]
        except FileNotFoundError:
            return []


@pytest.mark.timeout(600)
def test_an_ocr_actor_and_a_model_actor_killed_in_mid_run_change_nothing(
    place: Path, undisturbed: list[str], switches: Path
) -> None:
    (switches / "slow").touch()
    with Killer(switches, ("ocr.log", "models.log"), pages=5) as killer:
        ended = extract(place, "killed", place / "image")
    assert ended.returncode == 0, ended.stderr
    assert len(killer.killed) == 2, "the job was over before its actors could be killed"
    assert results(place / "killed") == undisturbed
    again = extract(place, "killed", place / "image")
    assert "nothing was done" in again.stdout
    assert results(place / "killed") == undisturbed


@pytest.mark.timeout(600)
def test_documents_that_kill_their_actor_every_time_become_error_rows(
    place: Path, undisturbed: list[str], switches: Path
) -> None:
    for name in POISON:
        (switches / name).touch()
    ended = extract(place, "poisoned", place / "poison", place / "image", more=("--max-error-rate", "0.1"))
    assert ended.returncode == 0, ended.stderr
    report = run_file(place / "poisoned")
    assert (report["documents"], report["failed"]) == (PAGES + 2, 2)
    errors = {Path(row["uri"]).stem: row for row in table(place / "poisoned", "errors").to_pylist()}
    assert {name: (row["stage"], row["category"], row["retryable"]) for name, row in errors.items()} == {
        "ocr_poison": ("ocr", "crash", True),
        "model_poison": ("ser", "crash", True),
    }
    good = [row for row in results(place / "poisoned") if "_poison" not in row]
    assert good == undisturbed

    for name in POISON:  # what killed them is mended: errors/ is the input of the next run
        (switches / name).unlink()
    replayed = extract(place, "replayed", place / "poisoned/errors")
    assert replayed.returncode == 0, replayed.stderr
    report = run_file(place / "replayed")
    assert (report["documents"], report["succeeded"]) == (2, 2)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_actors_killed_at_random_moments_change_nothing(place: Path, undisturbed: list[str], switches: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"random moments from seed {seed}")
    (switches / "slow").touch()
    logs = ("ocr.log", "ocr.log", "models.log", "models.log")  # while the models start again, OCR comes to its end
    with Killer(switches, logs, pages=random.Random(seed).randint(1, 7)) as killer:
        # documents in work at a kill are counted: with the default of 2 an innocent one could be hit twice
        ended = extract(place, "often", place / "image", more=("--set", "max_attempts=7"))
    assert ended.returncode == 0, ended.stderr
    assert len(killer.killed) == 4
    assert results(place / "often") == undisturbed
