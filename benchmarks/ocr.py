"""OCR on annotated pages: how many gold lines it finds, and its pages/s over a plain loop that calls RapidOCR by page.

    python benchmarks/ocr.py --images DIR --annotations FILE [--quick] [--json FILE]

FILE is a PaddleOCR label file, or a folder of FUNSD annotations. Quality is measured on every page (`--pages` takes
fewer, evenly spread), speed on `--speed-pages` of them: for each group of pages our engine and RapidOCR with its
defaults run one after the other, so that other work on the machine slows both. Both get every core of this process.

A gold line counts as covered when detected quadrilaterals cover at least half of the area of its box; as found when
its text (NFKC, without white space) stands in the text of a detected line that touches its box, or of all of these
together. Character errors: each gold line against the part of the text of the detected lines touching it that fits it
best (Sellers, 1980), white space left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from kie_ray.config import load_settings
from kie_ray.datasets.funsd import read_funsd
from kie_ray.datasets.paddleocr import read_labels
from kie_ray.errors import ConfigError
from kie_ray.ocr import OcrSettings, build_engine
from kie_ray.records import Line, Page, PageImage

COVERED = 0.5


@dataclass
class Quality:
    """Counts over gold lines that hold text."""

    gold: int = 0
    covered: int = 0
    found: int = 0
    detected: int = 0
    blank: int = 0

    def add(self, gold: Page, lines: Sequence[Line], image: PageImage) -> None:
        mask = np.zeros((image.height, image.width), dtype=np.uint8)
        for line in lines:
            cv2.fillPoly(mask, [np.array(line.points).reshape(4, 2).round().astype(np.int32)], (1,))
        self.detected += len(lines)
        self.blank += sum(not line.text for line in lines)
        for line in gold.lines:
            if line.text.strip():
                x0, y0, x1, y1 = (max(0, int(value)) for value in line.box)
                inside = mask[y0:y1, x0:x1]
                self.gold += 1
                self.covered += bool(inside.size) and float(inside.mean()) >= COVERED
                self.found += _is_found(line, lines)


@dataclass
class CharacterErrors:
    """Character error rate over gold lines."""

    wrong: int = 0
    characters: int = 0

    def add(self, gold: Page, lines: Sequence[Line]) -> None:
        for line in gold.lines:
            wanted = plain(line.text)
            touching = sorted((other for other in lines if touch(line, other)), key=lambda other: other.box[0])
            self.characters += len(wanted)
            self.wrong += _best_part(wanted, "".join(plain(other.text) for other in touching))

    @property
    def rate(self) -> float:
        return self.wrong / max(1, self.characters)


def _best_part(wanted: str, text: str) -> int:
    """Smallest edit distance between `wanted` and any part of `text` (Sellers, 1980)."""
    row = [0] * (len(text) + 1)
    for i, letter in enumerate(wanted, 1):
        above, row = row, [i]
        for j, other in enumerate(text, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (letter != other)))
    return min(row)


def _is_found(gold: Line, lines: Sequence[Line]) -> bool:
    touching = [line.text for line in lines if touch(gold, line)]
    wanted = plain(gold.text)
    return any(wanted in plain(text) for text in touching) or wanted in plain("".join(touching))


def touch(a: Line, b: Line) -> bool:
    """Whether the boxes of two lines overlap."""
    return a.box[0] < b.box[2] and b.box[0] < a.box[2] and a.box[1] < b.box[3] and b.box[1] < a.box[3]


def plain(text: str) -> str:
    """NFKC, without white space."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def spread(pages: Sequence[Page], count: int) -> list[Page]:
    """At most `count` pages, evenly spread."""
    count = min(count, len(pages))
    return [pages[index * len(pages) // count] for index in range(count)]


def load(page: Page, folder: Path) -> PageImage:
    with Image.open(folder / page.source) as picture:
        return PageImage(np.asarray(ImageOps.exif_transpose(picture).convert("RGB")), 0, page.source)


def measure_quality(pages: Sequence[Page], folder: Path, settings: OcrSettings) -> dict[str, Any]:
    engine = build_engine(settings)
    quality, errors, seconds = Quality(), CharacterErrors(), []
    for page in pages:
        image = load(page, folder)
        start = time.perf_counter()
        lines = engine.read_lines([image])[0]
        seconds.append(time.perf_counter() - start)
        quality.add(page, lines, image)
        errors.add(page, lines)
    return {
        "pages": len(pages),
        "gold_lines": quality.gold,
        "detected_lines": quality.detected,
        "blank_lines": quality.blank,
        "covered": round(quality.covered / max(quality.gold, 1), 4),
        "text_found": round(quality.found / max(quality.gold, 1), 4),
        "character_errors": round(errors.rate, 4),
        "median_seconds_per_page": round(statistics.median(seconds), 3),
    }


def measure_speed(pages: Sequence[Page], folder: Path, settings: OcrSettings, pages_per_call: int) -> dict[str, Any]:
    from rapidocr import RapidOCR

    engine = build_engine(settings)
    plain = RapidOCR(params={"Global.log_level": "error"})
    images = [load(page, folder) for page in pages]
    engine.read_lines(images[:1])
    plain(images[0].pixels[:, :, ::-1])
    quality = Quality()
    seconds = {"ours": 0.0, "plain": 0.0}
    for first in range(0, len(images), pages_per_call):
        group = images[first : first + pages_per_call]
        start = time.perf_counter()
        engine.read_lines(group)
        middle = time.perf_counter()
        outputs = [plain(image.pixels[:, :, ::-1]) for image in group]
        end = time.perf_counter()
        seconds["ours"] += middle - start
        seconds["plain"] += end - middle
        for page, image, output in zip(pages[first:], group, outputs, strict=False):
            quality.add(page, _lines_of(output), image)
    return {
        "pages": len(images),
        "pages_per_second": {name: round(len(images) / value, 4) for name, value in seconds.items()},
        "plain_covered": round(quality.covered / max(quality.gold, 1), 4),
        "plain_text_found": round(quality.found / max(quality.gold, 1), 4),
        "ratio": round(seconds["plain"] / seconds["ours"], 3),
    }


def _lines_of(output: Any) -> list[Line]:
    if output.boxes is None:
        return []
    return [
        Line(index, text, tuple(float(value) for value in box.reshape(-1)))
        for index, (box, text) in enumerate(zip(output.boxes, output.txts, strict=True))
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--annotations", type=Path, required=True, metavar="FILE")
    parser.add_argument("--pages", type=int, default=10**9, help="pages for quality (default: all)")
    parser.add_argument(
        "--speed-pages", type=int, default=6, help="pages for speed, after which RapidOCR's take most time"
    )
    parser.add_argument("--pages-per-call", type=int, default=2)
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="an OCR setting, e.g. detection_long_side=960"
    )
    parser.add_argument("--quick", action="store_true", help="2 pages")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(OcrSettings, overrides=options.set)
        settings.threads = settings.threads or len(os.sched_getaffinity(0))
        gold = read_funsd(options.annotations) if options.annotations.is_dir() else read_labels(options.annotations)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    counts = (2, 2) if options.quick else (options.pages, options.speed_pages)
    result: dict[str, Any] = {"settings": settings.model_dump()}
    result["quality"] = measure_quality(spread(gold, counts[0]), options.images, settings)
    print("quality:", json.dumps(result["quality"]))
    result["speed"] = measure_speed(spread(gold, counts[1]), options.images, settings, options.pages_per_call)
    print("speed:", json.dumps(result["speed"]))
    result["ratio"] = result["speed"]["ratio"]
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"pages/s over RapidOCR page by page: {result['ratio']:.2f}x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
