"""The decoder process: the only place where untrusted bytes meet native decoders.

Started by `guard.py` as a fresh interpreter that imports neither torch nor ray. It answers each JSON line on its
socket with one. The document comes in one anonymous file, pixels leave in another; it ends when the socket does.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import resource
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from kie_ray.errors import Category, DocumentError
from kie_ray.reading import images  # loaded before the memory limit is set
from kie_ray.reading.magic import PDF, looks_like, media_type
from kie_ray.reading.pages import PageSource, unreadable
from kie_ray.reading.wire import TEST_DECODER_VARIABLE, ChildSettings

_MAX_OPEN_FILES = 64
_SPARE_OUTPUT_BYTES = 64 * 2**20


def main(arguments: str) -> None:
    """Serve until the parent closes its end of the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    warnings.simplefilter("ignore")
    # `check_pixels` refuses earlier and names our limit; Pillow only warns up to twice its own
    Image.MAX_IMAGE_PIXELS = None
    settings = ChildSettings(**json.loads(arguments))
    opener = _test_decoder()
    _limit_process(settings)
    requests = socket.socket(fileno=settings.socket_fd).makefile("rwb")
    _answer(requests, {"ready": True})
    source: PageSource | None = None
    for line in requests:
        request = json.loads(line)
        # the default action of SIGALRM ends the process even inside native code, and even when the parent is busy
        signal.setitimer(signal.ITIMER_REAL, settings.max_seconds)
        try:
            if source is not None and "page" not in request:
                source.close()
                source = None
            if "open" in request:
                source = _open(os.pread(settings.input_fd, request["open"], 0), settings, opener)
                reply: dict[str, Any] = {"pages": source.page_count}
            elif source is None:
                reply = {}
            else:
                reply = _write_page(source, request["page"], settings.output_fd)
        except DocumentError as error:
            reply = {"category": error.item.category, "message": error.item.message}
        except MemoryError:
            message = f"decoding needs more than the limit of max_memory_bytes = {settings.max_memory_bytes}"
            reply = {"category": Category.TOO_LARGE, "message": message}
        except Exception as error:  # decoders raise struct.error, KeyError and more on damaged bytes
            reply = {"category": Category.CORRUPT, "message": f"it is damaged: {type(error).__name__}: {error}"}
        signal.setitimer(signal.ITIMER_REAL, 0)
        _answer(requests, reply)


def _answer(stream: Any, reply: dict[str, Any]) -> None:
    stream.write(json.dumps(reply).encode() + b"\n")
    stream.flush()


def _open(data: bytes, settings: ChildSettings, opener: Callable[[bytes], PageSource | None] | None) -> PageSource:
    if opener is not None:
        source = opener(data)
        if source is not None:
            return source
    kind = media_type(data)
    if kind is None:
        message = f"not a JPEG, PNG, TIFF, BMP, WebP or PDF file; it looks like {looks_like(data)}"
        raise unreadable(Category.UNSUPPORTED, message)
    if kind == PDF:
        from kie_ray.reading.pdf import PdfSource  # a third of the start-up time, and many jobs have no PDF

        return PdfSource(data, settings.pdf_dpi, settings.max_pixels)
    return images.ImageSource(data, kind, settings.max_pixels)


def _write_page(source: PageSource, index: int, output_fd: int) -> dict[str, Any]:
    page = source.page(index)
    position = 0
    for piece in page.rows:
        remaining = memoryview(piece)
        while remaining:
            written = os.pwrite(output_fd, remaining, position)
            position += written
            remaining = remaining[written:]
    if position != page.width * page.height * 3:  # the rest of the file would be another page's pixels
        raise unreadable(Category.CORRUPT, f"the decoder gave {position} bytes for {page.width} x {page.height} pixels")
    return {"width": page.width, "height": page.height}


def _limit_process(settings: ChildSettings) -> None:
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _set_limit(resource.RLIMIT_AS, mapped + settings.max_memory_bytes)
    _set_limit(resource.RLIMIT_CORE, 0)
    _set_limit(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)
    _set_limit(resource.RLIMIT_FSIZE, settings.max_pixels * 3 + _SPARE_OUTPUT_BYTES)
    with contextlib.suppress(OSError):  # a container may forbid it; it only makes the kernel pick the right victim
        Path("/proc/self/oom_score_adj").write_text("1000")


def _set_limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _test_decoder() -> Callable[[bytes], PageSource | None] | None:
    name = os.environ.get(TEST_DECODER_VARIABLE)
    if not name:
        return None
    file, _, function = name.rpartition(":")
    spec = importlib.util.spec_from_file_location("kie_ray_test_decoder", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{TEST_DECODER_VARIABLE} = {name!r} must be FILE.py:FUNCTION")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    opener: Callable[[bytes], PageSource | None] = getattr(module, function)
    return opener
