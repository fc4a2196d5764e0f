import colorsys

import numpy as np
import pytest

from kie_ray.drawing import Palette, draw_page
from kie_ray.drawing.overlay import link_ends
from kie_ray.records import Line, Link, Page, PageImage


def line(line_id: int, x0: float, y0: float, x1: float, y1: float, label: str = "OTHER") -> Line:
    return Line(line_id, "text", (x0, y0, x1, y0, x1, y1, x0, y1), label=label, label_score=0.9)


def form(scale: int = 1) -> tuple[np.ndarray, Page]:
    lines = [
        line(3, 100 * scale, 100 * scale, 200 * scale, 130 * scale, "QUESTION"),
        line(5, 300 * scale, 100 * scale, 420 * scale, 130 * scale, "ANSWER"),
        line(8, 100 * scale, 300 * scale, 200 * scale, 330 * scale),
    ]
    width, height = 600 * scale, 800 * scale
    return np.full((height, width, 3), 255, np.uint8), Page(0, width, height, lines, [Link(3, 5)])


def test_boxes_carry_their_labels_colour_and_the_input_stays_as_it_was() -> None:
    pixels, page = form()
    palette = Palette()
    drawn = draw_page(PageImage(pixels, 0, "x"), page, captions=False)
    assert drawn.shape == pixels.shape
    assert drawn.dtype == np.uint8
    assert (pixels == 255).all()
    for x, y, label in ((150, 120, "QUESTION"), (360, 120, "ANSWER")):
        tint = 255 - drawn[y, x].astype(int)
        assert tint.argmax() == (255 - np.array(palette[label])).argmax()
        assert 0 < tint.max() < 100  # half transparent: the text underneath stays readable
    assert np.abs(drawn[100, 150].astype(int) - palette["QUESTION"]).max() < 40  # the outline is opaque
    assert (drawn[290:340, 90:210] == 255).all()
    assert (draw_page(pixels, page, draw_other=True)[300, 110:190] != 255).any()


def test_the_link_runs_from_key_to_value() -> None:
    pixels, page = form()
    drawn = draw_page(pixels, page, captions=False)
    between = drawn[105:126, 205:295]
    assert (between != 255).any(axis=(0, 2)).all()
    # The head of the arrow is at the value: more ink there than at the key.
    assert (between[:, -8:] != 255).sum() > (between[:, :8] != 255).sum()
    page.links = []
    assert (draw_page(pixels, page, captions=False)[105:126, 205:295] == 255).all()


@pytest.mark.parametrize(
    ("value", "start", "end"),
    [
        ((300, 0, 400, 20), (100, 10), (300, 10)),  # right
        ((-300, 0, -200, 20), (0, 10), (-200, 10)),  # left
        ((0, 60, 100, 80), (50, 20), (50, 60)),  # below
        ((0, -60, 100, -40), (50, 0), (50, -40)),  # above
    ],
)
def test_arrows_join_facing_sides(
    value: tuple[float, ...], start: tuple[float, float], end: tuple[float, float]
) -> None:
    assert link_ends(line(0, 0, 0, 100, 20), line(1, *value)) == (start, end)


def test_strokes_grow_with_the_page() -> None:
    widths = []
    for scale in (1, 4):
        pixels, page = form(scale)
        page.lines, page.links = page.lines[:1], []
        red = draw_page(pixels, page, captions=False)[:, 150 * scale, 0].astype(float)
        fill = 255 - red[115 * scale]
        ink = (255 - red[90 * scale : 115 * scale]).sum() - fill * 15 * scale
        widths.append(ink / 255)
    assert 0.7 < widths[0] < 1.6
    assert widths[1] / widths[0] == pytest.approx(4, rel=0.3)


def test_captions_stay_on_the_page() -> None:
    pixels = np.full((400, 300, 3), 255, np.uint8)
    page = Page(0, 300, 400, [line(0, 280, 0, 300, 12, "QUESTION"), line(1, 0, 385, 20, 400, "標籤")])
    bare, captioned = draw_page(pixels, page, captions=False), draw_page(pixels, page)
    assert (captioned != bare).any(axis=2)[:20, 200:].sum() > 50
    assert (captioned != bare).any(axis=2)[360:, :60].sum() > 20


def test_lines_outside_the_page_and_empty_pages_are_drawn() -> None:
    pixels = np.zeros((40, 30, 3), np.uint8)
    page = Page(
        0, 30, 40, [line(0, -500, -500, -400, -450, "ANSWER"), line(1, 20, 30, 900, 900, "QUESTION")], [Link(1, 0)]
    )
    assert draw_page(pixels, page).shape == pixels.shape
    assert (draw_page(pixels, Page(0, 30, 40)) == 0).all()


def test_a_link_to_nowhere_is_an_error() -> None:
    pixels, page = form()
    page.links = [Link(3, 99)]
    with pytest.raises(ValueError, match="99"):
        draw_page(pixels, page)


def test_labels_keep_their_colours() -> None:
    palette = Palette(["OTHER", "QUESTION", "TOTAL", "VENDOR"])
    assert len({palette[label] for label in ("OTHER", "QUESTION", "ANSWER", "HEADER", "TOTAL", "VENDOR")}) == 6
    assert Palette()["QUESTION"] == palette["QUESTION"]
    assert Palette()["SOMETHING NEW"] == Palette(["ANSWER"])["SOMETHING NEW"]
    assert palette.css("QUESTION") == "#0072b2"


def test_the_three_usual_labels_differ_for_people_who_see_no_red_or_no_green() -> None:
    # Brettel-style projection, coarse: without red or without green the colours must still differ in what is left.
    palette = Palette()
    colours = [np.array(palette[label]) for label in ("QUESTION", "ANSWER", "HEADER")]
    for a in range(3):
        for b in range(a):
            merged_a, merged_b = (np.array([(c[0] + c[1]) / 2, c[2]]) for c in (colours[a], colours[b]))
            assert np.abs(merged_a - merged_b).max() > 40
            assert abs(colorsys.rgb_to_hls(*colours[a] / 255)[0] - colorsys.rgb_to_hls(*colours[b] / 255)[0]) > 0.05
