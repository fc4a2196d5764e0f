"""Which pages a run trains on, and what it says about those that it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kie_ray.errors import ConfigError
from kie_ray.records import Document, Line, Page
from kie_ray.schemas import DOCUMENT_SCHEMA, document_to_row
from kie_ray.training.corpus import check_sources, load_corpus
from tests.job_support import make_pages
from tests.kie_ray.training.test_trainer import tiny_config


def paddle_source(folder: Path, **more: object) -> dict[str, object]:
    return {
        "name": "made_up",
        "kind": "paddleocr",
        "path": str(folder / "labels.txt"),
        "images": str(folder / "image"),
    } | more


def test_pages_are_held_out_and_drawn_by_the_seed(tmp_path: Path) -> None:
    make_pages(tmp_path, 10)
    config = tiny_config(sources=[paddle_source(tmp_path)], holdout=0.3)
    corpus = load_corpus(config)
    names = {page.source for page in corpus.train["made_up"]}, {page.source for page in corpus.held_out}
    assert (len(names[0]), len(names[1])) == (7, 3)
    assert not names[0] & names[1]
    assert set(corpus.images) == names[1]
    few = [load_corpus(tiny_config(sources=[paddle_source(tmp_path, pages=4)], seed=seed)) for seed in (1, 1, 2)]
    drawn = [[page.source for page in item.train["made_up"]] for item in few]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 4
    with pytest.raises(ConfigError, match="pages = 11, it holds 10"):
        load_corpus(tiny_config(sources=[paddle_source(tmp_path, pages=11)]))


def test_validation_pages_replace_the_holdout(tmp_path: Path) -> None:
    for name in ("train", "val"):
        make_pages(tmp_path / name, 4)
    config = tiny_config(
        sources=[paddle_source(tmp_path / "train")],
        validation=[paddle_source(tmp_path / "val", name="val")],
        holdout=0.5,
    )
    corpus = check_sources(config)
    assert (len(corpus.train["made_up"]), len(corpus.held_out)) == (4, 4)


def test_a_bad_line_stops_before_training_and_a_dead_link_is_told(tmp_path: Path) -> None:
    labels = make_pages(tmp_path, 3)
    rows = labels.read_text().splitlines()
    name, _, payload = rows[1].partition("\t")
    lines = json.loads(payload)
    lines[0]["linking"] = [[lines[0]["id"], 99]]
    labels.write_text("\n".join([rows[0], f"{name}\t{json.dumps(lines)}", rows[2]]))
    corpus = check_sources(tiny_config(sources=[paddle_source(tmp_path)]))
    assert len(corpus.left_out) == 1
    assert f"labels.txt:2: link {lines[0]['id']}-99 names id 99" in corpus.left_out[0]
    labels.write_text("\n".join([rows[0], "no tab here", rows[2]]))
    with pytest.raises(ConfigError, match=r"labels\.txt:2: expected image name, tab, json list"):
        check_sources(tiny_config(sources=[paddle_source(tmp_path)]))


def test_pretraining_reads_what_the_batch_job_wrote(tmp_path: Path) -> None:
    page = Page(0, 100, 50, [Line(0, "Name", (0, 0, 20, 0, 20, 10, 0, 10), label="QUESTION")])
    blank = Page(1, 100, 50, [])
    document = Document("d", "s3://bucket/d.pdf", [page, blank])
    (tmp_path / "documents").mkdir()
    row = document_to_row(document, {"row_id": "d", "doc_id": "d", "uri": document.uri})
    pq.write_table(pa.Table.from_pylist([row], schema=DOCUMENT_SCHEMA), tmp_path / "documents" / "0.parquet")
    config = tiny_config(
        tasks=["mlm"], sources=[{"name": "made_up", "kind": "extracted", "path": str(tmp_path)}], holdout=0.5
    )
    corpus = load_corpus(config)
    (read,) = corpus.train["made_up"]
    assert (read.source, read.lines[0].text, read.lines[0].label) == ("s3://bucket/d.pdf#0", "Name", "OTHER")
    assert corpus.left_out == ["source 'made_up': s3://bucket/d.pdf#1: no text"]
    assert not corpus.held_out
    with pytest.raises(ConfigError, match=r"has no documents/\*\.parquet"):
        load_corpus(
            tiny_config(sources=[{"name": "made_up", "kind": "extracted", "path": str(tmp_path / "documents")}])
        )
