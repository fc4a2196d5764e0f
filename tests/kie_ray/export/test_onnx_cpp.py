"""The C++ example: compiled against the library of Python's onnxruntime, it answers as Python does on whole pages.

It needs a C++ compiler and ONNX Runtime's headers (not newer than the library), which the wheel does not carry:
Debian's `libonnxruntime-dev`, or the directory that KIE_RAY_ONNXRUNTIME_INCLUDE names.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from examples.onnx_cpp.page_inputs import main as write_inputs
from kie_ray.annotator import page_encoder
from kie_ray.datasets import read_labels, with_sizes
from kie_ray.datasets.page_images import with_pixels
from kie_ray.encoding.batching import collate
from kie_ray.encoding.page_image import model_images
from kie_ray.export import ExportSettings, export_bundle
from kie_ray.export.check import SAMPLES
from kie_ray.loading import load_annotator
from kie_ray.models.bundle import Bundle
from kie_ray.models.onnx_models import OnnxKieModel, load_onnx_models
from kie_ray.models.runtime import ONNX_DIR
from kie_ray.records import Page
from tests.job_support import ROOT, make_bundle
from tests.visual_support import make_visual_bundle

SOURCE = ROOT / "examples/onnx_cpp/main.cpp"
INCLUDES = (
    os.environ.get("KIE_RAY_ONNXRUNTIME_INCLUDE", ""),
    "/usr/include/onnxruntime",
    "/usr/local/include/onnxruntime",
)
TOLERANCE = 1e-5
SMALL_PAGE, LARGE_PAGE, ENTITIES = 1, 0, 60
"""Two sample pages, by their place; the small one has fewer entities, the large one more."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("tiny")
    bundle = Bundle.load(make_bundle(folder / "bundle", two_models=True))
    return export_bundle(bundle, folder / "exported", ExportSettings(int8=True, entities=ENTITIES)).bundle


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("g++")
    include = next((path for path in INCLUDES if path and Path(path, "onnxruntime_cxx_api.h").is_file()), None)
    libraries = list((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if compiler is None or include is None or not libraries:
        missing = "g++" if compiler is None else "onnxruntime_cxx_api.h" if include is None else "libonnxruntime.so"
        pytest.skip(f"the C++ example cannot be compiled: no {missing} on this machine")
    folder = tmp_path_factory.mktemp("program")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / name).symlink_to(libraries[0])
    built = folder / "kie_onnx"
    command = [compiler, "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", str(SOURCE), "-isystem", include]
    command += [f"-L{folder}", "-lonnxruntime", f"-Wl,-rpath,{folder}", "-o", str(built)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return built


def sample(number: int, bundle: Bundle) -> Page:
    pages = with_sizes(read_labels(SAMPLES / "labels.txt"), SAMPLES)[number : number + 1]
    return with_pixels(pages, SAMPLES, bundle.info.image)[0]


def run(program: Path, bundle: Bundle, folder: Path, number: int) -> dict[str, np.ndarray]:
    """What the program gives for a sample page, and in `pairs` what the pairs were."""
    inputs, outputs = folder / f"page{number}", folder / f"answers{number}"
    assert write_inputs(["--model", str(bundle.path), "--page", str(number), "--output", str(inputs)]) == 0
    result = subprocess.run(
        [str(program), str(bundle.path / ONNX_DIR), str(inputs), str(outputs)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found = {file.stem: np.load(file) for file in outputs.glob("*.npy")}
    return {**found, "pairs": np.load(inputs / "pairs.npy")}


def encoded(bundle: Bundle, model: OnnxKieModel, page: Page) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states of the page's windows, and which tokens are no padding."""
    encoder = page_encoder(bundle)
    batch = collate(encoder.encode(page).windows, encoder.tokenizer.pad_id)
    features = None
    if model.uses_image:
        assert page.pixels is not None
        features = model.image_features(model_images([page.pixels], bundle.info.image)).repeat_interleave(len(batch), 0)
    hidden = model.encode(batch.input_ids, batch.bbox, batch.attention_mask, image_features=features)
    return hidden, batch.attention_mask.bool()


def agrees(program: Path, bundle: Bundle, folder: Path, number: int) -> tuple[int, int]:
    """Compare a page's logits and links with Python's; how many windows and pairs it has."""
    found = run(program, bundle, folder, number)
    models, page = load_onnx_models(bundle), sample(number, bundle)
    assert models.ser is not None
    hidden, used = encoded(bundle, models.ser, page)
    logits = models.ser.ser_logits(hidden)
    torch.testing.assert_close(torch.from_numpy(found["ser_logits"])[used], logits[used], rtol=0, atol=TOLERANCE)
    # RE from gold labels: every link that Python keeps has the score that the program gave its pair.
    annotator = load_annotator(bundle, runtime="onnx")
    annotator.relate([page])
    names = bundle.info.entity_labels
    entities = [line.id for line in page.lines if line.label in names and line.text.strip()]
    scores = {
        (entities[head], entities[tail]): score
        for (head, tail), score in zip(found["pairs"].tolist(), found["re_scores"].tolist(), strict=True)
    }
    assert page.links
    for link in page.links:
        assert link.score == pytest.approx(scores[link.key_line, link.value_line], abs=TOLERANCE)
    probabilities = torch.from_numpy(found["re_logits"]).softmax(-1)[:, 1]
    torch.testing.assert_close(torch.from_numpy(found["re_scores"]), probabilities, rtol=0, atol=TOLERANCE)
    return len(hidden), len(scores)


def test_the_bundled_model(program: Path, tmp_path: Path) -> None:
    bundle = export_bundle(Bundle.load(), tmp_path / "bundle", ExportSettings(pairs=64)).bundle
    for number in range(2):
        _, pairs = agrees(program, bundle, tmp_path, number)
        assert pairs > 64  # in several parts


def test_two_models_in_int8_and_a_page_of_many_windows(program: Path, tiny: Bundle, tmp_path: Path) -> None:
    windows, _ = agrees(program, tiny, tmp_path, SMALL_PAGE)
    assert windows > 3


@pytest.mark.slow
def test_a_model_that_sees_the_page(program: Path, tmp_path: Path) -> None:
    visual = Bundle.load(make_visual_bundle(tmp_path / "visual", two_models=True))
    agrees(program, export_bundle(visual, tmp_path / "bundle").bundle, tmp_path, 0)


def test_inputs_that_do_not_fit_are_told(program: Path, tiny: Bundle, tmp_path: Path) -> None:
    inputs = tmp_path / "page"

    def complaint() -> str:
        command = [str(program), str(tiny.path / ONNX_DIR), str(inputs), str(tmp_path / "answers")]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 1
        return result.stderr

    write_inputs(["--model", str(tiny.path), "--page", str(LARGE_PAGE), "--output", str(inputs)])
    assert f"entities, re.onnx takes {ENTITIES}: export with --entities" in complaint()
    write_inputs(["--model", str(tiny.path), "--page", str(SMALL_PAGE), "--output", str(inputs)])
    pairs = np.load(inputs / "pairs.npy")
    np.save(inputs / "pairs.npy", pairs.astype(np.int32))
    assert "pairs.npy holds <i4, it must hold <i8" in complaint()
    np.save(inputs / "pairs.npy", pairs + 1000)
    assert "pairs.npy names an entity that is not there" in complaint()
    (inputs / "pairs.npy").write_bytes((inputs / "input_ids.npy").read_bytes()[:90])
    assert "pairs.npy ends within its header" in complaint()
    (inputs / "bbox.npy").unlink()
    assert "bbox.npy cannot be read" in complaint()
