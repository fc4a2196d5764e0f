"""Real OCR on pages that the test draws."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from kie_ray.errors import ConfigError
from kie_ray.ocr.engine import OcrEngine, OcrSettings, build_engine
from kie_ray.ocr.sessions import available_threads, gpu_assigned
from kie_ray.records import Line, PageImage

FORM = [
    (60, 50, "Application for leave"),
    (60, 140, "Name"),
    (420, 140, "Margaret Hamilton"),
    (60, 230, "Date of birth"),
    (420, 230, "17 August 1936"),
    (60, 320, "Please write in capital letters and sign on the last page"),
]


def draw(texts: list[tuple[int, int, str]], width: int = 1000, height: int = 420, size: int = 32) -> PageImage:
    picture = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size)
    for x, y, text in texts:
        pen.text((x, y), text, fill="black", font=font)
    return PageImage(np.asarray(picture), 0, "drawn")


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.fixture(scope="module")
def engine() -> OcrEngine:
    return build_engine(OcrSettings(device="cpu"))


@pytest.fixture(scope="module")
def form_lines(engine: OcrEngine) -> list[Line]:
    return engine.read_lines([draw(FORM)])[0]


def test_text_is_read_in_order(form_lines: list[Line]) -> None:
    assert [squeezed(line.text) for line in form_lines] == [squeezed(text) for _, _, text in FORM]
    assert [line.id for line in form_lines] == list(range(len(FORM)))
    assert all(0.8 < line.ocr_score <= 1 for line in form_lines)
    assert all(line.label == "OTHER" and line.label_score == 0 for line in form_lines)


def test_boxes_cover_the_ink(form_lines: list[Line]) -> None:
    font = ImageFont.load_default(32)
    pen = ImageDraw.Draw(Image.new("RGB", (8, 8)))
    for line, (x, y, text) in zip(form_lines, FORM, strict=True):
        left, top, right, bottom = pen.textbbox((x, y), text, font=font)
        x0, y0, x1, y1 = line.box
        assert max(x0 - left, y0 - top, right - x1, bottom - y1) <= 4, (text, line.box)
        assert x1 - x0 < right - left + 60
        assert y1 - y0 < 80
        first_x, first_y, _, _, third_x, third_y, _, _ = line.points
        assert first_x < third_x
        assert first_y < third_y


def test_colours_are_rgb(engine: OcrEngine) -> None:
    # Red on green of the same brightness: read only if channels keep their meaning through both models.
    page = draw(FORM[:3])
    page.pixels = np.where(page.pixels > 127, np.array([200, 230, 255]), np.array([120, 0, 20])).astype(np.uint8)
    assert [squeezed(line.text) for line in engine.read_lines([page])[0]] == [squeezed(text) for _, _, text in FORM[:3]]


def test_several_pages_in_a_call_equal_one_by_one(engine: OcrEngine) -> None:
    blank = PageImage(np.full((300, 200, 3), 255, dtype=np.uint8), 1, "blank")
    pages = [draw(FORM), blank, draw(FORM[:2], size=48), draw(FORM[2:], width=1400)]
    together = engine.read_lines(pages)
    alone = [engine.read_lines([page])[0] for page in pages]
    assert [texts(lines) for lines in together] == [texts(lines) for lines in alone]
    assert [[line.points for line in lines] for lines in together] == [
        [line.points for line in lines] for lines in alone
    ]
    assert [[line.id for line in lines] for lines in together] == [list(range(len(lines))) for lines in alone]
    assert engine.read_lines(pages) == together


def test_grouped_batches_read_as_single_lines(engine: OcrEngine) -> None:
    rows = [(40, 20 + 60 * row, "Line number " + "abcdefgh ijklmnop qrst "[: 3 + 2 * row]) for row in range(12)]
    page = draw(rows, width=1100, height=780)
    single = build_engine(OcrSettings(device="cpu", recognition_batch=1))
    grouped = build_engine(OcrSettings(device="cpu", recognition_batch=16))
    assert len(single.read_lines([page])[0]) == 12
    assert texts(grouped.read_lines([page])[0]) == texts(single.read_lines([page])[0])


@pytest.mark.parametrize(
    "shape",
    [(1, 1), (1, 40), (3, 4000), (4000, 3), (5, 5), (31, 33), (64, 2000)],
    ids=lambda shape: f"{shape[1]}x{shape[0]}",
)
@pytest.mark.parametrize("shade", [0, 255])
def test_degenerate_pages_have_no_lines(engine: OcrEngine, shape: tuple[int, int], shade: int) -> None:
    assert engine.read_lines([PageImage(np.full((*shape, 3), shade, dtype=np.uint8), 0, "tiny")]) == [[]]


def test_noise_does_not_crash_and_stays_on_the_page(engine: OcrEngine) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (3, 4000, 3), dtype=np.uint8)
    for pixels in (noise, noise.transpose(1, 0, 2).copy(), noise[:, :70].repeat(20, axis=0)):
        for line in engine.read_lines([PageImage(pixels, 0, "noise")])[0]:
            x0, y0, x1, y1 = line.box
            assert 0 <= x0 <= x1 <= pixels.shape[1]
            assert 0 <= y0 <= y1 <= pixels.shape[0]


def test_no_page_no_lines(engine: OcrEngine) -> None:
    assert engine.read_lines([]) == []


def test_a_line_that_fills_its_image(engine: OcrEngine) -> None:
    lines = engine.read_lines([draw([(4, 0, "Invoice number 4711")], width=330, height=40)])[0]
    assert [squeezed(line.text) for line in lines] == ["Invoicenumber4711"]
    assert all(0 <= value <= (330, 40)[place % 2] for line in lines for place, value in enumerate(line.points))


def test_long_receipt_is_read(engine: OcrEngine) -> None:
    rows = [(30, 40 + 200 * row, f"Item {row:02d} price 9.99") for row in range(30)]
    lines = engine.read_lines([draw(rows, width=480, height=6100, size=26)])[0]
    assert [squeezed(line.text) for line in lines] == [squeezed(text) for _, _, text in rows]


def test_blank_box_stays_unless_a_score_is_asked_for(engine: OcrEngine, form_lines: list[Line]) -> None:
    strict = build_engine(OcrSettings(device="cpu", min_score=0.9995))
    kept = strict.read_lines([draw(FORM)])[0]
    expected = [line.text for line in form_lines if line.ocr_score >= 0.9995]
    assert texts(kept) == expected
    assert len(kept) < len(form_lines)
    assert [line.id for line in kept] == list(range(len(kept)))


def test_upside_down_line_with_classifier() -> None:
    page = draw([(60, 60, "Application for leave of absence")], width=700, height=160)
    page.pixels = np.ascontiguousarray(page.pixels[::-1, ::-1])
    turning = build_engine(OcrSettings(device="cpu", orientation_classifier=True))
    assert [squeezed(text) for text in texts(turning.read_lines([page])[0])] == ["Applicationforleaveofabsence"]


def test_chinese(engine: OcrEngine) -> None:
    mplfonts = pytest.importorskip("mplfonts", reason="no Chinese font: install mplfonts")
    file = Path(mplfonts.__file__).parent / "fonts" / "NotoSansCJKsc-Regular.otf"
    if not file.is_file():
        pytest.skip(f"{file} is missing")
    picture = Image.new("RGB", (800, 240), "white")
    pen = ImageDraw.Draw(picture)
    font = ImageFont.truetype(str(file), 36)
    rows = ["姓名", "出生日期", "请用正楷填写本申请表"]
    for row, text in enumerate(rows):
        pen.text((40, 20 + 70 * row), text, fill="black", font=font)
    assert texts(engine.read_lines([PageImage(np.asarray(picture), 0, "zh")])[0]) == rows


def test_works_offline_and_quietly(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], form_lines: list[Line]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("this test has no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    offline = build_engine(OcrSettings(device="cpu"))
    assert texts(offline.read_lines([draw(FORM)])[0]) == texts(form_lines)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("RapidOCR").level == logging.WARNING


def test_threads_and_device_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert available_threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert available_threads() >= 1
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not gpu_assigned()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpu_assigned()


def test_auto_runs_on_the_cpu_where_no_gpu_is_assigned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert build_engine(OcrSettings()).device == "cpu"  # type: ignore[attr-defined]


def test_cuda_without_a_provider_is_refused() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has the CUDA provider")
    with pytest.raises(ConfigError, match=r"ocr\.device = 'cuda'.*onnxruntime-gpu"):
        build_engine(OcrSettings(device="cuda"))
