"""A real headless Chromium, and servers for it: the API over the Extractor, and over backends that a test scripts."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kie_ray.records import Document
from pipelines.online.api.backend import Extracted, Work
from pipelines.online.api.settings import ApiSettings
from tests.pipelines.online.local_backend import LocalBackend, serving
from tests.pipelines.online.page.visit import Visit

SAMPLES = Path(__file__).resolve().parents[4] / "kie_ray" / "samples"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
Open = Callable[..., Visit]
Serve = Callable[..., str]


class Remembering(LocalBackend):
    """Reads every file once: tests look at the same forms again and again, and OCR takes seconds."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._read: dict[bytes, Extracted] = {}

    def found(self, file: Path) -> Document:
        """What the extractor says about a file."""
        return self._extract(Work(file.name, self._info.name, file.read_bytes(), pictures=True)).document

    def _extract(self, work: Work) -> Extracted:
        assert work.data is not None
        if work.data not in self._read:
            self._read[work.data] = super()._extract(work)
        return copy.deepcopy(self._read[work.data])


@pytest.fixture(scope="package")
def backend() -> Iterator[Remembering]:
    made = Remembering.load()
    yield made
    made.close()


@pytest.fixture(scope="package")
def address(backend: LocalBackend) -> Iterator[str]:
    """The endpoint as it is, open to everybody."""
    with serving(backend) as url:
        yield url


# Not for the whole package: while its driver runs, this thread has a running event loop and can start no other.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: the page is not tested in a browser")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-sync", *QUIET]
        running = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield running
        running.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Open]:
    """Opens the page: `visit(url=..., width=..., height=..., **options of the browser context)`.

    Afterwards no page may have complained, broken its policy, or asked another host for anything.
    """
    visits: list[Visit] = []

    def opened(url: str = address, *, width: int = 1280, height: int = 800, **options: Any) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": height}, permissions=["clipboard-read", "clipboard-write"], **options
        )
        context.set_default_timeout(60_000)
        visits.append(Visit(context, url))
        return visits[-1]

    yield opened
    for one in visits:
        one.close()
    for one in visits:
        one.check()


@pytest.fixture
def served() -> Iterator[Serve]:
    """Serves any backend for one test: `served(backend, settings)` gives its address."""
    with ExitStack() as stack:

        def serve(backend: Any, settings: ApiSettings | None = None) -> str:
            return stack.enter_context(serving(backend, settings))

        yield serve


def _form(name: str, box: tuple[int, int, int, int]) -> Image.Image:
    with Image.open(SAMPLES / name) as picture:
        return picture.convert("RGB").crop(box)


@pytest.fixture(scope="package")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The head of a purchase order: a form with a dozen fields, which OCR reads in a second or two."""
    file = tmp_path_factory.mktemp("forms") / "order, part 1.png"
    _form("en_purchase_order.png", (0, 40, 1074, 420)).save(file)
    return file


@pytest.fixture(scope="package")
def two_pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PDF of two forms of different sizes, English and Chinese."""
    file = tmp_path_factory.mktemp("forms") / "two.pdf"
    second = _form("zh_job_application.jpg", (60, 130, 860, 330))
    _form("en_purchase_order.png", (0, 150, 700, 320)).save(file, save_all=True, append_images=[second], resolution=150)
    return file
