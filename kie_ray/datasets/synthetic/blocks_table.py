"""Ruled blocks: grids of key and value cells, headed bands, tables with a row of column heads.

Every block takes the sheet and the top y and returns the y below itself, or None when it does not fit above
`sheet.bottom`.
"""

from __future__ import annotations

from kie_ray.datasets.synthetic import words_zh
from kie_ray.datasets.synthetic.canvas import ANSWER, HEADER, QUESTION, Shape, Style, text_width, wrap
from kie_ray.datasets.synthetic.lexicon import Field
from kie_ray.datasets.synthetic.sheet import Sheet
from kie_ray.records import OTHER

_ROW_HEADS = frozenset(
    ("category", "attribute", "product", "person", "company", "chemical", "code", "school", "journal")
)


def _weight(sheet: Sheet, name: str, kind: str) -> float:
    """Relative width of a table column."""
    if kind.startswith("="):
        return max(text_width(text, 1.0) for text in (name, *kind[1:].split("|"))) + 2.0
    if kind == "serial":
        return 0.5
    return 1.6 if sheet.words.is_long(kind) else sheet.rng.uniform(0.7, 1.2)


def _vertical(sheet: Sheet, name: str, x: float, y: float, width: float, height: float, label: str) -> list[int]:
    """The key of a whole section in a narrow cell on the left."""
    return sheet.key(name, x, y, width, height, label)


def grid(
    sheet: Sheet,
    y: float,
    rows: int | None = None,
    head: list[int] | None = None,
    plan: list[list[Field]] | None = None,
    photo_rows: int | None = None,
) -> float | None:
    """Rows of key cell, value cell pairs; maybe a photo cell at the right of the first rows.

    `head`: line ids of a heading to link to the keys. `plan` fixes the fields of every row, `photo_rows` the photo
    cell.
    """
    rng, canvas, words = sheet.rng, sheet.canvas, sheet.words
    rows = len(plan) if plan else rows or rng.randint(2, 8)
    pairs = rng.choice((1, 2, 2, 3, 3, 4) if words.is_zh else (1, 2, 2, 3))
    row_height = sheet.size * rng.uniform(1.7, 2.6)
    if y + rows * row_height > sheet.bottom:
        rows = int((sheet.bottom - y) // row_height)
    if rows < 1:
        return None
    top, left, right = y, sheet.left, sheet.right
    if photo_rows is None:
        wanted = head is None and plan is None and words.is_zh and rows >= 4 and rng.random() < 0.3
        photo_rows = min(rows, rng.randint(3, 5)) if wanted else 0
    section_width = 0.0
    section: list[int] = []
    if head is None and plan is None and words.is_zh and rows >= 3 and not photo_rows and rng.random() < 0.28:
        section_width = sheet.size * rng.uniform(1.8, 3.5)
        section = _vertical(
            sheet, words.section().split("、")[-1], left, top, section_width, rows * row_height, QUESTION
        )
        canvas.frame(left, top, left + section_width, top + rows * row_height)
        left += section_width
    photo_left = right - sheet.size * rng.uniform(6, 9) if photo_rows else right
    fraction = rng.uniform(0.3, 0.48)
    stacked = sheet.stacked
    keys_of_grid: list[int] = []
    for row in range(rows):
        edge = photo_left if row < photo_rows else right
        count = pairs if rng.random() < 0.72 else rng.randint(1, pairs)
        room = (edge - left) / count * (1.0 if stacked else fraction if count > 1 else 0.4)
        deep = 2 if row_height > sheet.size * 2.5 and not stacked else 1
        fields = plan[row] if plan else [sheet.short_field(room, deep) for _ in range(count)]
        count = len(fields)
        if plan is None and any(words.is_long(kind) for _, kind in fields) and count > 2:
            fields = fields[: count - 1]
            count -= 1
        weights = [rng.choice((1.0, 1.0, 1.4)) if any(words.is_long(k) for _, k in fields) else 1.0 for _ in fields]
        x = left
        for (name, kind), weight in zip(fields, weights, strict=True):
            width = (edge - left) * weight / sum(weights)
            key_width = width * fraction if count > 1 else min(width * fraction, sheet.size * 9)
            if stacked:
                key_cell = (x, y, width, row_height * 0.45)
                value_cell = (x, y + row_height * 0.45, width, row_height * 0.55)
                keys, values = sheet.pair(name, kind, key_cell, value_cell, "left")
            else:
                align = "center" if words.is_zh else "left"
                value_align = "center" if words.is_zh and rng.random() < 0.25 else "left"
                keys, values = sheet.pair(
                    name,
                    kind,
                    (x, y, key_width, row_height),
                    (x + key_width, y, width - key_width, row_height),
                    align,
                    value_align,
                )
                canvas.rule(x + key_width, y, x + key_width, y + row_height)
            if values or not words.is_zh:
                keys_of_grid += keys
            canvas.frame(x, y, x + width, y + row_height)
            x += width
        y += row_height
    if photo_rows:
        canvas.frame(photo_left, top, right, top + photo_rows * row_height)
        text = rng.choice(words_zh.PHOTO)
        for number, piece in enumerate(wrap(text, sheet.size, right - photo_left - sheet.size)):
            wide = text_width(piece, sheet.size)
            canvas.write(
                piece,
                (photo_left + right - wide) / 2,
                top + row_height * 0.9 + number * sheet.size * 1.5,
                sheet.size,
                OTHER,
                sheet.key_style,
            )
    if section:
        if keys_of_grid:
            canvas.link(section, keys_of_grid)
        else:
            canvas.relabel(section, OTHER)
    if head is not None and keys_of_grid:
        canvas.link(head, keys_of_grid)
    return y


def section_bar(sheet: Sheet, y: float, alone: bool = False) -> float | None:
    """A band across the table. XFUND: HEADER alone, or a QUESTION linked to the keys below; FUNSD: a linked HEADER.

    `alone`: only the band, as HEADER.
    """
    rng, words = sheet.rng, sheet.words
    height = sheet.size * rng.uniform(1.5, 2.2)
    if y + height + sheet.size * 5 > sheet.bottom:
        return None
    canvas = sheet.canvas
    linked = not alone and rng.random() < (0.6 if words.is_zh else 0.8)
    label = QUESTION if words.is_zh and linked else HEADER
    align = "center" if rng.random() < 0.6 else "left"
    if rng.random() < 0.4:
        canvas.shapes.append(Shape("fill", (sheet.left, y, sheet.right, y + height), rng.uniform(200, 235)))
    canvas.frame(sheet.left, y, sheet.right, y + height)
    head = sheet.key(
        words.section(),
        sheet.left,
        y,
        sheet.right - sheet.left,
        height,
        label,
        align,
        sheet.size * rng.uniform(1.0, 1.15),
    )
    if alone:
        return y + height
    before = len(canvas.links)
    below = grid(sheet, y + height, rng.randint(1, 4), head if linked else None)
    if words.is_zh and len(canvas.links) == before:
        canvas.relabel(head, HEADER if below is None else OTHER)
    return below if below is not None else y + height


def table(sheet: Sheet, y: float) -> float | None:
    """Column heads over body rows; unfilled columns and tables are OTHER in Chinese pages, QUESTION in English ones."""
    rng, canvas, words = sheet.rng, sheet.canvas, sheet.words
    name, columns, scripted = words.table()
    body = scripted or rng.randint(1, 6 if words.is_zh else 8)
    row_height = sheet.size * rng.uniform(1.6, 2.3)
    height = (body + 1) * row_height
    if y + height > sheet.bottom:
        return None
    left = sheet.left
    filled = (
        body if scripted else rng.choice((0, body, body, rng.randint(1, body))) if words.is_zh else rng.randint(1, body)
    )
    section: list[int] = []
    if words.is_zh and (words.scripted or rng.random() < 0.7):
        width = sheet.size * rng.uniform(1.8, 4.5)
        section = _vertical(sheet, name, left, y, width, height, QUESTION)
        canvas.frame(left, y, left + width, y + height)
        left += width
    elif not words.is_zh and (words.scripted or rng.random() < 0.4):
        if y + height + row_height > sheet.bottom:
            return None
        section = [
            canvas.write(
                name.upper() if rng.random() < 0.5 else name,
                left,
                y + sheet.size * 0.3,
                sheet.size,
                HEADER,
                Style(sheet.key_style.family, True),
            )
        ]
        y += row_height
    row_heads = not words.is_zh and columns[0][1] in _ROW_HEADS and rng.random() < 0.6
    weights = [_weight(sheet, name, kind) for name, kind in columns]
    total = sum(weights)
    x = left
    ruled = words.is_zh or rng.random() < 0.55
    head_ids: list[int] = []
    left_ids: dict[int, list[int]] = {}
    align = rng.choice(("left", "center"))
    for number, ((title, kind), weight) in enumerate(zip(columns, weights, strict=True)):
        width = (sheet.right - left) * weight / total
        used = filled if scripted or rng.random() < 0.85 or not words.is_zh else 0
        title = words.punctuate(title)
        heads = sheet.key(title, x, y, width, row_height, QUESTION)
        values: list[int] = []
        for row in range(used):
            if not scripted and rng.random() < 0.07:
                continue
            text = words.value(kind)
            if kind == "serial":
                text = str(row + 1)
            key_column = row_heads and number == 0
            got = sheet.value(
                text, x, y + (row + 1) * row_height, width, row_height, align, QUESTION if key_column else ANSWER
            )
            if key_column:
                left_ids[row] = got
            else:
                values += got
                if row in left_ids:
                    canvas.link(left_ids[row], got)
        if values:
            canvas.link(heads, values)
        if values or not words.is_zh:
            head_ids += heads
        else:
            canvas.relabel(heads, OTHER)
        if ruled:
            canvas.rule(x, y, x, y + height)
        x += width
    if ruled:
        for row in range(body + 2):
            canvas.rule(left, y + row * row_height, sheet.right, y + row * row_height)
        canvas.rule(sheet.right, y, sheet.right, y + height)
    if section and head_ids:
        canvas.link(section, head_ids)
    elif section:
        canvas.relabel(section, OTHER if words.is_zh else HEADER)
    return y + height
