"""A random form of a seed: `generate_page(7, language="zh")` gives gold lines and links, and what to draw."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import cos, radians, sin

from kie_ray.datasets.synthetic import blocks_box, blocks_free, blocks_table
from kie_ray.datasets.synthetic.canvas import Canvas, Shape, Style, TextRun
from kie_ray.datasets.synthetic.lexicon import Lexicon
from kie_ray.datasets.synthetic.sheet import Sheet
from kie_ray.records import Line, Page

LANGUAGES = ("zh", "en", "mixed")
_PAPERS = ((595.0, 842.0), (595.0, 842.0), (595.0, 842.0), (612.0, 792.0))
_INKS = ((20, 20, 20), (20, 20, 20), (25, 35, 120), (30, 40, 150), (45, 45, 45))
Block = Callable[[Sheet, float], "float | None"]


@dataclass(slots=True)
class SyntheticPage:
    """A generated form.

    `page`: the gold page (lines, links; pixels). `runs`, `shapes`: the drawing list in points of an upright sheet of
    `paper` (width, height) points; `matrix` (a, b, c, d, e, f) maps points to pixels:
    x' = a x + b y + c, y' = d x + e y + f.
    """

    page: Page
    runs: list[TextRun]
    shapes: list[Shape]
    paper: tuple[float, float]
    matrix: tuple[float, float, float, float, float, float]
    language: str


def generate_page(
    rng: random.Random | int,
    language: str = "zh",
    *,
    dpi: float | None = None,
    max_skew: float = 0.6,
    fill: float | None = None,
    source: str = "",
) -> SyntheticPage:
    """One form. Deterministic for a seed (`rng` as int) or a `random.Random` in the same state.

    `language`: zh, en or mixed (Chinese with English beside the field names). `dpi`: resolution of the gold,
    random in 72..300 when None. `max_skew`: largest rotation, degrees. `fill`: share of the fields with a value, random
    when None. Raises ValueError for an unknown language.
    """
    if language not in LANGUAGES:
        raise ValueError(f"language {language!r} is unknown; right are {', '.join(LANGUAGES)}")
    rng = random.Random(rng) if isinstance(rng, int) else rng
    width, height = rng.choice(_PAPERS)
    if rng.random() < 0.02:
        width, height = height, width
    is_zh = language != "en"
    canvas = Canvas(rng, width, height, strip_spaces=is_zh and rng.random() < 0.75, jitter=rng.uniform(0.06, 0.22))
    sheet = _sheet(rng, canvas, Lexicon(rng, language), is_zh, fill)
    _compose(sheet, rng.uniform(36, 90))
    dpi = dpi or rng.choice((72, 96, 100, 120, 150, 200, 300))
    skew = rng.uniform(-max_skew, max_skew) if rng.random() < 0.7 else 0.0
    return finish(canvas, dpi, skew, language, source)


def finish(canvas: Canvas, dpi: float, skew: float, language: str, source: str = "") -> SyntheticPage:
    """Turn a written canvas by `skew` degrees and take it from points to pixels of `dpi`."""
    matrix = _matrix(canvas.width, canvas.height, dpi / 72, skew)
    pixels = (round(canvas.width * dpi / 72), round(canvas.height * dpi / 72))
    for line in canvas.lines:
        line.points = _hull(line, matrix, pixels)
    page = Page(0, pixels[0], pixels[1], canvas.lines, canvas.links, source=source)
    return SyntheticPage(page, canvas.runs, canvas.shapes, (canvas.width, canvas.height), matrix, language)


def generate_pages(
    seed: int, count: int, languages: tuple[str, ...] = ("zh", "zh", "en", "en", "mixed")
) -> Iterator[Page]:
    """`count` gold pages for training; the language of each is drawn from `languages` (repeat one to weigh it)."""
    rng = random.Random(seed)
    for number in range(count):
        yield generate_page(rng, rng.choice(languages), source=f"synthetic-{seed}-{number}").page


def _sheet(rng: random.Random, canvas: Canvas, words: Lexicon, is_zh: bool, fill: float | None) -> Sheet:
    margin = rng.uniform(32, 72)
    size = rng.uniform(7.6, 11.0) if is_zh else rng.uniform(7.0, 10.5)
    family = rng.choice(("sans", "serif", "serif")) if is_zh else rng.choice(("sans", "serif", "mono"))
    value_family = (
        rng.choice(("sans", "serif", "sans")) if is_zh else rng.choice((family, "mono", "mono", "sans", "hand"))
    )
    ink = rng.choice(_INKS)
    return Sheet(
        canvas=canvas,
        words=words,
        left=margin,
        right=canvas.width - margin * rng.uniform(0.85, 1.15),
        bottom=canvas.height - rng.uniform(54, 100),
        size=size,
        fill=rng.choice((0.97, 0.93, 0.85, 0.6) if is_zh else (0.95, 0.85, 0.7, 0.5)) if fill is None else fill,
        key_style=Style(family, rng.random() < 0.12),
        value_style=Style(value_family, False, ink),
        value_size=size * rng.uniform(0.88, 1.15),
        colon=rng.random() < (0.12 if is_zh else 0.35),
        stacked=not is_zh and rng.random() < 0.4,
        unsteady=rng.choice((0.02, 0.08, 0.25)),
    )


def _compose(sheet: Sheet, y: float) -> None:
    rng, zh = sheet.rng, sheet.words.is_zh
    y = blocks_free.title(sheet, y)
    if rng.random() < (0.35 if zh else 0.2):
        y = blocks_free.top_row(sheet, y)
    t, b, f = blocks_table, blocks_box, blocks_free
    if zh:
        free = rng.random() < 0.1
        menu: list[tuple[Block, float]] = [
            (t.grid, 4.2),
            (t.table, 2.4),
            (b.text_box, 3.0),
            (b.choices, 1.6),
            (t.section_bar, 0.8),
            (b.opinions, 0.8),
        ]
        if free:
            menu = [(f.rows, 4), (f.section, 1.2), (t.table, 1), (b.choices, 2), (b.text_box, 1), (f.notes, 0.6)]
    else:
        style = rng.random()
        if style < 0.7:
            menu = [
                (f.rows, 4),
                (f.section, 4.4),
                (t.table, 1.2),
                (b.choices, 0.9),
                (b.text_box, 1.1),
                (f.notes, 2.4),
                (f.remark, 1.6),
                (b.signatures, 0.6),
            ]
        else:
            menu = [
                (t.grid, 4),
                (t.section_bar, 2.4),
                (t.table, 1.4),
                (b.choices, 1),
                (b.text_box, 0.8),
                (f.notes, 2.2),
                (f.remark, 1.2),
                (b.signatures, 0.5),
            ]
        if sheet.words.domain == "memo" or rng.random() < 0.3:
            y = f.rows(sheet, y) or y
    blocks, weights = [block for block, _ in menu], [weight for _, weight in menu]
    target = rng.gauss(57, 21) if zh else rng.gauss(45, 20)
    target = max(22.0, target)
    gap = 0.0 if zh and menu[0][0] is t.grid else sheet.size * rng.uniform(0.4, 1.6)
    missed = 0
    while len(sheet.canvas.lines) < target and missed < 4:
        below = rng.choices(blocks, weights)[0](sheet, y)
        if below is None:
            missed += 1
        else:
            y = below + gap
    if zh and rng.random() < 0.25:
        y = b.opinions(sheet, y) or y
    if rng.random() < (0.7 if zh else 0.5):
        f.notes(sheet, y)
    f.margins(sheet)


def _matrix(
    width: float, height: float, scale: float, degrees: float
) -> tuple[float, float, float, float, float, float]:
    """Rotation about the middle of the sheet, then points to pixels."""
    c, s = cos(radians(degrees)), sin(radians(degrees))
    x, y = width / 2, height / 2
    return (c * scale, -s * scale, (x - c * x + s * y) * scale, s * scale, c * scale, (y - s * x - c * y) * scale)


def _hull(line: Line, matrix: tuple[float, ...], pixels: tuple[int, int]) -> tuple[float, ...]:
    """Upright box in whole pixels around the transformed quadrilateral, as annotators draw it."""
    a, b, c, d, e, f = matrix
    p = line.points
    xs = [a * p[i] + b * p[i + 1] + c for i in (0, 2, 4, 6)]
    ys = [d * p[i] + e * p[i + 1] + f for i in (0, 2, 4, 6)]
    x0, y0 = max(0.0, float(round(min(xs)))), max(0.0, float(round(min(ys))))
    x1, y1 = min(float(pixels[0]), float(round(max(xs)))), min(float(pixels[1]), float(round(max(ys))))
    return (x0, y0, x1, y0, x1, y1, x0, y1)
