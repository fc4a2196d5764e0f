"""Boxes, labels and links painted over a page picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from kie_ray.drawing.palette import LINK_COLOUR, Palette
from kie_ray.records import OTHER, Line, Page, PageImage

_FILL = 0.22  # opacity of a box: text underneath stays readable
_SUBPIXEL_BITS = 4  # cv2 draws with 1/16 pixel precision
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_page(
    image: PageImage | NDArray[np.uint8],
    page: Page,
    *,
    palette: Palette | None = None,
    captions: bool = True,
    draw_other: bool = False,
) -> NDArray[np.uint8]:
    """A copy of the page picture with the entities and links of `page` on it.

    Lines are filled in their label's colour, links are arrows from key to value, and a caption names label and score
    (not the text: OCR text needs fonts that a machine may not have). Strokes grow with the page, so an overlay of 800
    pixels and one of 3500 pixels look alike at the same printed size.

    Args:
        image: uint8 [H, W, 3] RGB; the coordinates of `page` are its pixels.
        captions: write label and score above each entity.
        draw_other: outline lines without a label too.

    Returns:
        uint8 [H, W, 3] RGB; `image` is left untouched.
    """
    pixels = image.pixels if isinstance(image, PageImage) else image
    colours = palette or Palette()
    canvas = np.ascontiguousarray(pixels).copy()
    stroke = max(1, round(max(canvas.shape[:2]) / 900))
    entities = [line for line in page.lines if line.label != OTHER]

    filled = canvas.copy()
    for line in entities:
        cv2.fillPoly(filled, [_polygon(line)], colours[line.label], cv2.LINE_AA, _SUBPIXEL_BITS)
    cv2.addWeighted(filled, _FILL, canvas, 1 - _FILL, 0, dst=canvas)
    for line in page.lines if draw_other else entities:
        cv2.polylines(canvas, [_polygon(line)], True, colours[line.label], stroke, cv2.LINE_AA, _SUBPIXEL_BITS)

    _draw_links(canvas, page, stroke)
    if captions:
        _draw_captions(canvas, entities, colours)
    return canvas


def link_ends(key: Line, value: Line) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where the arrow of a link starts and ends: the facing sides of the two boxes, pixels of the page.

    Lines beside each other are joined from side to side at half height, lines above each other from edge to edge.
    """
    kx0, ky0, kx1, ky1 = key.box
    vx0, vy0, vx1, vy1 = value.box
    gap_x, gap_y = max(vx0 - kx1, kx0 - vx1), max(vy0 - ky1, ky0 - vy1)
    if gap_x >= gap_y:
        start_x, end_x = (kx1, vx0) if vx0 + vx1 >= kx0 + kx1 else (kx0, vx1)
        return (start_x, (ky0 + ky1) / 2), (end_x, (vy0 + vy1) / 2)
    start_y, end_y = (ky1, vy0) if vy0 + vy1 >= ky0 + ky1 else (ky0, vy1)
    return ((kx0 + kx1) / 2, start_y), ((vx0 + vx1) / 2, end_y)


def _draw_links(canvas: NDArray[np.uint8], page: Page, stroke: int) -> None:
    by_id = {line.id: line for line in page.lines}
    head = 7.0 * stroke
    for link in page.links:
        key, value = by_id.get(link.key_line), by_id.get(link.value_line)
        if key is None or value is None:
            raise ValueError(f"{page.source} page {page.index}: link {link} names a line that does not exist")
        (x0, y0), (x1, y1) = link_ends(key, value)
        length = max(1.0, float(np.hypot(x1 - x0, y1 - y0)))
        start, end = _fixed(x0, y0), _fixed(x1, y1)
        for colour, width in (((255, 255, 255), 2 * stroke + 2), (LINK_COLOUR, stroke + 1)):
            cv2.arrowedLine(
                canvas, start, end, colour, width, cv2.LINE_AA, _SUBPIXEL_BITS, tipLength=min(0.5, head / length)
            )


def _draw_captions(canvas: NDArray[np.uint8], lines: Sequence[Line], colours: Palette) -> None:
    text_height = max(6, round(max(canvas.shape[:2]) / 250))
    scale = cv2.getFontScaleFromHeight(_FONT, text_height)
    weight = max(1, text_height // 10)
    pad = max(1, text_height // 4)
    for line in lines:
        # Label names are not limited to ASCII, cv2's fonts are.
        label = line.label.encode("ascii", "replace").decode()
        text = f"{label} {line.label_score:.2f}" if line.label_score > 0 else label
        (width, height), baseline = cv2.getTextSize(text, _FONT, scale, weight)
        x0, y0 = (round(value) for value in line.box[:2])
        right, top = x0 + width + 2 * pad, y0 - height - baseline // 2 - 2 * pad
        shift_x = min(0, canvas.shape[1] - right)
        shift_y = max(0, -top)  # at the upper edge of the page the caption moves down into view
        left_top, right_bottom = (x0 + shift_x, top + shift_y), (right + shift_x, y0 + shift_y)
        colour = colours[line.label]
        cv2.rectangle(canvas, left_top, right_bottom, colour, cv2.FILLED)
        ink = (0, 0, 0) if np.dot(colour, (0.299, 0.587, 0.114)) > 150 else (255, 255, 255)
        origin = (left_top[0] + pad, right_bottom[1] - pad - baseline // 2)
        cv2.putText(canvas, text, origin, _FONT, scale, ink, weight, cv2.LINE_AA)


def _polygon(line: Line) -> NDArray[np.int32]:
    points = np.asarray(line.points, dtype=np.float64).reshape(-1, 1, 2)
    return np.round(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _fixed(x: float, y: float) -> tuple[int, int]:
    return round(x * (1 << _SUBPIXEL_BITS)), round(y * (1 << _SUBPIXEL_BITS))
