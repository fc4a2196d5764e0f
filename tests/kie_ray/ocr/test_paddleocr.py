"""PaddleOCR on real models and pages."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from kie_ray.errors import Category, ConfigError, DocumentError, Stage
from kie_ray.ocr.engine import OcrEngine, OcrSettings, PaddleOcrSettings, build_engine, check_engine
from kie_ray.ocr.rapidocr import DETECTION, model_file
from kie_ray.records import Line, PageImage
from tests.paddleocr_support import (
    DETECTION_RESULT,
    DETECTION_STEPS,
    RECOGNITION_STEPS,
    describe,
    detection_dir,
    orientation_dir,
    recognition_dir,
)

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "kie_ray/samples/zh_health_check.png"
FORM = [
    (60, 50, "Application for leave"),
    (60, 140, "Name"),
    (420, 140, "Margaret Hamilton"),
    (60, 230, "Date of birth"),
    (420, 230, "17 August 1936"),
]


def draw(texts: list[tuple[int, int, str]], width: int = 800, height: int = 320, size: int = 32) -> PageImage:
    picture = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(picture)
    for x, y, text in texts:
        pen.text((x, y), text, fill="black", font=ImageFont.load_default(size))
    return PageImage(np.asarray(picture), 3, "drawn.png")


def squeezed(lines: list[Line]) -> list[str]:
    return ["".join(line.text.split()) for line in lines]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> PaddleOcrSettings:
    folder = tmp_path_factory.mktemp("models")
    return PaddleOcrSettings(detection_dir=str(detection_dir(folder)), recognition_dir=str(recognition_dir(folder)))


def settings(models: PaddleOcrSettings, **more: object) -> OcrSettings:
    return OcrSettings.model_validate({"engine": "paddleocr", "device": "cpu", "paddleocr": models, **more})


@pytest.fixture(scope="module")
def engine(models: PaddleOcrSettings) -> OcrEngine:
    return build_engine(settings(models))


@pytest.fixture(scope="module")
def form_lines(engine: OcrEngine) -> list[Line]:
    return engine.read_lines([draw(FORM)])[0]


def test_text_is_read_in_order_where_it_stands(form_lines: list[Line]) -> None:
    assert squeezed(form_lines) == ["".join(text.split()) for _, _, text in FORM]
    assert [line.id for line in form_lines] == list(range(len(FORM)))
    font, pen = ImageFont.load_default(32), ImageDraw.Draw(Image.new("RGB", (8, 8)))
    for line, (x, y, text) in zip(form_lines, FORM, strict=True):
        assert 0.8 < line.ocr_score <= 1
        ink = pen.textbbox((x, y), text, font=font)
        assert max(abs(found - drawn) for found, drawn in zip(line.box, ink, strict=True)) < 16, (text, line.box, ink)
        x1, y1, x2, y2, x3, y3, x4, y4 = line.points
        assert x1 < x2
        assert x4 < x3
        assert y1 < y4
        assert y2 < y3


def test_models_see_blue_green_red(models: PaddleOcrSettings, tmp_path: Path) -> None:
    # This detector sees the first channel only: the others are scaled to the white of paper.
    steps = [dict(step) for step in DETECTION_STEPS]
    (scaling,) = [step for step in steps if "NormalizeImage" in step]
    scaling["NormalizeImage"] = {"mean": [0.5, -1e6, -1e6], "std": [0.5, 1e6, 1e6], "scale": "1./255.", "order": "hwc"}
    folder = describe(tmp_path / "det", "PP-OCRv6_small_det", steps, DETECTION_RESULT)
    (folder / "inference.onnx").symlink_to(model_file(DETECTION))
    blind = PaddleOcrSettings(**{**models.model_dump(), "detection_dir": str(folder)})
    page = draw([(40, 40, "absorbs blue")], width=500, height=200)
    page.pixels = page.pixels.copy()
    page.pixels[:, :, :2] = 255
    absorbs_red = PageImage(np.ascontiguousarray(page.pixels[:, :, ::-1]), 1, "red")
    assert [squeezed(lines) for lines in build_engine(settings(blind)).read_lines([page, absorbs_red])] == [
        ["absorbsblue"],
        [],
    ]


def test_several_pages_in_a_call_equal_one_by_one(engine: OcrEngine, form_lines: list[Line]) -> None:
    blank = PageImage(np.full((300, 200, 3), 255, dtype=np.uint8), 1, "blank")
    first, empty, second = engine.read_lines([draw(FORM), blank, draw(FORM[:2], size=48)])
    assert first == form_lines
    assert empty == []
    assert second == engine.read_lines([draw(FORM[:2], size=48)])[0]
    assert engine.read_lines([]) == []


def test_as_good_as_rapidocr_on_a_form(engine: OcrEngine) -> None:
    page = PageImage(np.asarray(Image.open(SAMPLE).convert("RGB")), 0, "sample")
    rapid = build_engine(OcrSettings(device="cpu", dtype="float32"))
    found, expected = engine.read_lines([page])[0], rapid.read_lines([page])[0]
    common = Counter(line.text for line in found) & Counter(line.text for line in expected)
    assert len(expected) > 90
    assert common.total() >= 0.95 * max(len(found), len(expected))
    places = {line.text: np.array(line.points) for line in expected}
    gaps = [float(np.abs(np.array(line.points) - places[line.text]).max()) for line in found if line.text in places]
    assert np.median(gaps) < 4


@pytest.mark.parametrize("shape", [(1, 1), (3, 4000), (4000, 3), (31, 33)], ids=lambda size: f"{size[1]}x{size[0]}")
@pytest.mark.parametrize("shade", [0, 255])
def test_degenerate_pages_have_no_lines(engine: OcrEngine, shape: tuple[int, int], shade: int) -> None:
    assert engine.read_lines([PageImage(np.full((*shape, 3), shade, dtype=np.uint8), 0, "tiny")]) == [[]]


def test_a_line_that_fills_its_image_stays_on_it(engine: OcrEngine) -> None:
    lines = engine.read_lines([draw([(4, 0, "Invoice number 4711")], width=330, height=40)])[0]
    assert squeezed(lines) == ["Invoicenumber4711"]
    assert lines[0].box[1] < 8  # the frame around so thin a page is taken off again
    assert all(0 <= value <= (330, 40)[place % 2] for line in lines for place, value in enumerate(line.points))


def test_a_long_receipt_keeps_its_print_size(engine: OcrEngine) -> None:
    rows = [(30, 40 + 400 * row, f"Item {row:02d} price 9.99") for row in range(15)]
    lines = engine.read_lines([draw(rows, width=480, height=6100, size=20)])[0]
    assert squeezed(lines) == ["".join(text.split()) for _, _, text in rows]


def test_a_page_with_too_long_a_side_is_refused_by_name(engine: OcrEngine) -> None:
    page = PageImage(np.zeros((1, 32_768, 3), dtype=np.uint8), 7, "s3://forms/strip.tif")
    with pytest.raises(DocumentError, match=r"page 7 of s3://forms/strip\.tif is 32768 x 1 pixels") as caught:
        engine.read_lines([draw(FORM), page])
    item = caught.value.item
    assert (item.stage, item.category, item.page) == (Stage.OCR, Category.TOO_LARGE, 7)


def test_detection_options_reach_paddleocr(models: PaddleOcrSettings, form_lines: list[Line]) -> None:
    def read(**options: object) -> list[Line]:
        return build_engine(settings(models, **options)).read_lines([draw(FORM)])[0]

    wider = read(unclip_ratio=2.6, recognition_batch=1)
    pairs = zip(form_lines, wider, strict=True)
    assert all(after.box[3] - after.box[1] > before.box[3] - before.box[1] for before, after in pairs)
    assert len(read(detection_long_side=64)) < len(form_lines)
    # So low a threshold finds a box of low probability. It stays at 0, which PaddleX would take for its default 0.6.
    word = draw([(40, 40, "Application")], width=500, height=200)
    counts = [
        len(build_engine(settings(models, detection_threshold=0.001, box_threshold=box)).read_lines([word])[0])
        for box in (0.0, 0.6)
    ]
    assert counts == [1, 0]


def test_min_score_leaves_lines_out_and_numbers_the_others(models: PaddleOcrSettings, form_lines: list[Line]) -> None:
    limit = sorted(line.ocr_score for line in form_lines)[2]
    kept = build_engine(settings(models, min_score=limit)).read_lines([draw(FORM)])[0]
    assert [line.text for line in kept] == [line.text for line in form_lines if line.ocr_score >= limit]
    assert [line.id for line in kept] == list(range(len(FORM) - 2))


def test_lines_upside_down_and_pairs(models: PaddleOcrSettings, tmp_path: Path) -> None:
    upright = draw([(60, 60, "Application: form of absence")], width=700, height=160)
    assert squeezed(build_engine(settings(models)).read_lines([upright])[0]) == ["Application:", "formofabsence"]
    page = PageImage(np.ascontiguousarray(upright.pixels[::-1, ::-1]), 0, "upside down")
    turning = PaddleOcrSettings(**{**models.model_dump(), "orientation_dir": str(orientation_dir(tmp_path))})
    whole = build_engine(settings(turning, orientation_classifier=True, split_pairs=False)).read_lines([page])[0]
    assert squeezed(whole) == ["Application:formofabsence"]


@pytest.mark.parametrize("option", ["recognition_min_width", "recognition_width_step"])
def test_options_that_paddleocr_does_not_have_are_refused(models: PaddleOcrSettings, option: str) -> None:
    with pytest.raises(ConfigError, match=rf"ocr\.{option} = 64: the engine 'paddleocr' has no such option"):
        build_engine(settings(models, **{option: 64}))


def test_models_and_engine_belong_together(models: PaddleOcrSettings) -> None:
    with pytest.raises(ConfigError, match=r"ocr\.paddleocr\.detection_dir.*only read by the engine 'paddleocr'"):
        build_engine(OcrSettings(paddleocr=models))
    with pytest.raises(ConfigError, match=r"ocr\.paddleocr\.orientation_model.*needs ocr\.orientation_classifier"):
        build_engine(settings(PaddleOcrSettings(**{**models.model_dump(), "orientation_model": "x"})))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("folder", "there is no such local directory"),
        ("inference.yml", "holds no inference.yml"),
        ("inference.onnx", "holds no inference.onnx.*set ocr.paddleocr.engine to 'paddle'"),
        ("yaml", r"inference.yml has no Global.model_name"),
        ("name", "recognition_model = 'other', but .* describes 'PP-OCRv6_small_rec'"),
    ],
)
def test_a_wrong_directory_is_told_before_paddleocr_is_imported(
    models: PaddleOcrSettings, tmp_path: Path, broken: str, message: str
) -> None:
    folder = tmp_path / "rec"
    shutil.copytree(models.recognition_dir or "", folder, symlinks=True)
    changed = PaddleOcrSettings(**{**models.model_dump(), "recognition_dir": str(folder)})
    if broken == "folder":
        shutil.rmtree(folder)
    elif broken == "yaml":
        (folder / "inference.yml").write_text("Global: []")
    elif broken == "name":
        changed.recognition_model = "other"
    else:
        (folder / broken).unlink()
    with pytest.raises(ConfigError, match=message) as caught:
        check_engine(settings(changed))
    assert "\n" not in str(caught.value)
    assert "ocr.paddleocr.recognition_" in str(caught.value)


def test_what_paddleocr_refuses_is_one_clear_error(
    models: PaddleOcrSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = describe(tmp_path / "rec", "my_own_network", RECOGNITION_STEPS, {"name": "CTCLabelDecode"})
    (folder / "inference.onnx").write_bytes(b"")
    unknown = PaddleOcrSettings(**{**models.model_dump(), "recognition_dir": str(folder)})
    with pytest.raises(ConfigError, match=r"cannot load .*my_own_network in .* with the engine 'onnxruntime'"):
        build_engine(settings(unknown))

    def refuse(*_: object) -> None:
        raise OSError("this test has no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    without = PaddleOcrSettings(
        **{**models.model_dump(), "detection_dir": None, "detection_model": "PP-OCRv5_mobile_det"}
    )
    with pytest.raises(ConfigError) as caught:
        build_engine(settings(without))
    assert "cannot get PP-OCRv5_mobile_det" in str(caught.value)
    assert "set ocr.paddleocr.detection_dir to" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_paddle_needs_its_package(models: PaddleOcrSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paddle", None)
    with pytest.raises(ConfigError, match=r"ocr\.paddleocr\.engine = 'paddle' needs the package paddlepaddle"):
        build_engine(settings(PaddleOcrSettings(**{**models.model_dump(), "engine": "paddle"})))


def test_paddle_runs_static_models(tmp_path: Path) -> None:
    """Made-up networks: a detector that takes what is dark for text, a recogniser that reads nothing."""
    paddle = pytest.importorskip("paddle", reason="paddlepaddle is not installed (pip install 'kie-ray[paddle]')")

    class Ink(paddle.nn.Layer):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.gain = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(5.0))

        def forward(self, pages):  # type: ignore[no-untyped-def]
            dark = 0.5 - pages.mean(1, keepdim=True) / 2
            return paddle.clip(paddle.nn.functional.avg_pool2d(dark, 9, 1, 4) * self.gain, 0, 1)

    class Blank(paddle.nn.Layer):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.bias = self.create_parameter([5], default_initializer=paddle.nn.initializer.Constant(0.2))

        def forward(self, crops):  # type: ignore[no-untyped-def]
            return paddle.nn.functional.softmax(0 * crops.mean([1, 2]).unsqueeze(-1) + self.bias, -1)

    def save(network: object, folder: Path, height: int | None) -> str:
        inputs = [paddle.static.InputSpec([None, 3, height, None], "float32", name="x")]
        paddle.jit.save(paddle.jit.to_static(network, input_spec=inputs, full_graph=True), str(folder / "inference"))
        return str(folder)

    detection = describe(tmp_path / "det", "PP-OCRv6_small_det", DETECTION_STEPS, DETECTION_RESULT)
    reading = {"name": "CTCLabelDecode", "character_dict": ["a", "b", "c"]}
    recognition = describe(tmp_path / "rec", "PP-OCRv6_small_rec", RECOGNITION_STEPS, reading)
    static = PaddleOcrSettings(
        engine="paddle", detection_dir=save(Ink(), detection, None), recognition_dir=save(Blank(), recognition, 48)
    )
    lines = build_engine(settings(static)).read_lines([draw([(40, 40, "Application")], width=500, height=200)])[0]
    assert {(line.text, line.ocr_score) for line in lines} == {("", 0.0)}
    assert any(x0 < 60 and x1 > 180 for x0, _, x1, _ in (line.box for line in lines))


def test_cuda_without_a_provider_is_refused(models: PaddleOcrSettings) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has the CUDA provider")
    with pytest.raises(ConfigError, match=r"ocr\.device = 'cuda'.*onnxruntime-gpu"):
        build_engine(settings(models, device="cuda"))


ALONE = """
import logging, os, signal, socket, sys
import cv2
import numpy as np
from kie_ray.ocr.engine import OcrSettings, PaddleOcrSettings, build_engine
from kie_ray.records import PageImage

def state():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    kept = {name: value for name, value in os.environ.items() if name != "AISTUDIO_LOG"}
    root = logging.getLogger()
    return handlers, kept, cv2.getNumThreads(), list(root.handlers), root.level, sys.excepthook

def refuse(*_):
    raise OSError("no network here")

socket.socket.connect = socket.getaddrinfo = refuse
models = PaddleOcrSettings(detection_dir=sys.argv[1], recognition_dir=sys.argv[2])
assert "paddleocr" not in sys.modules
before = state()
engine = build_engine(OcrSettings(engine="paddleocr", device="cpu", paddleocr=models))
engine.read_lines([PageImage(np.load(sys.argv[3]), 0, "drawn")])
assert state() == before, (state(), before)
assert "paddle" not in sys.modules
"""


def test_offline_quiet_and_without_traces_in_home_or_process(models: PaddleOcrSettings, tmp_path: Path) -> None:
    np.save(tmp_path / "page.npy", draw(FORM).pixels)
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    # matplotlib, which PaddleOCR imports, keeps its list of fonts in a folder of its own.
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(scratch), "MPLCONFIGDIR": str(tmp_path / "fonts")}
    for name in ("PADDLE_PDX_CACHE_HOME", "XDG_CACHE_HOME", "HF_HOME"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, models.detection_dir or "", models.recognition_dir or "", tmp_path / "page.npy"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (home / ".paddlex").exists()
    assert list(scratch.glob("paddlex-*")) == []
