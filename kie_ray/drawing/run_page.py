"""report.html: one page about a finished run, from its run.json and the first rows of errors/."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from kie_ray.drawing import markup
from kie_ray.drawing.advice import advice
from kie_ray.drawing.palette import Palette
from kie_ray.drawing.run_charts import busy_svg, histogram_svg, share_svg, throughput_svg
from kie_ray.durations import duration

Row = Mapping[str, Any]

_STAGES = {
    "fetch": "download",
    "read": "decoding of pages",
    "ocr": "OCR",
    "ser": "SER (labels)",
    "re": "RE (links)",
    "fields": "fields",
}
_SCORES = {
    "ocr_score": ("OCR score", "line"),
    "label_score": ("Label score", "labelled line"),
    "field_score": ("Field score", "field"),
}
_WAITING = 0.5
"""Share of its workers' time below which even the busiest stage has mostly waited."""


def run_html(run: Mapping[str, Any], failures: Sequence[Row], *, links: Sequence[tuple[str, str]] = ()) -> str:
    """The whole page: self-contained, every text of documents and settings escaped.

    Args:
        run: content of run.json.
        failures: rows of ERRORS_SCHEMA, the examples to show.
        links: (text, relative address) of what stands beside the page.
    """
    title = "Extraction run"
    body = (
        f"<header><h1>{escape(title)}</h1>{_origin(run, links)}{markup.facts(_facts(run))}</header>\n"
        f'<main id="main">{_speed(run)}{_stages(run)}{_failures(run, failures)}{_scores(run)}{_setup(run)}</main>'
    )
    return markup.document_html(title, body, Palette(), (), styles=("preview.css", "run.css"))


def _origin(run: Mapping[str, Any], links: Sequence[tuple[str, str]]) -> str:
    ended = run["finished"][:16].replace("T", " ")
    anchors = "".join(f'<li><a href="{escape(href)}">{escape(text)}</a></li>' for text, href in links)
    return (
        f'<div class="bar small"><span class="soft grow">{escape(run["bundle"]["name"])}, OCR by {escape(run["ocr"])}, '
        f'finished <time datetime="{escape(run["finished"])}">{escape(ended)} UTC</time>, '
        f'fingerprint <span class="mono">{escape(run["fingerprint"])}</span></span>'
        + (f'<ul class="header-links">{anchors}</ul>' if anchors else "")
        + "</div>"
    )


def _facts(run: Mapping[str, Any]) -> list[tuple[str, int | str, bool]]:
    facts: list[tuple[str, int | str, bool]] = [
        ("documents", run["documents"], False),
        ("with errors", run["failed"], run["failed"] > 0),
        ("pages", run["pages"], False),
        ("pages per second", f"{run['pages_per_second']:,.2f}", False),
        ("time", duration(run["seconds"]), False),
        ("fields", run["fields"], False),
        ("lines", run["entities"], False),
    ]
    if "cost_per_million_pages" in run:
        facts.append(("cost of a million pages", f"{run['cost_per_million_pages']:,.2f}", False))
    return facts


def _section(name: str, heading: str, content: str, aside: str = "") -> str:
    return (
        f'<section aria-labelledby="{name}"><div class="bar"><h2 id="{name}">{heading}</h2>'
        f'<span class="soft small">{aside}</span></div>{content}</section>\n'
    )


def _speed(run: Mapping[str, Any]) -> str:
    timeline, seconds = run["timeline"], run["seconds"]
    if not timeline or seconds <= 0:
        return _section("speed", "Pages per second", '<p class="empty panel">No time was measured.</p>')
    rows = _spread(timeline, 24)
    table = _table(
        [("Time", True), ("Rows", True), ("Pages", True), ("With errors", True)],
        [
            [duration(sample["seconds"]), f"{sample['rows']:,}", f"{sample['pages']:,}", f"{sample['failed']:,}"]
            for sample in rows
        ],
    )
    return _section(
        "speed",
        "Pages per second",
        f'<div class="panel"><div class="inset">{throughput_svg(timeline, seconds)}</div>'
        f'<details><summary class="small">The figures</summary>{table}</details></div>',
        _starts(timeline),
    )


def _starts(timeline: Sequence[Row]) -> str:
    starts = timeline[-1]["start"] + 1
    return "in one go" if starts == 1 else f"{starts} starts; work that an interruption has cost counts twice here"


def _stages(run: Mapping[str, Any]) -> str:
    stages, timeline, seconds = run["stages"], run["timeline"], run["seconds"]
    top = max(stages, key=lambda name: stages[name]["busy_share"])
    priced = any("cost_per_million_pages" in stage for stage in stages.values())
    heads = [("Stage", False), ("Work", True), ("Work a page", True), ("Workers", True), ("Busy", False)]
    heads += [("Busy over time", False)] + ([("Cost of a million pages", True)] if priced else [])
    rows = []
    for name, stage in stages.items():
        spark = busy_svg(timeline, seconds, name, stage["workers"]) if timeline and seconds > 0 else ""
        cost = f"{stage['cost_per_million_pages']:,.2f}" if "cost_per_million_pages" in stage else "-"
        cells = [
            f'<th scope="row">{_STAGES.get(name, escape(name))}</th>',
            f'<td class="num">{duration(stage["busy_seconds"])}</td>',
            f'<td class="num">{_brief(stage["seconds_per_page"])}</td>',
            f'<td class="num">{stage["workers"]}</td>',
            f'<td class="pill">{share_svg(stage["busy_share"])}{_percent(stage["busy_share"])}</td>',
            f'<td class="over-time">{spark}</td>',
            f'<td class="num">{cost}</td>' if priced else "",
        ]
        rows.append(f"<tr{' class=top' if name == top and stage['busy_share'] > 0 else ''}>{''.join(cells)}</tr>")
    return _section(
        "stages",
        "Stages",
        f'<div class="panel"><div class="scroll"><table class="stages"><thead><tr>{_heads(heads)}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table></div><p class="note small soft">{_reading(run, top)}</p></div>',
    )


def _reading(run: Mapping[str, Any], top: str) -> str:
    """What the table of stages means, in a sentence or two."""
    share = run["stages"][top]["busy_share"]
    name = _STAGES.get(top, escape(top))
    if share <= 0:
        text = "No stage had work."
    elif share < _WAITING:
        text = (
            f"The busiest stage is {name}, and it waited {1 - share:.0%} of the time: for the start and the end, or "
            "for documents in between. A longer run has a larger share of work."
        )
    else:
        text = f"{name} sets the pace: more workers for it make the run faster, for another stage they do not."
    if "cost_per_million_pages" in run:
        text += " Costs of stages are those of their work; the cost of the run is that of all machines, busy or not."
    return text


def _failures(run: Mapping[str, Any], failures: Sequence[Row]) -> str:
    if not run["errors"]:
        return _section("failures", "Errors", '<p class="empty panel">Every document was read completely.</p>')
    cards = []
    for number, (category, count) in enumerate(run["errors"].items()):
        found = [row for row in failures if row["category"] == category]
        table = _table(
            [("Document", False), ("Status", False), ("Stage", False), ("Reason", False)],
            [[_where(row), row["status"], row["stage"], row["message"]] for row in found],
        )
        examples = table if found else '<p class="do soft">No example stands in the rows that were looked at.</p>'
        more = (
            f'<p class="note small soft">{len(found):,} of {count:,}; the others stand in errors/.</p>'
            if 0 < len(found) < count
            else ""
        )
        cards.append(
            f'<details class="panel"{" open" if number == 0 else ""}><summary><b class="reason">{escape(category)}</b> '
            f"{markup.counted(count, 'document')}, {_percent(count / run['documents'])} of all</summary>"
            f'<p class="do">{escape(advice(category))}</p>{examples}{more}</details>'
        )
    aside = f"{markup.counted(run['failed'], 'document')}, {run['partial']:,} of them with results for some pages"
    return _section("failures", "Errors", f'<div class="failures">{"".join(cards)}</div>', aside)


def _where(row: Row) -> str:
    return str(row["uri"]) if row["page"] is None else f"{row['uri']} (page {row['page'] + 1})"


def _scores(run: Mapping[str, Any]) -> str:
    panels = []
    for name, (heading, noun) in _SCORES.items():
        counts = run["scores"][name]
        total = sum(counts)
        if not total:
            content = f'<p class="soft small">There is no {noun}.</p>'
        else:
            low = sum(counts[: len(counts) // 2]) / total
            says = f"{markup.counted(total, noun)}, {low:.1%} below 0.5"
            content = f'<p class="soft small">{says}</p>{histogram_svg(counts, f"{heading}: {says}")}'
        panels.append(f'<div class="panel inset"><h3>{heading}</h3>{content}</div>')
    return _section("scores", "Scores", f'<div class="grid-3">{"".join(panels)}</div>')


def _setup(run: Mapping[str, Any]) -> str:
    calibration = run.get("calibration")
    timed = {"ocr": calibration["ocr"], **calibration["models"]} if calibration else {}
    pools = [
        [
            name,
            str(pool["max_size"]) if pool["min_size"] == pool["max_size"] else f"{pool['min_size']}-{pool['max_size']}",
            str(pool["threads"]),
            f"{pool['num_cpus']:g}",
            f"{pool['num_gpus']:g}",
            *([_brief(timed[name])] if timed else []),
        ]
        for name, pool in run["pools"].items()
        if pool is not None
    ]
    heads = [("Pool", False), ("Actors", True), ("Threads", True), ("CPUs", True), ("GPUs", True)]
    heads += [("Timed a page", True)] if timed else []
    machines = run["machines"]
    parts = {
        f"Pools on {machines['cpus']:g} CPUs and {machines['gpus']:g} GPUs": _table(heads, pools),
        "Settings that differ from the defaults": _pairs(run["settings"])
        if run["settings"]
        else '<p class="empty">None does.</p>',
        "Versions": _pairs(run["versions"]),
    }
    panels = "".join(f'<div class="panel"><h3>{head}</h3>{table}</div>' for head, table in parts.items())
    return _section("setup", "How it ran", f'<div class="grid-3">{panels}</div>')


def _pairs(values: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row" class="mono">{escape(name)}</th><td class="mono">{escape(str(value))}</td></tr>'
        for name, value in values.items()
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _table(heads: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str]]) -> str:
    """Heads are (text, is it a number?); the first cell of a row is its head. Every text is escaped."""
    body = "".join(
        "<tr>"
        + "".join(
            f"<{tag}{' class=num' if number else ''}>{escape(cell)}</{tag.split()[0]}>"
            for index, (cell, (_, number)) in enumerate(zip(row, heads, strict=True))
            for tag in ['th scope="row"' if index == 0 else "td"]
        )
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{_heads(heads)}</tr></thead><tbody>{body}</tbody></table></div>'


def _heads(heads: Sequence[tuple[str, bool]]) -> str:
    return "".join(f'<th scope="col"{" class=num" if number else ""}>{escape(text)}</th>' for text, number in heads)


def _brief(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return "< 0.1%"
    return f"{share:.0%}" if share >= 0.0995 or share == 0 else f"{share:.1%}"


def _spread(rows: Sequence[Row], most: int) -> list[Row]:
    """At most `most` of the rows, evenly spaced, with the last one."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round(index * (len(rows) - 1) / (most - 1))] for index in range(most)]
