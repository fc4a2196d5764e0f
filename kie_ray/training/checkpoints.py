"""Checkpoints of a training run, local or in object storage: `latest`, `best`, each complete or not there at all.

    step-00001200-5f3a/   what the trainer wrote
    latest.json           names the folder of the last checkpoint, and what was known then
    best.json             names the folder of the best one

A checkpoint's folder is written first and then named by one small file that is replaced atomically, so a run that is
killed at any moment leaves the checkpoint before. Folders that no name points to are deleted at the next save.
"""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow.fs as pafs

from kie_ray.errors import ConfigError
from kie_ray.storage.files import delete_tree, exists, join, open_output, read_text, write_text
from kie_ray.storage.patience import retried
from kie_ray.storage.places import filesystem_for

Name = Literal["latest", "best"]
NAMES: tuple[Name, ...] = ("latest", "best")


class CheckpointStore:
    """The checkpoints below `uri` (a local folder or `s3://bucket/prefix`). One writer at a time."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def note(self, name: Name) -> dict[str, Any] | None:
        """What was given to `save` with that checkpoint, and its `folder`; None where there is none.

        Raises:
            ConfigError: the naming file is no JSON object with a folder.
        """
        file = join(self.uri, f"{name}.json")
        if not exists(file):
            return None
        try:
            note = json.loads(read_text(file))
            if not isinstance(note, dict) or not isinstance(note["folder"], str):
                raise TypeError("no folder")
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{file} names no checkpoint: {error}; delete it to start without") from error
        return note

    def save(self, names: Sequence[Name], write: Callable[[Path], None], step: int, **note: Any) -> None:
        """Let `write` fill a folder, keep it, then let `names` point to it."""
        folder = f"step-{step:08d}-{secrets.token_hex(2)}"
        work = Path(tempfile.mkdtemp(prefix="kie_ray-checkpoint-"))
        try:
            write(work)
            for file in sorted(item for item in work.rglob("*") if item.is_file()):
                place = join(self.uri, f"{folder}/{file.relative_to(work).as_posix()}")
                with open_output(place) as target, file.open("rb") as source:
                    shutil.copyfileobj(source, target, 2**20)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        for name in names:
            write_text(join(self.uri, f"{name}.json"), json.dumps({"folder": folder, "step": step, **note}) + "\n")
        self._delete_unnamed()

    @contextmanager
    def open(self, name: Name) -> Iterator[Path]:
        """A local folder with the files of a checkpoint.

        Raises:
            ConfigError: there is no such checkpoint.
        """
        note = self.note(name)
        if note is None:
            raise ConfigError(f"{self.uri} holds no {name} checkpoint")
        filesystem, root = filesystem_for(join(self.uri, note["folder"]))
        with tempfile.TemporaryDirectory(prefix="kie_ray-checkpoint-") as work:
            local = pafs.LocalFileSystem()
            retried(pafs.copy_files)(root, work, source_filesystem=filesystem, destination_filesystem=local)
            yield Path(work)

    def _delete_unnamed(self) -> None:
        named = {note["folder"] for name in NAMES if (note := self.note(name))}
        filesystem, root = filesystem_for(self.uri)
        for item in filesystem.get_file_info(pafs.FileSelector(root, allow_not_found=True)):
            ours = item.type == pafs.FileType.Directory and item.base_name.startswith("step-")
            if ours and item.base_name not in named:
                delete_tree(join(self.uri, item.base_name))
