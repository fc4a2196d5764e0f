"""OCR in bfloat16: nearly the text of float32, the same each time, refused where the machine cannot."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import kie_ray
from kie_ray.errors import ConfigError
from kie_ray.limits import Limits
from kie_ray.ocr import OcrEngine, OcrSettings, build_engine
from kie_ray.ocr.openvino import OpenVinoModel
from kie_ray.ocr.rapidocr import RECOGNITION, model_file
from kie_ray.ocr.sessions import OnnxModel
from kie_ray.reading import Reader
from kie_ray.records import PageImage

SAMPLES = Path(kie_ray.__file__).parent / "samples"


@pytest.fixture(scope="module")
def pages() -> list[PageImage]:
    with Reader(Limits()) as reader:
        files = [SAMPLES / "en_purchase_order.png", SAMPLES / "zh_health_check.png"]
        return [next(iter(reader.read(file.read_bytes(), file.name))) for file in files]  # type: ignore[misc]


@pytest.fixture(scope="module")
def half() -> OcrEngine:
    openvino = pytest.importorskip("openvino", reason="openvino is not installed (pip install 'kie-ray[openvino]')")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bfloat16 (AVX-512 BF16 or AMX)")
    return build_engine(OcrSettings(dtype="bfloat16", threads=1, device="cpu"))


def test_nearly_the_text_of_float32(half: OcrEngine, pages: list[PageImage]) -> None:
    full = build_engine(OcrSettings(dtype="float32", threads=1, device="cpu"))
    for wanted, found in zip(full.read_lines(pages), half.read_lines(pages), strict=True):
        texts = {line.text for line in found}
        assert abs(len(found) - len(wanted)) <= 1
        assert sum(line.text in texts for line in wanted) >= 0.95 * len(wanted)


def test_the_same_characters_as_onnx_runtime_reads_from_the_file(half: OcrEngine) -> None:
    file = model_file(RECOGNITION)
    assert OpenVinoModel(file, 1).metadata["character"] == OnnxModel(file, "cpu", 1).metadata["character"]


def test_a_page_alone_and_in_company_reads_the_same(half: OcrEngine, pages: list[PageImage]) -> None:
    together = half.read_lines(pages)
    assert [half.read_lines([page])[0] for page in pages] == together


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="for the engine 'rapidocr'"):
        build_engine(OcrSettings(engine="paddleocr", dtype="bfloat16"))
    with pytest.raises(ConfigError, match="is for CPUs"):
        build_engine(OcrSettings(dtype="bfloat16", device="cuda"))
    properties = {"OPTIMIZATION_CAPABILITIES": ["FP32", "INT8"], "FULL_DEVICE_NAME": "Old CPU "}
    core = SimpleNamespace(get_property=lambda device, name: properties[name])
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=lambda: core))
    with pytest.raises(ConfigError, match=r"this CPU \(Old CPU\) does not compute in it"):
        build_engine(OcrSettings(dtype="bfloat16"))
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError, match=r"pip install 'kie-ray\[openvino\]'"):
        build_engine(OcrSettings(dtype="bfloat16"))
