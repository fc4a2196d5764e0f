"""Boxes and rows of a form: free text, check boxes, opinions with seal and date, signature lines.

As all blocks: the sheet and the top y in, the y below out, None when the block does not fit above `sheet.bottom`.
"""

from __future__ import annotations

from kie_ray.datasets.synthetic import words_en, words_zh
from kie_ray.datasets.synthetic.canvas import ANSWER, HEADER, QUESTION, Shape, text_width, wrap
from kie_ray.datasets.synthetic.sheet import Sheet
from kie_ray.records import OTHER


def text_box(sheet: Sheet, y: float, signed: bool | None = None) -> float | None:
    """A box with a key (left cell or first row) and rows of free text, signed and dated or not (None: by chance)."""
    rng, canvas, words = sheet.rng, sheet.canvas, sheet.words
    step = sheet.value_size * 1.3
    key_width = sheet.size * rng.uniform(2.2, 5) if words.is_zh else sheet.size * rng.uniform(6, 11)
    beside = rng.random() < 0.65
    text_left = sheet.left + (key_width if beside else sheet.size)
    width = sheet.right - text_left - sheet.size
    per_row = width / (sheet.value_size * (1.0 if words.is_zh else 0.52))
    filled = words.scripted or rng.random() < (0.75 if words.is_zh else 0.85)
    text = words.long_text(int(per_row * rng.uniform(0.3, 4.5))) if filled else ""
    if filled and not words.scripted and words.is_zh and rng.random() < 0.15:
        text = rng.choice(("无", "/", "无。", "见附件"))
    rows = wrap(text, sheet.value_size, width, sheet.value_style.family)[:5] if text else []
    signed = rng.random() < 0.3 if signed is None else signed
    height = (
        (len(rows) + (0 if beside else 1)) * step
        + sheet.size * rng.uniform(1, 3.5)
        + (sheet.size * 3.4 if signed else 0)
    )
    height = max(height, sheet.size * 3)
    if y + height > sheet.bottom:
        return None
    if words.is_zh or rng.random() < 0.5:
        canvas.frame(sheet.left, y, sheet.right, y + height)
    label = QUESTION if rows else sheet.unfilled
    name = sheet.key_text(words.long_name())
    if beside:
        keys = sheet.key(name, sheet.left, y, key_width, height if words.is_zh else sheet.size * 2.6, label)
        if words.is_zh:
            canvas.rule(sheet.left + key_width, y, sheet.left + key_width, y + height)
        top = y + sheet.size * 0.6
    else:
        keys = [
            canvas.write(name, sheet.left + sheet.size * 0.4, y + sheet.size * 0.4, sheet.size, label, sheet.key_style)
        ]
        top = y + sheet.size * 1.8
    indent = 2 * sheet.value_size if words.is_zh and beside and len(rows) > 1 and rng.random() < 0.4 else 0.0
    if indent:
        rows = wrap(text[: len("".join(rows))], sheet.value_size, width - indent, sheet.value_style.family)[: len(rows)]
    values = [
        canvas.write(
            row,
            text_left + (indent if number == 0 else 0) + sheet.size * 0.2,
            top + number * step,
            sheet.value_size,
            ANSWER,
            sheet.value_style,
        )
        for number, row in enumerate(rows)
    ]
    canvas.link(keys, values)
    if signed:
        signature_row(
            sheet,
            sheet.left + (sheet.right - text_left) * 0.45,
            sheet.right - sheet.size,
            y + height - sheet.size * 2.9,
            keys if words.is_zh else None,
        )
    return y + height


def signature_row(sheet: Sheet, left: float, right: float, y: float, owner: list[int] | None = None) -> None:
    """Signature key (with or without a name), a date below it; 2.7 em. `owner`: key of the cell, often linked to it."""
    rng, canvas, words = sheet.rng, sheet.canvas, sheet.words
    size = sheet.size
    name = words.punctuate(words.signature() + ":")
    named = rng.random() < sheet.fill * 0.9 or words.scripted
    key = canvas.write(name, left, y, size, QUESTION if named else sheet.unfilled, sheet.key_style)
    end = left + text_width(name, size, sheet.key_style.family) + size * 0.4
    if named:
        person = words.person()
        if end + text_width(person, sheet.value_size, sheet.value_style.family) < right:
            canvas.link(
                key,
                canvas.write(person, end, y - size * rng.uniform(0, 0.1), sheet.value_size, ANSWER, sheet.value_style),
            )
            if owner and rng.random() < 0.5:
                canvas.link(owner, key)
                canvas.relabel(owner, QUESTION)
        else:
            canvas.relabel([key], sheet.unfilled)
    y += size * 1.5
    if words.is_zh:
        if rng.random() < 0.75:
            text = words.signed_date()
            gap = size * rng.uniform(0.0, 0.8)
            wide = text_width(text, size) + gap * (len(text) - 1)
            x = min(max(left, right - wide - rng.uniform(0, 2) * size), right - wide)
            if x > sheet.left:
                canvas.write(text, x, y, size, OTHER, sheet.key_style, spread=gap if gap > size * 0.3 else 0.0)
    else:
        text = words.date() if rng.random() < sheet.fill else ""
        key = canvas.write("Date:" if rng.random() < 0.6 else "Date", left, y, size, QUESTION, sheet.key_style)
        end = left + text_width("Date:", size, sheet.key_style.family) + size * 0.5
        if text and end + text_width(text, sheet.value_size, sheet.value_style.family) < right:
            canvas.link(key, canvas.write(text, end, y, sheet.value_size, ANSWER, sheet.value_style))


def choices(sheet: Sheet, y: float) -> float | None:
    """A key with check boxes. XFUND: an option is an ANSWER; FUNSD: it is a QUESTION and its mark the ANSWER."""
    rng, canvas, words = sheet.rng, sheet.canvas, sheet.words
    name, options, ticked = words.choice()
    size = sheet.size
    height = size * rng.uniform(1.7, 2.4)
    if y + height > sheet.bottom:
        return None
    name = sheet.key_text(name)
    key_width = max(
        size * rng.uniform(6, 9),
        min(text_width(name, size, sheet.key_style.family) + size * 1.2, (sheet.right - sheet.left) * 0.55),
    )
    keys = sheet.key(
        name,
        sheet.left,
        y,
        key_width,
        height,
        QUESTION if words.is_zh else rng.choice((QUESTION, HEADER)),
        "left" if len(name) > 8 or not words.is_zh else "center",
    )
    boxed = words.is_zh or rng.random() < 0.4
    if boxed:
        canvas.frame(sheet.left, y, sheet.right, y + height)
        canvas.rule(sheet.left + key_width, y, sheet.left + key_width, y + height)
    room = sheet.right - sheet.left - key_width - size
    top = y + (height - size) / 2
    if words.is_zh:
        mark, empty = rng.choice((("☑", "□"), ("☑", "□"), ("√", "□"), ("■", "□")))
        texts = [(mark if number == ticked else empty) + option for number, option in enumerate(options)]
        gap = size * rng.uniform(0.8, 2.5)
        if rng.random() < 0.25:
            joined = rng.choice(("", " ")).join(texts)
            canvas.link(keys, sheet.value(joined, sheet.left + key_width, y, room, height))
            return y + height
        while sum(text_width(t, size) for t in texts) + gap * len(texts) > room and size > 4:
            size, gap = size * 0.92, gap * 0.85
        x = sheet.left + key_width + size * 0.5
        for text in texts:
            canvas.link(keys, canvas.write(text, x, top, size, ANSWER, sheet.key_style))
            x += text_width(text, size) + gap
        return y + height
    widths = [text_width(option, size, sheet.key_style.family) for option in options]
    while sum(widths) + size * 3 * len(options) > room and size > 4:
        size *= 0.92
        widths = [text_width(option, size, sheet.key_style.family) for option in options]
    gap = min(size * 6, (room - sum(widths)) / len(options))
    x = sheet.left + key_width + size * 0.8
    for number, (option, width) in enumerate(zip(options, widths, strict=True)):
        canvas.frame(
            x - size * 0.05, top + size * 0.08, x + size * 0.85, top + size * 0.98, 0.6
        ) if boxed else canvas.rule(x - size * 0.2, top + size * 1.05, x + size * 1.1, top + size * 1.05)
        option_id = canvas.write(option, x + size * 1.3, top, size, QUESTION, sheet.key_style)
        if number == ticked:
            canvas.link(
                option_id, canvas.write(rng.choice("XXx✓"), x + size * 0.1, top, size * 0.9, ANSWER, sheet.value_style)
            )
        if canvas.lines[keys[0]].label == HEADER:
            canvas.link(keys, option_id)
        x += width + gap
    return y + height


def opinions(sheet: Sheet, y: float, columns: int | None = None) -> float | None:
    """One to four columns with an opinion, signature, seal and date each; or one row with the key in the left cell."""
    rng, canvas, words = sheet.rng, sheet.canvas, sheet.words
    if not words.is_zh:
        return signatures(sheet, y)
    size = sheet.size
    height = size * rng.uniform(7.0, 10)
    if y + height > sheet.bottom:
        return None
    columns = columns or rng.choice((1, 1, 2, 3))
    width = (sheet.right - sheet.left) / columns
    for column in range(columns):
        x = sheet.left + column * width
        canvas.frame(x, y, x + width, y + height)
        name = words.opinion()
        said = rng.random() < sheet.fill
        label = QUESTION if said else OTHER
        key_width = size * rng.uniform(2, 3.4) if columns < 3 and rng.random() < 0.6 else 0.0
        if key_width:
            keys = sheet.key(name, x, y, key_width, height, label)
            canvas.rule(x + key_width, y, x + key_width, y + height)
            top = y + size * 0.8
        else:
            keys = sheet.key(sheet.key_text(name), x, y + size * 0.2, width, size * 1.8, label, "left")
            top = y + size * 2.2
        if said:
            verdict = words.verdict()
            canvas.link(
                keys, sheet.value(verdict, x + key_width + size, top, width - key_width - size * 1.5, size * 1.6)
            )
        body = x + key_width + (width - key_width) * rng.uniform(0.08, 0.3)
        if rng.random() < 0.55:
            stamp = words.punctuate(rng.choice(words_zh.STAMPS))
            wide = text_width(stamp, size)
            canvas.write(
                stamp,
                min(body + rng.uniform(0, 3) * size, x + width - wide - size * 0.3),
                y + height - size * 3.0,
                size,
                OTHER,
                sheet.key_style,
            )
            if rng.random() < 0.35:
                canvas.shapes.append(
                    Shape(
                        "stamp",
                        (
                            x + width - size * 6.5,
                            y + height - size * 6,
                            x + width - size * 0.8,
                            y + height - size * 0.3,
                        ),
                        rng.random(),
                        words.company(),
                    )
                )
            date = words.signed_date()
            gap = size * rng.uniform(0.32, 0.8) if rng.random() < 0.6 else 0.0
            wide = text_width(date, size) + gap * (len(date) - 1)
            if wide < width - key_width - size:
                canvas.write(
                    date,
                    max(x + key_width + size * 0.3, x + width - wide - size * rng.uniform(0.4, 1.5)),
                    y + height - size * 1.5,
                    size,
                    OTHER,
                    sheet.key_style,
                    spread=gap,
                )
        else:
            signature_row(sheet, body, x + width - size * 0.4, y + height - size * 2.9, keys)
    return y + height


def signatures(sheet: Sheet, y: float, plan: list[tuple[str, str, str]] | None = None) -> float | None:
    """Rows of English signature lines: `Approved By ____ Date ____`. `plan` fixes key, name and date of every row."""
    rng, canvas, words = sheet.rng, sheet.canvas, sheet.words
    if plan is None:
        plan = [(name, words.person(), words.date()) for name in rng.sample(words_en.SIGNATURES, rng.randint(1, 4))]
    rows = len(plan)
    step = sheet.size * rng.uniform(1.8, 2.6)
    if y + rows * step > sheet.bottom:
        return None
    colon = rng.choice((":", ""))
    keys_x, date_x = sheet.left, sheet.left + (sheet.right - sheet.left) * rng.uniform(0.55, 0.7)
    for name, person, date in plan:
        top = y + step - sheet.size * 1.2
        for x, end, text, said in (
            (keys_x, date_x - sheet.size, name + colon, person),
            (date_x, sheet.right, "Date" + colon, date),
        ):
            key = canvas.write(text, x, top, sheet.size, QUESTION, sheet.key_style)
            start = x + text_width(text, sheet.size, sheet.key_style.family) + sheet.size * 0.5
            canvas.rule(start, top + sheet.size * 1.08, end, top + sheet.size * 1.08)
            if rng.random() < sheet.fill:
                canvas.link(key, sheet.value(said, start, top - sheet.size * 0.3, end - start, sheet.size * 1.3))
        y += step
    return y
