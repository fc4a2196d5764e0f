"""Composes the sample forms from their scripts with the blocks of the generator and writes `kie_ray/samples`."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kie_ray.datasets.paddleocr import write_labels
from kie_ray.datasets.synthetic import blocks_box, blocks_free, blocks_table
from kie_ray.datasets.synthetic.canvas import Canvas, Style
from kie_ray.datasets.synthetic.fonts import Fonts, find_fonts
from kie_ray.datasets.synthetic.generator import SyntheticPage, finish
from kie_ray.datasets.synthetic.lexicon import Field, Lexicon
from kie_ray.datasets.synthetic.render import render
from kie_ray.datasets.synthetic.sample_scripts import SCRIPTS, Script
from kie_ray.datasets.synthetic.scan import scan
from kie_ray.datasets.synthetic.sheet import Sheet
from kie_ray.records import Page

DPI = 130


class ScriptedLexicon(Lexicon):
    """A lexicon whose titles, fields, tables and texts come from a script; the layout stays random."""

    def __init__(self, rng: random.Random, script: Script) -> None:
        super().__init__(rng, script.language)
        self.scripted = True
        self.full_width = False
        self.script = script
        self.said: deque[str] = deque()
        self._rows: dict[str, int] = {}
        self._signed = 0

    def title(self) -> list[str]:
        return list(self.script.title)

    def value(self, kind: str) -> str:
        """`=a|b` gives a, then b; other kinds are drawn as ever."""
        if not kind.startswith("="):
            return super().value(kind)
        values = kind[1:].split("|")
        row = self._rows.get(kind, 0)
        self._rows[kind] = row + 1
        return values[row % len(values)].strip()

    def section(self) -> str:
        return self.said.popleft()

    def long_name(self) -> str:
        return self.said.popleft()

    def long_text(self, characters: int) -> str:
        return self.said.popleft()

    def table(self) -> tuple[str, list[Field], int | None]:
        name, columns = self.said.popleft(), self.said.popleft()
        fields = [parse_field(item, number) for number, item in enumerate(columns.split(" ; "))]
        return name, fields, max(kind.count("|") for _, kind in fields) + 1

    def choice(self) -> tuple[str, list[str], int]:
        name, options = self.said.popleft(), self.said.popleft().split(";")
        ticked = next((number for number, option in enumerate(options) if option.startswith("*")), -1)
        return name, [option.lstrip("*") for option in options], ticked

    def opinion(self) -> str:
        return self.said.popleft()

    def verdict(self) -> str:
        return self.said.popleft()

    def signed_date(self) -> str:
        return self.script.date

    def signature(self) -> str:
        return self.script.signed[self._signed % len(self.script.signed)][0]

    def person(self) -> str:
        self._signed += 1
        return self.script.signed[(self._signed - 1) % len(self.script.signed)][1]

    def company(self) -> str:
        return self.script.title[0] if len(self.script.title) > 1 else "永安财产保险服务中心"


def parse_field(item: str, number: int) -> Field:
    """`name=value` to a field with a literal value; `number` keeps equal columns of a table apart."""
    name, _, value = item.partition("=")
    return name.strip(), "=" + value + " " * number


def compose(script: Script) -> SyntheticPage:
    """The page of a script. Raises ValueError that names file and step when a step does not fit on the page."""
    rng = random.Random(f"sample/{script.seed}")
    canvas = Canvas(rng, 595.0, 842.0, strip_spaces=script.language == "zh", jitter=0.1)
    words = ScriptedLexicon(rng, script)
    sheet = Sheet(
        canvas, words, left=46, right=549, bottom=806, size=script.size, fill=1.0,
        key_style=Style(script.family), value_style=Style(script.value_family, False, script.ink),
        value_size=script.size,        colon=False, stacked=False, unsteady=0.06,
    )  # fmt: skip
    y = blocks_free.title(sheet, 40)
    for name, text, option in script.steps:
        below = _step(sheet, words, name, text, option, y)
        if below is None:
            raise ValueError(
                f"{script.file} page {script.page}: step {name!r} ({text[:20]!r}) does not fit below {y:.0f} points"
            )
        y = below + (0.0 if script.language == "zh" and name != "rows" else script.size * 0.8)
    skew = 0.0 if script.level == "none" else rng.uniform(-0.35, 0.35)
    source = script.file
    page = finish(canvas, DPI, skew, script.language, source)
    page.page.index = script.page
    return page


def _step(sheet: Sheet, words: ScriptedLexicon, name: str, text: str, option: int, y: float) -> float | None:
    head, _, body = text.partition("#")
    if name in ("table", "choices"):
        words.said.extend((head, body))
    if name == "text":
        words.said.extend((body, head))
    blocks: dict[str, Callable[[], float | None]] = {
        "grid": lambda: blocks_table.grid(sheet, y, plan=_rows_of(text), photo_rows=option),
        "rows": lambda: blocks_free.rows(sheet, y, plan=_columns_of(text)),
        "top": lambda: blocks_free.rows(sheet, y, plan=_columns_of(text)),
        "bar": lambda: blocks_table.section_bar(sheet, y, alone=True),
        "section": lambda: blocks_free.section(sheet, y, plan=_columns_of(body)),
        "table": lambda: blocks_table.table(sheet, y),
        "choices": lambda: blocks_box.choices(sheet, y),
        "text": lambda: blocks_box.text_box(sheet, y, signed=bool(option)),
        "opinions": lambda: blocks_box.opinions(sheet, y, option),
        "signatures": lambda: blocks_box.signatures(sheet, y, _signatures_of(text)),
        "notes": lambda: blocks_free.notes(sheet, y, [text]),
    }
    if name in ("bar", "section"):
        words.said.append(head)
    if name == "opinions":
        words.said.extend(part for item in text.split(" ; ") for part in item.split("="))
    return blocks[name]()


def _rows_of(text: str) -> list[list[Field]]:
    return [[parse_field(item, 0) for item in row.split(" ; ")] for row in text.split("\n")]


def _columns_of(text: str) -> list[list[Field]]:
    return [[parse_field(item, 0) for item in column.split("|")] for column in text.split(" ; ")]


def _signatures_of(text: str) -> list[tuple[str, str, str]]:
    rows = []
    for item in text.split(" ; "):
        key, _, said = item.partition("=")
        person, _, date = said.rpartition(",")
        rows.append((key, person, date))
    return rows


def sample_pages() -> list[SyntheticPage]:
    """Every sample page; needs no font."""
    return [compose(script) for script in SCRIPTS]


def scanned(script: Script, fonts: Fonts) -> tuple[NDArray[np.uint8], Page]:
    """Pixels and gold of one sample as they are stored."""
    page = compose(script)
    return scan(render(page, fonts), page.page, script.level, script.seed)


def write_samples(folder: Path, fonts: Fonts | None = None) -> list[Path]:
    """Render every sample into `folder` and write `labels.txt` with the gold of the single-page images.

    Raises ConfigError when the fonts of the extra `synthetic` are missing.
    """
    fonts = fonts or find_fonts()
    folder.mkdir(parents=True, exist_ok=True)
    images: dict[str, list[Image.Image]] = {}
    gold: list[Page] = []
    for script in SCRIPTS:
        pixels, page = scanned(script, fonts)
        images.setdefault(script.file, []).append(Image.fromarray(pixels))
        gold.append(page)
    written = []
    for name, pages in images.items():
        path = folder / name
        if path.suffix == ".pdf":
            pages[0].convert("L").save(
                path, save_all=True, append_images=[page.convert("L") for page in pages[1:]], resolution=DPI, quality=60
            )
        elif path.suffix == ".png":
            pages[0].quantize(64).save(path, optimize=True)
        else:
            pages[0].save(path, quality=72)
        written.append(path)
    labels = folder / "labels.txt"
    write_labels([page for page in gold if len(images[page.source]) == 1], labels)
    return [*written, labels]
