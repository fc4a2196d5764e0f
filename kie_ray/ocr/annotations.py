"""A label file in place of OCR: the lines of a page are looked up by the name of its document.

How an image name of the label file meets a document, first rule that applies:

1. the name is the document's uri (a leading `file://` does not count);
2. the name's path components are the last components of the uri; of several such names the longest wins;
3. the name's last component is the uri's last component, and no other name has it.

Pages: `scan.tif#3` annotates the page with index 3 (0-based, as in `Page.index`) of `scan.tif`; a name without `#`
annotates page 0, the only page of an image. A page is never served the annotation of another page.
"""

from __future__ import annotations

import re
import tempfile
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kie_ray.datasets.paddleocr import read_labels
from kie_ray.errors import Category, ConfigError, DocumentError, ErrorItem, Stage
from kie_ray.records import OTHER, Line, Page, PageImage

_MAX_BYTES = 2 * 2**30
_PAGE = re.compile(r"(?P<name>.+)#(?P<page>\d{1,9})")
_REMOTE = re.compile(r"(?!file:)[a-zA-Z][a-zA-Z0-9+.-]*://")


@dataclass(slots=True)
class _Annotated:
    """The annotated pages of one document, by page index."""

    name: str
    parts: tuple[str, ...]
    pages: dict[int, Page] = field(default_factory=dict)


class AnnotationEngine:
    """Serves the lines of a PaddleOCR label file with their ids, texts and points; gold labels and links stay behind.

    `file`: a local path or the uri of an object in a bucket.

    Raises:
        ConfigError: the file is missing or malformed, or two of its names mean the same page.
    """

    name = "annotations"

    def __init__(self, file: str | Path) -> None:
        self._file = str(file)
        self._documents: dict[tuple[str, ...], _Annotated] = {}
        self._by_last: dict[str, list[_Annotated]] = {}
        for page in _read(self._file):
            name, index = _split_page(page.source)
            self._add(name, index, page)

    def read_lines(self, images: Sequence[PageImage]) -> list[list[Line]]:
        """The annotated lines of each page, label OTHER and scores as OCR would leave them.

        Raises:
            DocumentError: stage OCR, NO_ANNOTATION (the label file does not name a page, or names it ambiguously).
        """
        return [self._lines(image) for image in images]

    def _lines(self, image: PageImage) -> list[Line]:
        page = self._find(image.source, image.index).pages.get(image.index)
        if page is None:
            raise _missing(
                image.source,
                image.index,
                f"label file {self._file} annotates {image.source} but not its page {image.index}: "
                f"it needs a row named {Path(image.source).name}#{image.index}",
            )
        return [replace(line, ocr_score=1.0, label=OTHER, label_score=0.0) for line in page.lines]

    def _find(self, uri: str, index: int) -> _Annotated:
        parts = _parts(uri)
        for start in range(len(parts)):
            found = self._documents.get(parts[start:])
            if found is not None:
                return found
        candidates = self._by_last.get(parts[-1], []) if parts else []
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            names = ", ".join(repr(one.name) for one in candidates[:3])
            reason = f"has {len(candidates)} images with the last name of {uri} ({names}) and none whose path fits"
        else:
            reason = f"has no image named like {uri}"
        raise _missing(uri, index, f"label file {self._file} {reason}")

    def _add(self, name: str, index: int, page: Page) -> None:
        parts = _parts(name)
        if not parts:
            raise ConfigError(f"label file {self._file}: {page.source!r} is no image name")
        known = self._documents.get(parts)
        if known is None:
            known = self._documents[parts] = _Annotated(name, parts)
            self._by_last.setdefault(parts[-1], []).append(known)
        if index in known.pages:
            earlier = known.pages[index].source
            raise ConfigError(f"label file {self._file}: {earlier!r} and {page.source!r} name the same page {index}")
        known.pages[index] = page


def _read(file: str) -> list[Page]:
    if not _REMOTE.match(file):
        return read_labels(file.removeprefix("file://"))
    from kie_ray.storage import read_bytes

    try:
        data = read_bytes(file, _MAX_BYTES)
    except DocumentError as error:
        raise ConfigError(f"label file {file}: {error.item.message}") from error
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "labels.txt"
        copy.write_bytes(data)
        try:
            return read_labels(copy)
        except ConfigError as error:
            raise ConfigError(str(error).replace(str(copy), file)) from error


def _split_page(name: str) -> tuple[str, int]:
    match = _PAGE.fullmatch(name)
    return (match["name"], int(match["page"])) if match else (name, 0)


def _parts(name: str) -> tuple[str, ...]:
    # Names written on another system may hold the same letters in another Unicode form.
    plain = unicodedata.normalize("NFC", name.removeprefix("file://"))
    return tuple(part for part in plain.split("/") if part not in {"", "."})


def _missing(uri: str, index: int, message: str) -> DocumentError:
    return DocumentError(ErrorItem.of(Stage.OCR, Category.NO_ANNOTATION, message, page=index))
