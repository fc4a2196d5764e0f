"""One call in a notebook: bytes or a path in, a Document out, also for bad files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import kie_ray
from kie_ray.errors import Category, Stage
from kie_ray.ocr import OcrSettings
from tests.job_support import draw_page, make_bundle, make_pages


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("extractor")
    make_bundle(base / "tiny")
    make_pages(base, 2)
    return base


@pytest.fixture(scope="module")
def extractor(folder: Path) -> Iterator[kie_ray.Extractor]:
    settings = OcrSettings(engine="annotations", annotations=str(folder / "labels.txt"))
    with kie_ray.Extractor.load(folder / "tiny", ocr=settings) as loaded:
        yield loaded


def test_a_page_from_a_path(extractor: kie_ray.Extractor, folder: Path) -> None:
    document = extractor.extract(folder / "image/page_00001.png")
    assert document.status == "ok"
    (page,) = document.pages
    assert (page.width, page.height) == (200, 70)
    assert [line.text for line in page.lines] == ["Name", "Ada Lovelace", "Date", "1"]
    assert all(line.label_score > 0 for line in page.lines)
    assert set(document.timings) >= {"read", "ocr", "ser", "re"}


def test_bytes_with_a_name(extractor: kie_ray.Extractor, folder: Path) -> None:
    data = (folder / "image/page_00000.png").read_bytes()
    assert extractor.extract(data, name="page_00000.png").status == "ok"


@pytest.mark.parametrize(
    ("data", "stage", "category"),
    [
        (b"", Stage.READ, Category.EMPTY),
        (b"hello, I am a text", Stage.READ, Category.UNSUPPORTED),
        (None, Stage.FETCH, Category.NOT_FOUND),
    ],
)
def test_a_bad_document_is_an_error_not_an_exception(
    extractor: kie_ray.Extractor, tmp_path: Path, data: bytes | None, stage: Stage, category: Category
) -> None:
    document = extractor.extract(tmp_path / "nowhere.png" if data is None else data)
    assert document.status == "failed"
    assert document.error is not None
    assert (document.error.stage, document.error.category) == (stage, category)


def test_a_page_that_the_label_file_does_not_name(extractor: kie_ray.Extractor) -> None:
    stream = io.BytesIO()
    draw_page(9).save(stream, "PNG")
    document = extractor.extract(stream.getvalue(), name="unknown.png")
    assert document.error is not None
    assert document.error.category is Category.NO_ANNOTATION


def test_one_broken_frame_leaves_the_others(folder: Path) -> None:
    """A document with a page over the pixel limit is partial: its good pages stay, the error names the bad one."""
    from kie_ray.limits import Limits

    stream = io.BytesIO()
    frames = [Image.new("RGB", size, "white") for size in ((60, 40), (3000, 3000), (50, 30))]
    frames[0].save(stream, "TIFF", save_all=True, append_images=frames[1:])
    with kie_ray.Extractor.load(folder / "tiny", limits=Limits(max_pixels=1_000_000)) as extractor:
        document = extractor.extract(stream.getvalue(), name="three.tif")
    assert document.status == "partial"
    assert [page.index for page in document.pages] == [0, 2]
    assert document.error is not None
    assert (document.error.category, document.error.page) == (Category.TOO_LARGE, 1)
