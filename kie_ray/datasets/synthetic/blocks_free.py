"""Blocks without cells: titles, letterheads, key: value rows, nested sections, notes, running heads and footers."""

from __future__ import annotations

from kie_ray.datasets.synthetic import words_zh
from kie_ray.datasets.synthetic.canvas import ANSWER, HEADER, QUESTION, Shape, Style, text_width, wrap
from kie_ray.datasets.synthetic.lexicon import Field
from kie_ray.datasets.synthetic.sheet import Sheet
from kie_ray.records import OTHER


def title(sheet: Sheet, y: float) -> float:
    """One to three HEADER rows; sometimes a logo or the owner's name and address as OTHER."""
    rng, canvas, words = sheet.rng, sheet.canvas, sheet.words
    centre = (sheet.left + sheet.right) / 2
    if not words.scripted and rng.random() < (0.15 if words.is_zh else 0.3):
        text = words.zh.company() if words.is_zh else words.en.company()
        size = sheet.size * rng.uniform(0.9, 1.3)
        x = sheet.left if rng.random() < 0.6 else centre - text_width(text, size, "serif") / 2
        side = size * 1.8
        canvas.shapes.append(Shape("logo", (x, y - size * 0.4, x + side, y - size * 0.4 + side), rng.random()))
        canvas.write(text, x + side * 1.2, y, size, OTHER, Style("serif", True, (30, 30, 90)))
        y += size * 2.0
        if not words.is_zh and rng.random() < 0.6:
            address = words.en.address()
            canvas.write(address, x + side * 1.2, y - size * 0.4, size * 0.7, OTHER, sheet.key_style)
            y += size
    for row in words.title():
        size = sheet.size * (rng.uniform(1.35, 2.1) if words.is_zh else rng.uniform(1.0, 1.5))
        spread = 0.0
        wide = text_width(row, size, sheet.key_style.family)
        while wide > sheet.right - sheet.left:
            size *= 0.93
            wide = text_width(row, size, sheet.key_style.family)
        if words.is_zh and len(row) < 9 and rng.random() < 0.2:
            spread = size * 0.6
            wide += spread * (len(row) - 1)
            if wide > sheet.right - sheet.left:
                wide, spread = wide - spread * (len(row) - 1), 0.0
        canvas.write(row, centre - wide / 2, y, size, HEADER, Style(sheet.key_style.family, True), spread=spread)
        y += size * 1.5
    return y + sheet.size * rng.uniform(0.2, 1.2)


def top_row(sheet: Sheet, y: float) -> float:
    """One row of key: value pairs between title and table (number, date, unit)."""
    rng, words = sheet.rng, sheet.words
    count = rng.randint(1, 3)
    width = (sheet.right - sheet.left) / count
    size = sheet.size
    for number in range(count):
        name, kind = (
            rng.choice(
                (
                    ("编号", "code"),
                    ("填表日期", "date"),
                    ("填报单位", "company"),
                    ("填表人", "name"),
                    ("受理时间", "date"),
                    ("No.", "code"),
                )
            )
            if words.is_zh
            else words.field()
        )
        x = sheet.left + number * width
        colon = words.punctuate(name + ":")
        wide = min(text_width(colon, size, sheet.key_style.family) + size * 0.6, width * 0.7)
        text = words.value(kind) if rng.random() < sheet.fill else ""
        keys = sheet.key(colon, x, y, wide, size * 1.5, QUESTION if text else sheet.unfilled, "left")
        sheet.canvas.link(keys, sheet.value(text, x + wide, y, width - wide - size * 0.3, size * 1.5))
    return y + size * 1.8


def rows(
    sheet: Sheet,
    y: float,
    head: list[int] | None = None,
    left: float | None = None,
    right: float | None = None,
    plan: list[list[Field]] | None = None,
) -> float | None:
    """Key: value rows in one to three columns, values on a rule or without one; keys aligned or running.

    `head`: line ids of a heading to link to the keys. `plan` fixes the fields of every column.
    """
    rng, canvas, words = sheet.rng, sheet.canvas, sheet.words
    left = sheet.left if left is None else left
    right = sheet.right if right is None else right
    columns = rng.choice((1, 1, 2, 2, 3)) if right - left > sheet.size * 28 else 1
    count = rng.randint(2, 7)
    step = sheet.size * rng.uniform(1.5, 2.6)
    if plan:
        columns, count = len(plan), max(len(column) for column in plan)
    count = min(count, int((sheet.bottom - y) // step))
    if count < 1:
        return None
    aligned, underline = rng.random() < 0.55, rng.random() < 0.6
    colon = words.punctuate(":") if rng.random() < 0.75 else ""
    if plan:
        colon = ""
    width = (right - left) / columns
    size = sheet.size
    for column in range(columns):
        fields = plan[column] if plan else [words.field() for _ in range(count)]
        x = left + column * width
        widest = min(
            max(text_width(name + colon, size, sheet.key_style.family) for name, _ in fields) + size, width * 0.55
        )
        indent = rng.choice((0.0, 0.0, size)) if head else 0.0
        for number, (name, kind) in enumerate(fields):
            top = y + number * step
            text = words.value(kind) if rng.random() < sheet.fill else ""
            key_width = (
                widest
                if aligned
                else min(text_width(name + colon, size, sheet.key_style.family) + size * 0.8, width * 0.6)
            )
            value_x = x + indent + key_width
            if plan is None and rng.random() < 0.12 and len(text) < 30 and column == columns - 1:
                value_x += size * rng.uniform(0, 4)
            keys = sheet.key(
                name + colon, x + indent, top, key_width, step, QUESTION if text else sheet.unfilled, "left"
            )
            values = sheet.value(text, value_x, top, x + width - value_x - size * 0.3, step)
            canvas.link(keys, values)
            if head and (text or not words.is_zh):
                canvas.link(head, keys)
            if underline:
                line_y = top + step * 0.5 + size * 0.62
                canvas.rule(value_x, line_y, x + width - size * 0.5, line_y)
    return y + count * step


def section(sheet: Sheet, y: float, plan: list[list[Field]] | None = None) -> float | None:
    """A heading over key: value rows: FUNSD links it to them; two such sections may stand side by side.

    `plan` fixes the fields of every column, under one heading linked to them.
    """
    rng, canvas, words = sheet.rng, sheet.canvas, sheet.words
    size = sheet.size * rng.uniform(1.0, 1.15)
    if y + size * 6 > sheet.bottom:
        return None
    linked = plan is not None or rng.random() < (0.5 if words.is_zh else 0.85)
    sides = [(sheet.left, sheet.right)]
    if plan is None and rng.random() < 0.25 and not words.is_zh:
        middle = (sheet.left + sheet.right) / 2
        sides = [(sheet.left, middle - sheet.size), (middle + sheet.size, sheet.right)]
    bottoms = []
    for left, right in sides:
        text = words.section()
        x = left if rng.random() < 0.7 else (left + right - text_width(text, size, sheet.key_style.family)) / 2
        head = [canvas.write(text, max(left, x), y + size * 0.3, size, HEADER, Style(sheet.key_style.family, True))]
        below = rows(sheet, y + size * 1.8, head if linked else None, left, right, plan)
        bottoms.append(below or y + size * 2)
    return max(bottoms)


def notes(sheet: Sheet, y: float, texts: list[str] | None = None) -> float | None:
    """Small print: OTHER, or (XFUND, when a lead such as `注:` stands alone) a QUESTION with its rows as ANSWER."""
    rng, canvas, words = sheet.rng, sheet.canvas, sheet.words
    size = sheet.size * rng.uniform(0.75, 1.0)
    step = size * rng.uniform(1.25, 1.6)
    left, key = sheet.left, None
    lead_words = words_zh.NOTE_LEADS if words.is_zh else ["Note:", "NOTE:", "Instructions:"]
    lead = (
        "" if texts else words.punctuate(rng.choice(lead_words)) if rng.random() < (0.6 if words.is_zh else 0.2) else ""
    )
    apart = bool(lead) and rng.random() < 0.5
    given = texts is not None
    texts = list(texts or [words.note() for _ in range(rng.randint(1, 4 if words.is_zh else 3))])
    if len(texts) > 1 and words.is_zh and not given:
        texts = [f"{number + 1}{rng.choice('.、')}{text}" for number, text in enumerate(texts)]
    if lead and not apart:
        texts[0] = lead + texts[0]
    if apart:
        left += text_width(lead, size, sheet.key_style.family) + size * 0.5
    printed = [
        row for text in texts for row in wrap(text, size, sheet.right - left - size * 0.2, sheet.key_style.family)
    ]
    printed = printed[: int((sheet.bottom - y - size * 0.6) // step)]
    if not printed:
        return None
    y += size * 0.6
    if apart:
        key = canvas.write(lead, sheet.left, y, size, QUESTION, sheet.key_style)
    for row in printed:
        line = canvas.write(row, left, y, size, OTHER if key is None else ANSWER, sheet.key_style)
        if key is not None:
            canvas.link(key, line)
        y += step
    return y


def remark(sheet: Sheet, y: float) -> float | None:
    """English pages: a note by hand, a received mark or a closing with a typed name; belongs to no key, so OTHER."""
    rng, canvas, words = sheet.rng, sheet.canvas, sheet.words
    size = sheet.size * rng.uniform(1.0, 1.3)
    style = Style("hand", False, (40, 40, 60))
    kind = rng.randrange(3)
    if kind == 0:
        width = (sheet.right - sheet.left) * rng.uniform(0.3, 0.6)
        printed = wrap(words.long_text(rng.randint(15, 90)), size, width, "hand")[:4]
    elif kind == 1:
        printed = [rng.choice(("RECEIVED", "APPROVED", "COPY", "FILE", "PAID", "CONFIDENTIAL")), words.date()]
    else:
        style = sheet.key_style
        printed = [rng.choice(("Sincerely,", "Best regards,", "Very truly yours,")), words.person(), words.value("job")]
    if y + len(printed) * size * 1.3 > sheet.bottom:
        return None
    widest = max(text_width(row, size, style.family) for row in printed)
    x = rng.uniform(sheet.left, max(sheet.left, sheet.right - widest))
    for row in printed:
        canvas.write(row, x, y + size * 0.2, size, OTHER, style)
        y += size * 1.3
    return y + size * 0.3


def margins(sheet: Sheet) -> None:
    """What stands outside the form: page numbers, form numbers, fax lines, stamped numbers. All OTHER."""
    rng, canvas, words = sheet.rng, sheet.canvas, sheet.words
    size = sheet.size * rng.uniform(0.7, 0.95)
    foot = canvas.height - rng.uniform(14, 26) - size
    if words.is_zh:
        if rng.random() < 0.3:
            text = rng.choice(
                (
                    str(rng.randint(1, 20)),
                    f"- {rng.randint(1, 9)} -",
                    f"第{rng.randint(1, 5)}页",
                    f"第{rng.randint(1, 3)}页共{rng.randint(3, 8)}页",
                )
            )
            canvas.write(text, (canvas.width - text_width(text, size)) / 2, foot, size, OTHER, sheet.key_style)
        if rng.random() < 0.2:
            text = words.punctuate(
                rng.choice(
                    (
                        f"附件{rng.randint(1, 6)}",
                        f"附表{rng.randint(1, 9)}:",
                        "(正面)",
                        f"表{rng.randint(1, 20)}",
                        f"编制:{words.zh.value('office')}",
                    )
                )
            )
            canvas.write(text, sheet.left, rng.uniform(12, 16), size, OTHER, sheet.key_style)
        return
    if rng.random() < 0.3:
        month = rng.choice(["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"])
        clock = f"{rng.randint(7, 18):02d}:{rng.randint(0, 59):02d}"
        sender = f"{rng.choice(('FR', 'FROM'))} {words.en.company().upper()}"
        text = f"{month} {rng.randint(1, 28):02d} '{words.en.year % 100:02d} {clock} {sender}"
        canvas.write(text, sheet.left, 10, size, OTHER, Style("mono"))
        if rng.random() < 0.6:
            page = (
                f"P.{rng.randint(1, 9)}/{rng.randint(9, 12)}" if rng.random() < 0.5 else f"PAGE.{rng.randint(1, 9):03d}"
            )
            canvas.write(
                page,
                max(sheet.left + text_width(text, size, "mono") + size, sheet.right - text_width(page, size, "mono")),
                10,
                size,
                OTHER,
                Style("mono"),
            )
    if rng.random() < 0.65:
        text = words.en.digits(rng.randint(8, 9)) if rng.random() < 0.6 else words.en.capitals(3) + words.en.digits(7)
        big = sheet.size * rng.uniform(1, 1.5)
        canvas.write(text, canvas.width - 30 - text_width(text, big), foot - 4, big, OTHER, Style("sans", True))
    if rng.random() < 0.35:
        text = rng.choice(
            (
                f"Form {words.en.code()}",
                f"FORM NO. {words.en.code()}",
                f"Rev. {rng.randint(1, 12)}/{words.en.year % 100:02d}",
                str(rng.randint(1, 20)),
                f"{words.en.word()}.doc",
            )
        )
        canvas.write(text, sheet.left, foot, size, OTHER, sheet.key_style)
