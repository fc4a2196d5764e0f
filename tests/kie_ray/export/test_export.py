"""The bundled model as ONNX files: the same outputs as torch whatever the batch, described, checked."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch

from kie_ray.annotator import Annotator
from kie_ray.datasets import read_labels, with_sizes
from kie_ray.errors import ConfigError
from kie_ray.export import ExportReport, ExportSettings, export_bundle
from kie_ray.export.check import SAMPLES, Comparison, ExportError, compare
from kie_ray.export.readme import HEADING
from kie_ray.loading import load_annotator
from kie_ray.models.bundle import Bundle, rewrite_card
from kie_ray.models.bundle_info import write_info
from kie_ray.models.bundle_models import load_models
from kie_ray.models.onnx_models import OnnxKieModel, load_onnx_models
from kie_ray.records import Page
from tests.job_support import make_bundle


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    return export_bundle(Bundle.load(), tmp_path_factory.mktemp("export") / "new" / "bundle")


@pytest.fixture(scope="module")
def session(report: ExportReport) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(report.bundle.path / "onnx/ser.onnx"), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def samples() -> list[Page]:
    return with_sizes(read_labels(SAMPLES / "labels.txt"), SAMPLES)


def test_the_report_tells_what_was_compared(report: ExportReport) -> None:
    assert [file.name for file in report.files] == ["re.onnx", "ser.onnx"]
    assert report.float32.pages == 6
    assert set(report.float32.largest) == {"ser hidden", "ser logits", "re logits"}
    assert all(0 < value < 1e-4 for value in report.float32.largest.values())
    assert report.float32.same_labels == 1.0
    assert report.int8 is None


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (1, 384), (3, 17), (5, 96)])
def test_any_batch_and_length(session: onnxruntime.InferenceSession, batch: int, length: int) -> None:
    model = load_models(Bundle.load()).ser
    assert model is not None
    generator = torch.Generator().manual_seed(batch)
    corner = torch.randint(0, 500, (batch, length, 2), generator=generator)
    given = {
        "input_ids": torch.randint(5, 8000, (batch, length), generator=generator),
        "bbox": torch.cat([corner, corner + torch.randint(0, 501, corner.shape, generator=generator)], dim=-1),
        "attention_mask": torch.ones((batch, length), dtype=torch.int64),
    }
    given["attention_mask"][-1, max(1, length - 5) :] = 0
    logits, hidden = session.run(["logits", "hidden"], {name: value.numpy() for name, value in given.items()})
    with torch.inference_mode():
        states = model.encode(**given)
        wanted = model.ser_logits(states)
    used = given["attention_mask"].bool()
    torch.testing.assert_close(torch.from_numpy(logits)[used], wanted[used], rtol=0, atol=1e-4)
    torch.testing.assert_close(torch.from_numpy(hidden)[used], states[used], rtol=0, atol=1e-4)


def test_the_files_answer_as_torch_does_on_whole_pages(report: ExportReport, samples: list[Page]) -> None:
    def answers(annotator: Annotator) -> list[Any]:
        pages = [Page(page.index, page.width, page.height, page.lines, source=page.source) for page in samples]
        annotator.annotate(pages)
        labels = [line.label for page in pages for line in page.lines]
        return [labels, [page.links for page in pages], [page.fields for page in pages]]

    (labels, links, fields), (labels_there, links_there, fields_there) = (
        answers(load_annotator(report.bundle, runtime=runtime))  # type: ignore[arg-type]
        for runtime in ("torch", "auto")
    )
    assert labels == labels_there
    assert any(page for page in links)
    for ours, theirs in zip(links, links_there, strict=True):
        assert [(link.key_line, link.value_line) for link in ours] == [
            (link.key_line, link.value_line) for link in theirs
        ]
        assert [link.score for link in ours] == pytest.approx([link.score for link in theirs], abs=1e-4)
    for ours, theirs in zip(fields, fields_there, strict=True):
        assert [(field.key, field.value) for field in ours] == [(field.key, field.value) for field in theirs]


def test_auto_takes_the_files_on_the_cpu(report: ExportReport) -> None:
    assert isinstance(load_annotator(report.bundle).models.ser, OnnxKieModel)
    assert not isinstance(load_annotator(report.bundle, runtime="torch").models.ser, OnnxKieModel)
    assert not isinstance(load_annotator(report.bundle, dtype=torch.bfloat16).models.ser, OnnxKieModel)


def test_every_tensor_is_in_the_readme(report: ExportReport) -> None:
    text = (report.bundle.path / "onnx/README.md").read_text()
    assert (report.bundle.path / "README.md").read_text().endswith(text)
    for file in report.files:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        for way, tensors in (("input", session.get_inputs()), ("output", session.get_outputs())):
            for tensor in tensors:
                kind = tensor.type.removeprefix("tensor(").rstrip(")")
                row = f"| {way} | `{tensor.name}` | {kind} [{', '.join(map(str, tensor.shape))}] |"
                assert row in text, row


def test_only_standard_operators(report: ExportReport) -> None:
    for file in report.files:
        model = onnx.load(str(file))
        assert [(item.domain, item.version) for item in model.opset_import] == [("", 23)]
        assert not model.functions
        assert {node.domain for node in model.graph.node} == {""}


def test_labels_travel_in_the_file(report: ExportReport, session: onnxruntime.InferenceSession) -> None:
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["labels"]) == list(report.bundle.label_set.names)
    assert metadata["weights"] == "float32"


def test_the_bundle_is_whole(report: ExportReport) -> None:
    source = {name for name in Bundle.load().info.files if not name.startswith("onnx/")}
    assert set(report.bundle.info.files) - source == {"onnx/README.md", "onnx/re.onnx", "onnx/ser.onnx"}
    assert report.bundle.fingerprint != Bundle.load().fingerprint
    assert load_models(report.bundle).shared


def largest_table(file: Path) -> onnx.TensorProto:
    graph = onnx.load(str(file)).graph
    tables = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    return max((item for item in graph.initializer if item.name in tables), key=lambda item: math.prod(item.dims))


def test_tables_are_stored_as_float16_where_nothing_is_lost(report: ExportReport, tmp_path: Path) -> None:
    half = largest_table(report.bundle.path / "onnx/ser.onnx")  # the bundle's weights are stored in float16
    assert (list(half.dims), half.data_type) == ([8000, 256], onnx.TensorProto.FLOAT16)
    exact = export_bundle(Bundle.load(make_bundle(tmp_path / "exact")), tmp_path / "new", ExportSettings(opset=20))
    assert largest_table(exact.bundle.path / "onnx/ser.onnx").data_type == onnx.TensorProto.FLOAT


def test_exported_again_nothing_old_stays(tmp_path: Path) -> None:
    make_bundle(tmp_path / "old")
    (tmp_path / "old/onnx").mkdir()
    for name in ("re_encoder.onnx", "re.onnx"):
        (tmp_path / "old/onnx" / name).write_bytes(b"old")
    info = Bundle.load(make_bundle(tmp_path / "plain")).info
    write_info(tmp_path / "old", info.model_copy(update={"tasks": ["re"]}))
    rewrite_card(tmp_path / "old", f"Random weights.\n\n{HEADING}\n\nold\n\n## Scores\n\nnone\n")
    settings = ExportSettings(opset=20, entities=16, pairs=32)
    again = export_bundle(Bundle.load(tmp_path / "old"), tmp_path / "new", settings)
    card = (again.bundle.path / "README.md").read_text()
    assert card.startswith(f"Random weights.\n\n## Scores\n\nnone\n\n{HEADING}\n")
    assert card.count(HEADING) == 1
    assert [file.name for file in again.files] == ["re.onnx", "ser.onnx"]
    models = load_onnx_models(again.bundle)
    assert models.ser is None
    assert models.re is not None
    relations = onnxruntime.InferenceSession(str(again.bundle.path / "onnx/re.onnx"))
    shapes = {tensor.name: tensor.shape for tensor in relations.get_inputs()}
    assert shapes["entity_tokens"][1:] == [16]
    assert shapes["pairs"][1:] == [32, 2]


def test_a_file_that_computes_something_else_is_told(report: ExportReport) -> None:
    models = load_models(report.bundle)
    assert models.ser is not None
    exported = load_onnx_models(report.bundle)
    with torch.no_grad():
        models.ser.classifier.bias[0] += 0.01
    with pytest.raises(ExportError, match=r"ser logits: ONNX Runtime and torch differ by 0\.01"):
        compare(report.bundle, models, exported).require()
    with pytest.raises(ExportError, match="differ by nan"):
        Comparison(1, {"ser hidden": 1.0, "re logits": float("nan")}, 1.0).require()


def test_a_place_that_is_taken_and_settings_out_of_range(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ConfigError, match="exists already"):
        export_bundle(Bundle.load(), tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == ["file"]
    for changes in ({"opset": 17}, {"opset": 24}, {"entities": 1}, {"pairs": 0}):
        with pytest.raises(ConfigError, match=rf"{next(iter(changes))} {next(iter(changes.values()))} must"):
            ExportSettings(**changes)
