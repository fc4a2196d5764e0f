"""Checkpoints are complete or not there, whatever happens while they are written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kie_ray.errors import ConfigError
from kie_ray.training.checkpoints import CheckpointStore


def write(text: str, where: Path) -> None:
    (where / "sub").mkdir()
    (where / "sub" / "state").write_text(text)


def content(store: CheckpointStore, name: str) -> str:
    with store.open(name) as folder:  # type: ignore[arg-type]
        return (folder / "sub" / "state").read_text()


def folders(place: Path) -> int:
    return sum(item.is_dir() for item in place.iterdir())


def test_latest_and_best_are_kept_and_nothing_else(tmp_path: Path) -> None:
    store = CheckpointStore(str(tmp_path / "store"))
    assert store.note("latest") is None
    store.save(["latest", "best"], lambda folder: write("one", folder), 1, ser_hmean=0.5)
    for step in (2, 3):
        store.save(["latest"], lambda folder, step=step: write(str(step), folder), step)  # type: ignore[misc]
    assert content(store, "best") == "one"
    assert content(store, "latest") == "3"
    assert store.note("best") == {"folder": store.note("best")["folder"], "step": 1, "ser_hmean": 0.5}  # type: ignore[index]
    assert folders(tmp_path / "store") == 2


def test_a_failure_while_writing_leaves_the_one_before(tmp_path: Path) -> None:
    store = CheckpointStore(str(tmp_path))
    store.save(["latest"], lambda folder: write("good", folder), 1)

    def breaks(folder: Path) -> None:
        write("half", folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.save(["latest"], breaks, 2)
    assert content(store, "latest") == "good"


def test_what_a_kill_left_behind_is_removed_by_the_next_save(tmp_path: Path) -> None:
    store = CheckpointStore(str(tmp_path))
    (tmp_path / "step-00000007-dead").mkdir()
    (tmp_path / "mine").mkdir()
    store.save(["latest"], lambda folder: write("good", folder), 8)
    assert not (tmp_path / "step-00000007-dead").exists()
    assert (tmp_path / "mine").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"folder": 3}', "{"])
def test_a_damaged_name_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "latest.json").write_text(text)
    with pytest.raises(ConfigError, match=r"latest\.json names no checkpoint"):
        CheckpointStore(str(tmp_path)).note("latest")


def test_the_naming_file_is_readable_by_people(tmp_path: Path) -> None:
    CheckpointStore(str(tmp_path)).save(["latest"], lambda folder: write("x", folder), 12)
    assert json.loads((tmp_path / "latest.json").read_text())["step"] == 12
    with pytest.raises(ConfigError, match="no best checkpoint"), CheckpointStore(str(tmp_path)).open("best"):
        pass
