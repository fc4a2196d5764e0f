"""Where everything of a run lies, the state that makes it resumable, and the removal of what the job owns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

from kie_ray.errors import ConfigError
from kie_ray.storage import filesystem_for, s3
from kie_ray.storage.patience import retried
from kie_ray.storage.places import scheme_of
from pipelines.failures import storage_failures_told
from pipelines.lock import local_lock, s3_lock

TABLES = ("fields", "entities", "errors")


class OutputLayout:
    """Paths under OUTPUT; local or on an object store, always spoken to through one `pyarrow.fs.FileSystem`.

    Raises:
        ConfigError: the uri names no storage that we know, or a local path that is a file.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/") or uri
        try:
            self.filesystem, root = filesystem_for(self.uri)
            root.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"--output {uri!a} is no UTF-8; choose another name") from error
        except ValueError as error:
            raise ConfigError(f"--output {error}") from error
        self.is_local = isinstance(self.filesystem, pafs.LocalFileSystem)
        self.root = root if self.is_local else root.rstrip("/")
        if self.is_local and Path(self.root).is_file():
            raise ConfigError(f"--output {uri} is a file; it must be a directory or a prefix")
        self.hidden = f"{self.root}/.kie_ray"
        self.manifest = f"{self.hidden}/manifest"
        self.staging = f"{self.hidden}/tables"
        self.merging = f"{self.hidden}/merging"
        self.merged_file = f"{self.hidden}/merged.json"
        self.state_file = f"{self.hidden}/state.json"
        self.documents = f"{self.root}/documents"
        self.preview = f"{self.root}/preview"
        self.run_file = f"{self.root}/run.json"
        self.report_file = f"{self.root}/report.html"

    def checkpoint(self, fingerprint: str) -> str:
        return f"{self.hidden}/checkpoint-{fingerprint}"

    def table(self, name: str) -> str:
        return f"{self.root}/{name}"

    def shown(self, path: str) -> str:
        """`path` as a person would type it."""
        return self.uri + path.removeprefix(self.root)

    @retried
    def read_json(self, path: str) -> dict[str, Any] | None:
        """The JSON object at `path`, None where there is no file."""
        if self.filesystem.get_file_info(path).type != pafs.FileType.File:
            return None
        with self.filesystem.open_input_stream(path) as stream:
            content = json.loads(stream.read())
        if not isinstance(content, dict):
            raise ConfigError(f"{self.shown(path)} does not hold a JSON object")
        return content

    @retried
    def write_json(self, path: str, content: dict[str, Any]) -> None:
        """Write so that a reader sees the old file or the new one, never half of it."""
        data = (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
        self.filesystem.create_dir(path.rsplit("/", 1)[0], recursive=True)
        # a PUT to an object store is atomic by itself; a local file needs the rename
        target = f"{path}.new" if self.is_local else path
        with self.filesystem.open_output_stream(target) as stream:
            stream.write(data)
        if self.is_local:
            self.filesystem.move(target, path)

    def files(self, folder: str, suffix: str = ".parquet") -> list[pafs.FileInfo]:
        """Files directly below `folder` whose name ends with `suffix`, sorted by path; empty where it is missing."""
        found = self.filesystem.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
        kept = [item for item in found if item.type == pafs.FileType.File and item.path.endswith(suffix)]
        return sorted(kept, key=lambda item: str(item.path))

    def delete_file(self, path: str) -> None:
        if self.filesystem.get_file_info(path).type == pafs.FileType.File:
            self.filesystem.delete_file(path)

    def delete_dir(self, path: str) -> None:
        if self.filesystem.get_file_info(path).type == pafs.FileType.Directory:
            self.filesystem.delete_dir(path)

    def foreign(self) -> list[str]:
        """Names in OUTPUT's own folders that this job did not write; a new run must not mix with them."""
        names = []
        for folder in ("documents", *TABLES):
            if self.files(f"{self.root}/{folder}"):
                names.append(f"{folder}/")
        if self.filesystem.get_file_info(self.report_file).type == pafs.FileType.File:
            names.append("report.html")
        return names

    def remove_run(self) -> None:
        """Remove exactly what the batch job writes. run.json goes first: without it nothing looks finished."""
        self.delete_file(self.run_file)
        self.delete_file(self.report_file)
        for folder in (*TABLES, "documents"):
            for item in self.files(f"{self.root}/{folder}"):
                self.filesystem.delete_file(item.path)
            if not self._holds_anything(f"{self.root}/{folder}"):
                self.delete_dir(f"{self.root}/{folder}")
        self.delete_dir(self.preview)
        for item in self.filesystem.get_file_info(pafs.FileSelector(self.hidden, allow_not_found=True)):
            if item.type == pafs.FileType.Directory:
                self.filesystem.delete_dir(item.path)
            elif item.base_name != "lock":
                self.filesystem.delete_file(item.path)

    def _holds_anything(self, folder: str) -> bool:
        return bool(self.filesystem.get_file_info(pafs.FileSelector(folder, allow_not_found=True)))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold OUTPUT for this process, so that two runs never write to it at once, and tell its failures in one line.

        The lock of a run that was killed goes to the next one. Google's store is not locked: Arrow speaks to it without
        conditional writes. There, finalize finds the rows of a second writer and refuses the result.

        Raises:
            ConfigError: another run holds it, or nothing can be written there.
            IncompleteRun: the storage failed while OUTPUT was held.
        """
        if self.is_local:
            lock: AbstractContextManager[None] = local_lock(Path(self.hidden, "lock"), self.uri)
        elif scheme_of(self.uri) == "s3":
            lock = s3_lock(*s3.split(f"{self.uri}/.kie_ray/lock"), self.uri)
        else:
            lock = nullcontext()
        with storage_failures_told(self.uri), lock:
            yield
