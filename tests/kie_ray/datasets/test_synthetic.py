"""Synthetic forms: the generator's gold, the renderer's ink, the scan's geometry and the stored samples."""

from __future__ import annotations

import random
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kie_ray
from kie_ray.datasets import read_labels
from kie_ray.datasets.synthetic import LANGUAGES, SyntheticPage, generate_page, generate_pages, words_en, words_zh
from kie_ray.datasets.synthetic.canvas import text_width, wrap
from kie_ray.datasets.synthetic.fonts import Fonts, find_fonts
from kie_ray.datasets.synthetic.prose import COMMON_CHARACTERS
from kie_ray.datasets.synthetic.render import render
from kie_ray.datasets.synthetic.sample_scripts import SCRIPTS
from kie_ray.datasets.synthetic.samples import compose, sample_pages, scanned
from kie_ray.datasets.synthetic.scan import scan
from kie_ray.datasets.synthetic.values_en import ValuesEn
from kie_ray.datasets.synthetic.values_zh import ValuesZh
from kie_ray.errors import ConfigError
from kie_ray.records import Box, Page

SAMPLES = Path(kie_ray.__file__).parent / "samples"


@lru_cache
def pages(language: str, count: int = 40) -> list[SyntheticPage]:
    return [generate_page(seed, language, max_skew=0.0) for seed in range(count)]


@pytest.fixture(scope="module")
def fonts() -> Fonts:
    try:
        return find_fonts()
    except ConfigError as error:
        pytest.skip(str(error))


def area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def overlap(a: Box, b: Box) -> float:
    """Shared area as a share of the smaller box."""
    shared = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    if shared[0] >= shared[2] or shared[1] >= shared[3]:
        return 0.0
    return area(shared) / min(area(a), area(b))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_seed_gives_one_page(language: str) -> None:
    first = generate_page(7, language)
    assert generate_page(7, language) == first
    assert generate_page(random.Random(7), language) == first
    assert generate_page(8, language).page.lines != first.page.lines


def test_generate_pages_is_deterministic_and_names_its_pages() -> None:
    made = list(generate_pages(3, 4))
    assert made == list(generate_pages(3, 4))
    assert len({page.source for page in made}) == 4


@pytest.mark.parametrize("language", LANGUAGES)
def test_gold_is_sound(language: str) -> None:
    for made in pages(language):
        page = made.page
        ids = {line.id for line in page.lines}
        assert len(ids) == len(page.lines) >= 15
        assert {line.label for line in page.lines} <= {"HEADER", "QUESTION", "ANSWER", "OTHER"}
        for line in page.lines:
            assert line.text.strip()
            x0, y0, x1, y1 = line.box
            assert 0 <= x0 < x1 <= page.width
            assert 0 <= y0 < y1 <= page.height
        by_id = {line.id: line for line in page.lines}
        pairs = [(link.key_line, link.value_line) for link in page.links]
        assert len(set(pairs)) == len(pairs)
        for key, value in pairs:
            assert key in ids
            assert value in ids
            assert key != value
            kinds = (by_id[key].label, by_id[value].label)
            assert kinds in {("QUESTION", "ANSWER"), ("QUESTION", "QUESTION"), ("HEADER", "QUESTION")}, kinds


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_answer_has_a_key(language: str) -> None:
    for made in pages(language):
        answered = {link.value_line for link in made.page.links}
        loose = [line.text for line in made.page.lines if line.label == "ANSWER" and line.id not in answered]
        assert not loose


@pytest.mark.parametrize("language", LANGUAGES)
def test_hardly_any_text_overlaps(language: str) -> None:
    found = total = 0
    for made in pages(language):
        boxes = [line.box for line in made.page.lines]
        total += len(boxes)
        found += sum(overlap(a, b) > 0.25 for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    assert found <= total * 0.002


@pytest.mark.parametrize("language", LANGUAGES)
def test_drawn_text_lies_in_its_annotation(language: str) -> None:
    for made in pages(language, 40)[:15]:
        scale = made.page.width / made.paper[0]
        by_id = {line.id: line for line in made.page.lines}
        for run in made.runs:
            assert run.line_id is not None
            x0, y0, x1, y1 = by_id[run.line_id].box
            left, top, right, bottom = (value * scale for value in run.box)
            assert x0 - 1 <= left
            assert y0 - 1 <= top
            assert right <= x1 + 1
            assert bottom <= y1 + 1


def test_language_must_be_known() -> None:
    with pytest.raises(ValueError, match=r"klingon.*zh, en, mixed"):
        generate_page(0, "klingon")


def shares(language: str) -> tuple[float, dict[str, float], float]:
    made = [item.page for item in pages(language)]
    labels = Counter(line.label for page in made for line in page.lines)
    total = sum(labels.values())
    return (
        total / len(made),
        {label: count / total for label, count in labels.items()},
        sum(len(page.links) for page in made) / len(made),
    )


def test_chinese_pages_have_the_proportions_of_real_ones() -> None:
    """XFUND zh train: 69 lines a page, 0.36 question, 0.45 answer, 0.16 other, 0.02 header, 43 links a page."""
    lines, labels, links = shares("zh")
    assert 50 < lines < 90
    assert 25 < links < 60
    assert 0.28 < labels["QUESTION"] < 0.45
    assert 0.36 < labels["ANSWER"] < 0.56
    assert 0.08 < labels["OTHER"] < 0.25
    assert 0.01 < labels["HEADER"] < 0.06


def test_english_pages_have_the_proportions_of_real_ones() -> None:
    """FUNSD train split into lines: 56 lines a page, 0.42 question, 0.38 answer, 0.14 other, 0.06 header, 34 links."""
    lines, labels, links = shares("en")
    assert 40 < lines < 75
    assert 20 < links < 50
    assert 0.34 < labels["QUESTION"] < 0.54
    assert 0.28 < labels["ANSWER"] < 0.5
    assert 0.06 < labels["OTHER"] < 0.25
    assert 0.03 < labels["HEADER"] < 0.1


def test_unanswered_keys_follow_the_data_sets() -> None:
    """XFUND labels a key without value OTHER, FUNSD QUESTION."""
    linked_zh = unlinked_en = 0
    for made in pages("zh"):
        heads = {link.key_line for link in made.page.links} | {link.value_line for link in made.page.links}
        questions = [line for line in made.page.lines if line.label == "QUESTION"]
        linked_zh += sum(line.id in heads for line in questions) / len(questions) > 0.98
    for made in pages("en"):
        keys = {link.key_line for link in made.page.links}
        unlinked_en += sum(line.label == "QUESTION" and line.id not in keys for line in made.page.lines)
    assert linked_zh >= 38
    assert unlinked_en > 100


def test_vocabulary_is_wide_and_every_kind_has_values() -> None:
    zh_fields = {item for fields in words_zh.DOMAINS.values() for item in fields} | set(words_zh.PERSON_FIELDS)
    en_fields = {item for fields in words_en.DOMAINS.values() for item in fields} | set(words_en.PERSON_FIELDS)
    assert len(words_zh.DOMAINS) >= 15
    assert len({name for name, _ in zh_fields}) > 400
    assert len(words_en.DOMAINS) >= 15
    assert len({name for name, _ in en_fields}) > 300
    zh_fields |= {item for _, columns in words_zh.TABLES for item in columns} | set(words_zh.ORGANISATION_FIELDS)
    en_fields |= {item for _, columns in words_en.TABLES for item in columns}
    for values, fields in ((ValuesZh(random.Random(1)), zh_fields), (ValuesEn(random.Random(1)), en_fields)):
        for _, kind in fields:
            assert isinstance(values.value(kind), str)


def test_common_characters_are_gb2312_level_1_and_pages_use_most_of_them() -> None:
    assert len(COMMON_CHARACTERS) == len(set(COMMON_CHARACTERS)) == 3755
    seen = {character for made in pages("zh", 200) for line in made.page.lines for character in line.text}
    assert len(seen & set(COMMON_CHARACTERS)) > 2500


def test_wrap_keeps_the_text_and_the_width() -> None:
    chinese = "本人承诺以上内容真实,如有虚假愿意承担责任。"
    rows = wrap(chinese, 10, 62)
    assert "".join(rows) == chinese
    assert len(rows) > 1
    assert all(text_width(row, 10) <= 72 for row in rows)  # one closing mark may hang over
    assert all(row[0] not in ",。" for row in rows)
    english = "The laboratory will return all remaining samples"
    assert " ".join(wrap(english, 10, 100)) == english


@pytest.mark.parametrize("language", LANGUAGES)
def test_ink_lies_inside_boxes_and_rules(fonts: Fonts, language: str) -> None:
    made = generate_page(3, language, dpi=100, max_skew=0.0)
    bare = SyntheticPage(made.page, made.runs, [], made.paper, made.matrix, language)
    drawn = render(bare, fonts).min(axis=2)
    ink = drawn < 128
    assert ink.shape == (made.page.height, made.page.width)
    allowed = np.zeros_like(ink)
    empty = 0
    for line in made.page.lines:
        x0, y0, x1, y1 = (int(value) for value in line.box)
        allowed[max(0, y0 - 2) : y1 + 3, max(0, x0 - 2) : x1 + 3] = True
        empty += not (drawn[y0:y1, x0:x1] < 220).any()
    assert (ink & ~allowed).sum() <= ink.sum() * 0.01
    assert empty == 0


def test_a_turned_page_keeps_its_ink_in_its_boxes(fonts: Fonts) -> None:
    made = next(
        p for p in (generate_page(s, "en", dpi=100, max_skew=2.0) for s in range(20)) if abs(p.matrix[1]) > 0.02
    )
    ink = render(SyntheticPage(made.page, made.runs, [], made.paper, made.matrix, "en"), fonts).min(axis=2) < 128
    allowed = np.zeros_like(ink)
    for line in made.page.lines:
        x0, y0, x1, y1 = (int(value) for value in line.box)
        allowed[max(0, y0 - 2) : y1 + 3, max(0, x0 - 2) : x1 + 3] = True
    assert (ink & ~allowed).sum() <= ink.sum() * 0.01


def test_scan_moves_gold_with_the_picture() -> None:
    """A black square on white: its corners must be where the returned points say."""
    pixels = np.full((800, 600, 3), 255, dtype=np.uint8)
    pixels[300:400, 200:350] = 0
    made = generate_page(0, "en").page.lines[0]
    made.points = (200, 300, 350, 300, 350, 400, 200, 400)
    page = Page(0, 600, 800, [made])
    out, moved = scan(pixels, page, "strong", 5)
    assert moved.lines[0].points != page.lines[0].points
    # The square only: speckles and the background beyond the sheet are elsewhere.
    ys, xs = np.nonzero(out[250:450, 150:400].mean(axis=2) < 75)
    found = (
        np.quantile(xs, 0.002) + 150,
        np.quantile(ys, 0.002) + 250,
        np.quantile(xs, 0.998) + 150,
        np.quantile(ys, 0.998) + 250,
    )
    assert found == pytest.approx(moved.lines[0].box, abs=5)


def test_scan_levels() -> None:
    pixels = np.full((200, 150, 3), 255, dtype=np.uint8)
    pixels[50:60, 20:120] = 0
    page = Page(0, 150, 200)
    same, gold = scan(pixels, page, "none")
    assert gold is page
    assert np.array_equal(same, pixels)
    damage = {}
    for level in ("light", "strong"):
        outs = [scan(pixels, page, level, seed)[0] for seed in range(6)]
        assert {(out.shape, out.dtype) for out in outs} == {(pixels.shape, pixels.dtype)}
        damage[level] = np.mean([np.abs(out.astype(int) - pixels).mean() for out in outs])
    assert 0 < damage["light"] < damage["strong"]
    light = scan(pixels, page, "light", 1)[0]
    assert np.array_equal(light, scan(pixels, page, "light", 1)[0])
    with pytest.raises(ValueError, match="heavy"):
        scan(pixels, page, "heavy")


def test_missing_fonts_name_the_extra(monkeypatch: pytest.MonkeyPatch, fonts: Fonts) -> None:
    with pytest.raises(ConfigError, match="synthetic"):
        render(generate_page(1, "zh", dpi=72), Fonts(fonts.latin, None))
    monkeypatch.setattr("kie_ray.datasets.synthetic.fonts._folder", lambda package, below: None)
    with pytest.raises(ConfigError, match=r"kie-ray\[synthetic\]"):
        find_fonts()


def test_rapidocr_reads_a_rendered_page(fonts: Fonts) -> None:
    rapidocr = pytest.importorskip("rapidocr")
    script = next(item for item in SCRIPTS if item.file == "en_purchase_order.png")
    pixels, gold = scanned(script, fonts)
    read = "".join("".join(rapidocr.RapidOCR()(pixels[:, :, ::-1]).txts or ()).split()).lower()
    lines = ["".join(line.text.split()).lower() for line in gold.lines if len(line.text) > 2]
    assert sum(line in read for line in lines) > 0.85 * len(lines)


def test_stored_samples_are_the_scripts(tmp_path: Path) -> None:
    """Text, labels and links on disk are those that the scripts give; pixels depend on font and codec versions."""
    stored = {page.source: page for page in read_labels(SAMPLES / "labels.txt")}
    images = Counter(script.file for script in SCRIPTS)
    single = {made.page.source: made.page for made in sample_pages() if images[made.page.source] == 1}
    assert stored.keys() == single.keys()
    for name, page in single.items():
        assert [(line.id, line.text, line.label) for line in stored[name].lines] == [
            (line.id, line.text, line.label) for line in page.lines
        ]
        assert {(link.key_line, link.value_line) for link in stored[name].links} == {
            (link.key_line, link.value_line) for link in page.links
        }
        with Image.open(SAMPLES / name) as image:
            assert image.size == (page.width, page.height)


def test_samples_are_few_small_and_clean() -> None:
    assert len(SCRIPTS) == 8
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) < 3_000_000
    for script in SCRIPTS:
        boxes = [line.box for line in compose(script).page.lines]
        clashes = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :] if overlap(a, b) > 0.25]
        assert not clashes, script.file
