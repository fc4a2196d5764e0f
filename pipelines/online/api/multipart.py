"""multipart/form-data as it streams in: two known parts, each within its limit, everything else refused at once."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from pipelines.online.api.options import nearest, shown
from pipelines.online.api.problems import Problem, invalid, too_large

# It writes a warning for every broken form, so anybody could fill the log; the client is told what is wrong.
logging.getLogger("python_multipart.multipart").setLevel(logging.ERROR)

FILE = "file"
ANNOTATIONS = "annotations"
ENVELOPE_BYTES = 64 * 2**10
"""Room for boundaries and part headers beside the contents of the parts."""

_MAX_HEADERS = 8
_MAX_HEADER_BYTES = 4096


@dataclass(slots=True)
class Part:
    """One part: the name of its file, if it has one, and its content."""

    name: str
    filename: str | None
    limit: int
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0

    @property
    def data(self) -> bytes:
        """The whole content."""
        return b"".join(self.chunks)


class FormReader:
    """Takes the body in pieces (`write`), then gives its parts (`finish`).

    `limits`: bytes of each part that may be there, by name. Raises Problem (413, 422) as soon as something is wrong.
    """

    def __init__(self, content_type: str, limits: dict[str, int]) -> None:
        boundary = parse_options_header(content_type.encode("latin-1"))[1].get(b"boundary")
        if not boundary:
            raise invalid("Content-Type multipart/form-data needs a boundary")
        self._limits = limits
        self._parts: dict[str, Part] = {}
        self._part: Part | None = None
        self._header = [b"", b""]
        self._disposition = b""
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begin,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._part_data,
                    "on_end": self._end,
                },
                max_header_count=_MAX_HEADERS,
                max_header_size=_MAX_HEADER_BYTES,
            )
        except FormParserError as error:
            raise invalid(f"multipart/form-data: {error}") from error

    def write(self, data: bytes) -> None:
        """Take the next piece of the body."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise invalid(f"multipart/form-data: {error}") from error

    def finish(self) -> dict[str, Part]:
        """The parts by name, after the last piece."""
        if not self._ended:
            raise invalid("multipart/form-data ends before its last boundary")
        return self._parts

    def _part_begin(self) -> None:
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _header_end(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = self._header[1]
        self._header = [b"", b""]

    def _headers_finished(self) -> None:
        options = parse_options_header(self._disposition)[1]
        name = _text(options.get(b"name", b""))
        if name not in self._limits:
            raise invalid(f"multipart/form-data: unknown part {shown(name)}; {nearest(name, self._limits)}")
        if name in self._parts:
            raise invalid(f"multipart/form-data: part {name} is there twice; send one document a request")
        filename = options.get(b"filename")
        self._part = Part(name, None if filename is None else _text(filename), self._limits[name])
        self._parts[name] = self._part

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        assert self._part is not None
        self._part.size += end - start
        if self._part.size > self._part.limit:
            raise over(self._part.name, self._part.limit)
        self._part.chunks.append(data[start:end])

    def _end(self) -> None:
        self._ended = True


def over(what: str, limit: int) -> Problem:
    """413 for content that is larger than `limit` bytes."""
    return too_large(f"{what} is over the limit of {limit} bytes")


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
