"""The images of a run's pages: of every kind of source, read only where the model sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from kie_ray.encoding.page_image import resize_page
from kie_ray.errors import ConfigError
from kie_ray.records import Document, Line, Page
from kie_ray.schemas import DOCUMENT_SCHEMA, document_to_row
from kie_ray.training.config import TrainConfig
from kie_ray.training.corpus import check_sources, load_corpus
from tests.job_support import draw_page, make_pages
from tests.kie_ray.training.test_corpus import paddle_source
from tests.kie_ray.training.test_trainer import tiny_config


def visual_config(steps: int = 2, phase: dict[str, Any] | None = None, **changes: Any) -> TrainConfig:
    """A tiny LayoutLMv2 that sees page images through a backbone of few channels."""
    plain = tiny_config()
    backbone = {
        "depth": 50,
        "groups": 2,
        "width_per_group": 2,
        "stem_channels": 4,
        "res2_channels": 8,
        "fpn_channels": 8,
    }
    model = plain.model.model_dump() | {"visual_backbone": backbone}
    encoding = plain.encoding.model_dump() | {"image": "bgr"}
    return tiny_config(steps, phase, **({"model": model, "encoding": encoding} | changes))


def test_annotated_pages_get_their_images_held_out_ones_as_well(tmp_path: Path) -> None:
    make_pages(tmp_path, 4)
    changes = {"sources": [paddle_source(tmp_path)], "holdout": 0.25}
    corpus = load_corpus(visual_config(**changes))
    assert (len(corpus.train["made_up"]), len(corpus.held_out)) == (3, 1)
    for page in (*corpus.train["made_up"], *corpus.held_out):
        with Image.open(tmp_path / "image" / page.source) as image:
            np.testing.assert_array_equal(page.pixels, resize_page(np.array(image.convert("RGB")), "bgr"))
    assert all(page.pixels is None for page in load_corpus(tiny_config(**changes)).train["made_up"])


def test_the_images_of_made_up_forms_show_their_lines() -> None:
    (first, *_) = load_corpus(visual_config()).train["made_up"]
    (plain, *_) = load_corpus(tiny_config()).train["made_up"]
    assert first == plain
    assert first.pixels is not None
    ink = 255 - first.pixels.astype(int).mean(-1)
    inside = np.zeros(ink.shape, bool)
    for line in first.lines:
        x0, y0, x1, y1 = line.box
        rows = slice(int(y0 * 224 / first.height), int(np.ceil(y1 * 224 / first.height)))
        inside[rows, int(x0 * 224 / first.width) : int(np.ceil(x1 * 224 / first.width))] = True
    assert ink[inside].mean() > 5 * ink[~inside].mean()


def extracted(folder: Path, uris: dict[str, list[int]]) -> dict[str, Any]:
    """The output of a batch job that has read these pages of these documents; a source of pre-training."""
    (folder / "documents").mkdir()
    rows = []
    for uri, indices in uris.items():
        lines = [Line(0, "Name", (0, 0, 20, 0, 20, 10, 0, 10))]
        pages = [Page(index, 200, 70, list(lines)) for index in indices]
        rows.append(document_to_row(Document(uri, uri, pages), {"row_id": uri, "doc_id": uri, "uri": uri}))
    pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENT_SCHEMA), folder / "documents" / "0.parquet")
    return {"name": "made_up", "kind": "extracted", "path": str(folder)}


def test_pages_that_ocr_has_read_get_the_images_of_their_documents(tmp_path: Path) -> None:
    frames = [draw_page(number) for number in range(4)]
    frames[0].save(tmp_path / "one.png")
    frames[1].save(tmp_path / "many.tif", save_all=True, append_images=frames[2:])
    source = extracted(tmp_path, {str(tmp_path / "one.png"): [0], str(tmp_path / "many.tif"): [0, 2]})
    pages = load_corpus(visual_config(tasks=["mlm"], sources=[source])).train["made_up"]
    assert [page.index for page in pages] == [0, 0, 2]
    for page, frame in zip(pages, (frames[0], frames[1], frames[3]), strict=True):
        np.testing.assert_array_equal(page.pixels, resize_page(np.array(frame), "bgr"))


@pytest.mark.parametrize("kind", ["paddleocr", "extracted"])
def test_a_missing_image_is_told_before_any_worker_starts(tmp_path: Path, kind: str) -> None:
    draw_page(0).save(tmp_path / "here.png")
    if kind == "extracted":
        source = extracted(tmp_path, {str(tmp_path / "here.png"): [0], str(tmp_path / "gone.png"): [0]})
        config = {"tasks": ["mlm"], "sources": [source]}
    else:
        make_pages(tmp_path, 2)
        size = ', "width": 200, "height": 70'
        text = '{"lang": "en", "documents": [{"id": "0", "img": {"fname": "gone.png"%s}, "document": [%s]}]}'
        line = '{"box": [0, 0, 20, 10], "text": "Name", "label": "other", "words": [], "linking": [], "id": 0}'
        (tmp_path / "xfund.json").write_text(text % (size, line))
        config = {"sources": [paddle_source(tmp_path, path=str(tmp_path / "xfund.json"))]}
    assert not check_sources(tiny_config(**config)).left_out
    with pytest.raises(ConfigError, match=r"source 'made_up': .*gone\.png does not exist"):
        check_sources(visual_config(**config))


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    make_pages(tmp_path, 2)
    file = tmp_path / "image/page_00001.png"
    file.write_bytes(file.read_bytes()[:90])
    with pytest.raises(ConfigError, match=r"source 'made_up': .*page_00001\.png"):
        load_corpus(visual_config(sources=[paddle_source(tmp_path)]))
