"""`jobs/export.py`, and its bundle in the batch job, the evaluation and the notebook: both runtimes agree."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.evaluate import main as evaluate
from jobs.export import main
from kie_ray.errors import ConfigError
from kie_ray.extractor import Extractor
from kie_ray.models.onnx_models import OnnxKieModel
from kie_ray.ocr import OcrSettings
from pipelines.config import ExtractConfig
from pipelines.extract import ExtractOptions, extract, load_config
from pipelines.kie_stage import load_annotator
from tests.job_support import make_bundle, make_pages, run_job, table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("export")
    make_bundle(base / "tiny")
    make_pages(base, 4)
    assert main(["--model", str(base / "tiny"), "--output", str(base / "onnx"), "--entities", "8", "--pairs", "8"]) == 0
    return base


def test_the_batch_job_gives_the_fields_of_torch(folder: Path) -> None:
    given = ("--model", folder / "onnx", "--annotations", folder / "labels.txt", "--runtime", "onnx")
    result = run_job(folder / "image", "--output", folder / "out", *given)
    assert result.returncode == 0, result.stderr
    found = sorted(
        (row["uri"], row["key"], row["value"], round(row["score"], 4))
        for row in table(folder / "out", "fields").to_pylist()
    )
    wanted = []
    with Extractor.load(folder / "onnx", runtime="torch", ocr=annotations(folder)) as extractor:
        for image in sorted((folder / "image").iterdir()):
            document = extractor.extract(image)
            assert document.error is None
            wanted += [
                (document.uri, field.key, field.value, round(field.score, 4))
                for page in document.pages
                for field in page.fields
            ]
    assert len(found) >= 4
    assert found == sorted(wanted)


def annotations(folder: Path) -> OcrSettings:
    return OcrSettings(engine="annotations", annotations=str(folder / "labels.txt"))


def test_the_evaluation_gives_the_same_scores(folder: Path) -> None:
    found = {}
    for runtime in ("torch", "onnx"):
        out = folder / f"{runtime}.json"
        given = ["--annotations", str(folder / "labels.txt"), "--images", str(folder / "image"), "--json", str(out)]
        assert evaluate(["--task", "re", "--model", str(folder / "onnx"), "--runtime", runtime, *given]) == 0
        found[runtime] = json.loads(out.read_text())
    assert found["onnx"]["hmean"] == found["torch"]["hmean"]
    assert found["onnx"]["own_ser"]["hmean"] == found["torch"]["own_ser"]["hmean"]


def test_the_notebook_runs_it_too(folder: Path) -> None:
    documents = []
    for runtime in ("torch", "onnx"):
        with Extractor.load(folder / "onnx", runtime=runtime, ocr=annotations(folder)) as extractor:  # type: ignore[arg-type]
            assert isinstance(extractor.annotator.models.ser, OnnxKieModel) == (runtime == "onnx")
            documents.append(extractor.extract(folder / "image/page_00000.png"))
    one, other = (
        [(field.key, field.value) for page in document.pages for field in page.fields] for document in documents
    )
    assert one
    assert one == other


def test_the_flag_wins_over_the_configuration() -> None:
    given = ExtractOptions(["x"], "out", overrides=["model.runtime=torch"])
    assert load_config(given).model.runtime == "torch"
    assert load_config(replace(given, runtime="onnx")).model.runtime == "onnx"
    with pytest.raises(ConfigError, match=r"model\.runtime"):
        load_config(ExtractOptions(["x"], "out", overrides=["model.runtime=tensorrt"]))


def test_runtime_and_bundle_must_fit_before_anything_starts(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="carries no ONNX files"):
        extract(ExtractOptions(["x"], str(tmp_path / "out"), model=str(folder / "tiny"), runtime="onnx"))
    with pytest.raises(ConfigError, match="not bfloat16"):
        extract(
            ExtractOptions(
                ["x"],
                str(tmp_path / "out"),
                model=str(folder / "onnx"),
                runtime="onnx",
                overrides=["pools.ser.dtype=bfloat16"],
            )
        )
    assert not (tmp_path / "out").exists()


def test_an_actor_with_a_gpu_computes_onnx_files_on_the_cpu(folder: Path) -> None:
    config = ExtractConfig.model_validate({"model": {"runtime": "onnx"}})
    annotator: Any = load_annotator(str(folder / "onnx"), config, "cuda")
    assert isinstance(annotator.models.ser, OnnxKieModel)


def test_wrong_arguments_are_one_line_and_status_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", str(folder / "tiny"), "--output", str(folder)]) == 2
    assert main(["--model", str(folder / "image"), "--output", str(folder / "new")]) == 2
    assert main(["--output", str(folder / "new"), "--opset", "9"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert "exists already" in told[0]
    assert "no model bundle" in told[1]
    assert "opset 9 must be from 18 to 23" in told[2]
    assert not (folder / "new").exists()
