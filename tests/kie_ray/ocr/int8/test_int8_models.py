"""The int8 file that ships, on the sample forms: made from the installed model, and as good at reading."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnxruntime
import pytest

import kie_ray
from kie_ray.datasets.paddleocr import read_labels
from kie_ray.errors import ConfigError
from kie_ray.limits import Limits
from kie_ray.ocr import OcrSettings, build_engine
from kie_ray.ocr.engine import computes_in_int8
from kie_ray.ocr.int8 import int8_file
from kie_ray.ocr.rapidocr import RECOGNITION, model_file
from kie_ray.ocr.sessions import OnnxModel
from kie_ray.reading import Reader
from kie_ray.records import Line, Page, PageImage

SAMPLES = Path(kie_ray.__file__).parent / "samples"


def test_made_from_the_installed_model() -> None:
    small, full = OnnxModel(int8_file(RECOGNITION), "cpu", 1), OnnxModel(model_file(RECOGNITION), "cpu", 1)
    assert small.metadata.pop("source_sha256") == hashlib.sha256(model_file(RECOGNITION).read_bytes()).hexdigest()
    assert small.metadata == full.metadata
    assert int8_file(RECOGNITION).stat().st_size < 0.4 * model_file(RECOGNITION).stat().st_size


@pytest.fixture(scope="module")
def gold() -> list[Page]:
    return read_labels(SAMPLES / "labels.txt")


@pytest.fixture(scope="module")
def images(gold: list[Page]) -> list[PageImage]:
    with Reader(Limits()) as reader:
        files = [SAMPLES / Path(page.source).name for page in gold]
        return [next(iter(reader.read(file.read_bytes(), file.name))) for file in files]  # type: ignore[misc]


def read(dtype: str, images: list[PageImage], **settings: float) -> list[list[Line]]:
    return build_engine(OcrSettings(dtype=dtype, device="cpu", **settings)).read_lines(images)  # type: ignore[arg-type]


def characters_found(gold: list[Page], found: list[list[Line]]) -> float:
    """Share of the characters of gold lines whose whole text stands somewhere in the text of the page."""
    right = total = 0
    for page, lines in zip(gold, found, strict=True):
        text = "\n".join("".join(line.text.split()) for line in lines)
        for line in page.lines:
            wanted = "".join(line.text.split())
            total += len(wanted)
            right += len(wanted) * (wanted in text)
    return right / total


def test_finds_the_lines_and_reads_as_well_as_float32(gold: list[Page], images: list[PageImage]) -> None:
    full, small = read("float32", images), read("int8", images)
    for wanted, found in zip(full, small, strict=True):
        assert abs(len(found) - len(wanted)) <= 2, "the same boxes; a few are split into key and value otherwise"
        texts = [line.text for line in found]
        assert sum(line.text in texts for line in wanted) >= 0.9 * len(wanted)
    assert characters_found(gold, small) >= characters_found(gold, full) - 0.01
    assert small != full


def test_doubtful_lines_are_read_as_float32_reads_them(images: list[PageImage]) -> None:
    images, settings = images[::2], {"split_pairs": False}
    full, once = read("float32", images, **settings), read("int8", images, recheck_score=0, **settings)
    twice = read("int8", images, recheck_score=0.97, **settings)
    doubtful = sure = 0
    for page in zip(full, once, twice, strict=True):
        for exact, first, kept in zip(*page, strict=True):
            if first.ocr_score < 0.97:
                doubtful += first.text != exact.text
                assert (kept.text, kept.points) == (exact.text, exact.points)
                assert kept.ocr_score == pytest.approx(exact.ocr_score, abs=1e-4)
            else:
                sure += 1
                assert kept == first
    assert doubtful
    assert sure > 200


def test_auto_is_int8_on_cpus_only(monkeypatch: pytest.MonkeyPatch, images: list[PageImage]) -> None:
    assert read("auto", images[:1]) == read("int8", images[:1])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert computes_in_int8(OcrSettings())
    assert not computes_in_int8(OcrSettings(dtype="float32"))
    assert not computes_in_int8(OcrSettings(device="cuda"))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    assert not computes_in_int8(OcrSettings())
    assert computes_in_int8(OcrSettings(device="cpu"))
    assert computes_in_int8(OcrSettings(dtype="int8"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert computes_in_int8(OcrSettings())


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"ocr.dtype = 'int8' is for the engine 'rapidocr'.*set 'auto'"):
        build_engine(OcrSettings(engine="paddleocr", dtype="int8"))
    with pytest.raises(ConfigError, match=r"ocr.dtype = 'int8' is for CPUs"):
        build_engine(OcrSettings(dtype="int8", device="cuda"))
