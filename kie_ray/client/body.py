"""What is sent: a file as it is, a file with annotations as a form, or lines as JSON; files are read meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kie_ray.records import Page

Source = str | Path | bytes | IO[bytes]
"""A file: its path, its bytes, or an open binary file, which is sent from where it stands."""

Annotations = Sequence[Mapping[str, Any]] | Sequence[Sequence[Mapping[str, Any]]] | str
"""PaddleOCR's JSON in place of OCR: a list of {"transcription", "points"[, "id"]} for a document of one page, or a list
of such lists, one a page; or its text."""

_CHUNK_BYTES = 2**18


@dataclass(slots=True)
class Body:
    """A request's body, for several attempts: `head`, then `size` bytes of `file` from `start`, then `tail`."""

    content_type: str
    head: bytes
    file: IO[bytes] | None = None
    start: int = 0
    size: int = 0
    tail: bytes = b""

    @property
    def headers(self) -> dict[str, str]:
        length = len(self.head) + self.size + len(self.tail)
        return {"Content-Type": self.content_type, "Content-Length": str(length)}

    def chunks(self) -> Iterator[bytes]:
        """The body from its beginning. Raises OSError: the file became shorter."""
        yield from self._filled(self.head)
        left = self.size
        if self.file is not None:
            self.file.seek(self.start)
            while left:
                left -= len(chunk := self._read(left))
                yield chunk
        yield from self._filled(self.tail)

    async def async_chunks(self) -> AsyncIterator[bytes]:
        """As `chunks`; the event loop does not wait for the disk."""
        chunks = self.chunks()
        if self.file is None or isinstance(self.file, io.BytesIO):
            for chunk in chunks:
                yield chunk
        else:
            while chunk := await asyncio.to_thread(next, chunks, b""):
                yield chunk

    def _read(self, left: int) -> bytes:
        assert self.file is not None
        chunk = self.file.read(min(left, _CHUNK_BYTES))
        if not chunk:
            raise OSError(f"{getattr(self.file, 'name', 'the file')} became {left} bytes shorter while it was sent")
        return chunk

    @staticmethod
    def _filled(part: bytes) -> Iterator[bytes]:
        if part:
            yield part


@contextlib.contextmanager
def file_body(source: Source, name: str | None, annotations: Annotations | None) -> Iterator[Body]:
    """The body of `source`: its bytes, or with `annotations` a form of both; a path is closed at the end.

    Raises:
        OSError: the file cannot be read.
        TypeError: the source is no path, bytes or binary file.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(source, str | Path):
            file: IO[bytes] = stack.enter_context(open(source, "rb"))
        elif isinstance(source, bytes):
            file = io.BytesIO(source)
        elif hasattr(source, "read"):
            file = source
        else:
            raise TypeError(f"a source is a path, bytes or a binary file, not {type(source).__name__}")
        file, start, size = _measured(file)
        if annotations is None:
            yield Body("application/octet-stream", b"", file, start, size)
        else:
            yield _form(file, start, size, name or name_of(source) or "upload", annotations)


def pages_body(pages: Sequence[Page], name: str | None) -> Body:
    """The lines of pages as JSON; labels, links and fields are not sent.

    Raises:
        ValueError: a coordinate or score is not finite.
    """
    content: dict[str, Any] = {
        "pages": [
            {
                "width": page.width,
                "height": page.height,
                "lines": [
                    {
                        "text": line.text,
                        "points": [float(value) for value in line.points],
                        "id": line.id,
                        "ocr_score": float(line.ocr_score),
                    }
                    for line in page.lines
                ],
            }
            for page in pages
        ]
    }
    if name is not None:
        content["name"] = clean_name(name)
    return Body("application/json", json.dumps(content, allow_nan=False).encode())


def name_of(source: object) -> str | None:
    """The last part of a path's or an open file's name. The folders above it are the user's own affair."""
    path = source if isinstance(source, str | Path) else getattr(source, "name", None)
    return Path(path).name or None if isinstance(path, str | Path) else None


def clean_name(name: str) -> str:
    """A name that UTF-8 can hold: file names of other encodings have lone surrogates in Python."""
    return name.encode("utf-8", "replace").decode()


def _measured(file: IO[bytes]) -> tuple[IO[bytes], int, int]:
    """A file that can be read again, where its content starts, and how many bytes it has."""
    if isinstance(file.read(0), str):
        raise TypeError(f"{getattr(file, 'name', 'the file')} is open for text: open it with mode 'rb'")
    if not getattr(file, "seekable", lambda: True)():
        file = io.BytesIO(file.read())
    start = file.tell()
    return file, start, max(0, file.seek(0, io.SEEK_END) - start)


def _form(file: IO[bytes], start: int, size: int, name: str, annotations: Annotations) -> Body:
    text = annotations if isinstance(annotations, str) else json.dumps(annotations, ensure_ascii=False)
    boundary = f"kie-ray-{secrets.token_hex(16)}"
    quoted = clean_name(name).translate({10: "%0A", 13: "%0D", 34: "%22"})  # as browsers write it in a form
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="annotations"\r\n'
        f"Content-Type: application/json\r\n\r\n{clean_name(text)}\r\n"
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    tail = f"\r\n--{boundary}--\r\n".encode()
    return Body(f"multipart/form-data; boundary={boundary}", head.encode(), file, start, size, tail)
