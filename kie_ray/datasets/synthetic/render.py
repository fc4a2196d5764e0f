"""Draws a synthetic page: rules, fills, text, check boxes, stamps, logos; then the page's own rotation."""

from __future__ import annotations

import random
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from kie_ray.datasets.synthetic.canvas import Shape, Style, TextRun
from kie_ray.datasets.synthetic.fonts import Fonts
from kie_ray.datasets.synthetic.generator import SyntheticPage

_BOXES = "□☑■√✓"
"""Drawn by hand: few fonts have them, and a form's boxes are larger than a glyph."""
_RED = (196, 30, 40)


def render(page: SyntheticPage, fonts: Fonts) -> NDArray[np.uint8]:
    """The clean page: uint8 [page.page.height, page.page.width, 3] RGB, dark on white; gold points fit without change.

    Raises ConfigError when the page holds CJK text and `fonts` has no CJK font.
    """
    width, height = page.page.width, page.page.height
    scale = width / page.paper[0]
    image = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    for shape in page.shapes:
        if shape.kind in ("fill", "logo", "rule"):
            _shape(draw, shape, scale)
    for run in page.runs:
        _text(image, run, scale, fonts)
    for shape in page.shapes:
        if shape.kind == "stamp":
            image = _stamp(image, shape, scale, fonts)
    a, b, c, d, e, f = page.matrix
    if b or d:
        turn = np.array([[a / scale, b / scale, c], [d / scale, e / scale, f], [0, 0, 1]])
        back = np.linalg.inv(turn)
        image = image.transform(
            image.size,
            Image.Transform.AFFINE,
            tuple(back[:2].ravel()),
            Image.Resampling.BICUBIC,
            fillcolor=(255, 255, 255),
        )
    return np.asarray(image, dtype=np.uint8).copy()


def _shape(draw: ImageDraw.ImageDraw, shape: Shape, scale: float) -> None:
    x0, y0, x1, y1 = (value * scale for value in shape.box)
    if shape.kind == "rule":
        draw.line((x0, y0, x1, y1), fill=(30, 30, 30), width=max(1, round(shape.value * scale)))
    elif shape.kind == "fill":
        draw.rectangle((x0, y0, x1, y1), fill=(int(shape.value),) * 3)
    else:
        _logo(draw, (x0, y0, x1, y1), shape.value)


def _logo(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], seed: float) -> None:
    rng = random.Random(seed)
    x0, y0, x1, y1 = box
    colour = rng.choice(((20, 60, 140), (170, 30, 30), (20, 110, 60), (40, 40, 40)))
    side = x1 - x0
    form = rng.randrange(3)
    if form == 0:
        draw.ellipse(box, fill=colour)
        draw.polygon(
            [
                (x0 + side * 0.5, y0 + side * 0.15),
                (x0 + side * 0.82, y0 + side * 0.75),
                (x0 + side * 0.18, y0 + side * 0.75),
            ],
            fill=(255, 255, 255),
        )
    elif form == 1:
        draw.rectangle(box, outline=colour, width=max(1, round(side * 0.1)))
        draw.ellipse((x0 + side * 0.25, y0 + side * 0.25, x1 - side * 0.25, y1 - side * 0.25), fill=colour)
    else:
        for step in range(3):
            left = x0 + side * step / 3
            draw.polygon(
                [
                    (left, y1),
                    (left + side * 0.25, y1),
                    (left + side * 0.33, y0 + side * 0.25 * step),
                    (left + side * 0.08, y0 + side * 0.25 * step),
                ],
                fill=colour,
            )


def _is_cjk(text: str) -> bool:
    return any(ord(character) >= 0x2000 and character not in _BOXES for character in text)


def _text(image: Image.Image, run: TextRun, scale: float, fonts: Fonts) -> None:
    x0, y0, x1, _y1 = (value * scale for value in run.box)
    pixels = max(4, round(run.size * scale))
    cjk = _is_cjk(run.text)
    font = fonts.get(run.style, pixels, cjk)
    mask, length = _mask(run.text, font, pixels, cjk, run.style)
    target = max(1, round(x1 - x0))
    if length <= 0:
        return
    # A run is laid out with table metrics: stretching the real glyphs keeps ink inside the annotated box.
    pad = pixels
    ratio = target / length
    mask = mask.resize((max(1, round(mask.width * ratio)), mask.height), Image.Resampling.BICUBIC)
    ink = Image.new("RGB", mask.size, run.style.ink)
    image.paste(ink, (round(x0 - pad * ratio), round(y0) - pad), mask)


def _mask(text: str, font: object, pixels: int, cjk: bool, style: Style) -> tuple[Image.Image, float]:
    """Coverage mask with one em of margin around the em box of the run, and the advance width in pixels."""
    from PIL import ImageFont

    assert isinstance(font, ImageFont.FreeTypeFont)
    blank = "　" if cjk else "   "
    plain = "".join(blank if character in _BOXES else character for character in text)
    length = font.getlength(plain)
    mask = Image.new("L", (max(1, round(length)) + 2 * pixels, 3 * pixels), 0)
    draw = ImageDraw.Draw(mask)
    baseline = pixels + round(pixels * (0.87 if cjk else 0.78))
    stroke = round(pixels * 0.025) if cjk and style.bold else 0
    draw.text((pixels, baseline), plain, fill=255, font=font, anchor="ls", stroke_width=stroke)
    done = ""
    for character in text:
        if character in _BOXES:
            _box_glyph(draw, character, pixels + font.getlength(done), pixels, pixels)
            done += blank
        else:
            done += character
    return mask, length


def _box_glyph(draw: ImageDraw.ImageDraw, character: str, x: float, y: float, size: int) -> None:
    line = max(1, round(size * 0.06))
    box = (x + size * 0.1, y + size * 0.12, x + size * 0.86, y + size * 0.88)
    if character == "■":
        draw.rectangle(box, fill=255)
        return
    if character in "□☑":
        draw.rectangle(box, outline=255, width=line)
    if character in "☑√✓":
        tick = [
            (x + size * 0.2, y + size * 0.5),
            (x + size * 0.42, y + size * 0.78),
            (x + size * 0.84, y + size * 0.16),
        ]
        draw.line(tick, fill=255, width=max(1, round(size * 0.1)), joint="curve")


def _stamp(image: Image.Image, shape: Shape, scale: float, fonts: Fonts) -> Image.Image:
    """A round red seal with its text on an arc and a star, multiplied onto the paper, somewhat worn."""
    x0, y0, x1, _ = (value * scale for value in shape.box)
    side = max(16, round(x1 - x0))
    rng = random.Random(shape.value)
    seal = Image.new("RGB", (side, side), (255, 255, 255))
    draw = ImageDraw.Draw(seal)
    line = max(1, side // 32)
    draw.ellipse((line, line, side - line, side - line), outline=_RED, width=line)
    middle, radius = side / 2, side * 0.11
    star = [
        (
            middle + radius * (1 if k % 2 == 0 else 0.4) * sin(pi * k / 5),
            middle - radius * (1 if k % 2 == 0 else 0.4) * cos(pi * k / 5),
        )
        for k in range(10)
    ]
    draw.polygon(star, fill=_RED)
    text = shape.text[:14]
    pixels = max(5, round(side * min(0.13, 1.9 / max(1, len(text)))))
    font = fonts.get(Style("serif"), pixels, _is_cjk(text))
    span = pi * 1.4
    for number, character in enumerate(text):
        angle = -span / 2 + span * (number + 0.5) / len(text)
        glyph = Image.new("L", (pixels * 2, pixels * 2), 0)
        ImageDraw.Draw(glyph).text((pixels, pixels), character, fill=255, font=font, anchor="mm")
        glyph = glyph.rotate(-angle * 180 / pi, Image.Resampling.BICUBIC)
        at = (round(middle + side * 0.37 * sin(angle)) - pixels, round(middle - side * 0.37 * cos(angle)) - pixels)
        seal.paste(Image.new("RGB", glyph.size, _RED), at, glyph)
    seal = seal.rotate(rng.uniform(-25, 25), Image.Resampling.BICUBIC, fillcolor=(255, 255, 255))
    worn = np.asarray(seal, dtype=np.float32)
    seal = Image.fromarray((255 - (255 - worn) * rng.uniform(0.6, 0.85)).astype(np.uint8))
    sheet = Image.new("RGB", image.size, (255, 255, 255))
    sheet.paste(seal, (round(x0), round(y0)))
    return ImageChops.multiply(image, sheet)
