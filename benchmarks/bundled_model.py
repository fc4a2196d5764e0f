"""Scores of a bundle on the held-out real pages, and into its card.

    python benchmarks/bundled_model.py --data DATA [--model BUNDLE] [--write-card] [--json FILE] [--quick]

DATA holds xfund_zh/zh_val and funsd/testing_data, which no training reads. Every row comes from `jobs/evaluate.py`; the
card lists its command. The last line is the smallest ratio of a score to its target (below 1: a target is missed).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from kie_ray.models.bundle import Bundle, rewrite_card  # noqa: E402

XFUND = ["--annotations", "DATA/xfund_zh/zh_val/val.json", "--images", "DATA/xfund_zh/zh_val/image"]
FUNSD = ["--annotations", "DATA/funsd/testing_data"]
MEASUREMENTS: list[tuple[str, list[str], float | None]] = [
    ("XFUND zh val, SER, lines", ["--task", "ser", *XFUND], 0.90),
    ("XFUND zh val, RE, lines, gold entities", ["--task", "re", *XFUND], 0.72),
    ("XFUND zh val, fields, gold lines", ["--task", "fields", *XFUND], None),
    ("XFUND zh val, fields, read by OCR", ["--task", "fields", "--ocr", "rapidocr", *XFUND], None),
    ("XFUND zh val, SER, paddle", ["--task", "ser", "--protocol", "paddle", *XFUND], None),
    ("XFUND zh val, RE, paddle", ["--task", "re", "--protocol", "paddle", *XFUND], None),
    ("FUNSD test, SER, lines", ["--task", "ser", *FUNSD], 0.74),
    ("FUNSD test, RE, lines, gold entities", ["--task", "re", *FUNSD], None),
    ("FUNSD test, fields, gold lines", ["--task", "fields", *FUNSD], None),
    ("FUNSD test, fields, read by OCR", ["--task", "fields", "--ocr", "rapidocr", *FUNSD], None),
]
"""What is measured, the arguments of `jobs/evaluate.py`, and the target of its hmean."""

HEADING = "## Scores"


def measure(arguments: list[str], model: Path, data: Path, quick: bool) -> dict[str, Any]:
    """Scores of one `jobs/evaluate.py` run."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "scores.json"
        filled = [item.replace("DATA", str(data)) for item in arguments] + (["--limit", "5"] if quick else [])
        command = [sys.executable, str(ROOT / "jobs/evaluate.py"), "--model", str(model), *filled, "--json", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        scores: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return scores


def card_section(results: dict[str, dict[str, Any]]) -> str:
    """The card's table, with the command behind every row."""
    rows = [
        "| measured | precision | recall | hmean | command: `python jobs/evaluate.py` and |",
        "|---|---|---|---|---|",
    ]
    for name, arguments, _ in MEASUREMENTS:
        found = results[name]
        figures = " | ".join(f"{found[key]:.4f}" for key in ("precision", "recall", "hmean"))
        rows.append(f"| {name} | {figures} | `{' '.join(arguments)}` |")
        if "own_ser" in found:
            own = " | ".join(f"{found['own_ser'][key]:.4f}" for key in ("precision", "recall", "hmean"))
            rows.append(f"| the same with the model's own labels | {own} | the same run |")
    note = "XFUND zh val (50 pages) and FUNSD test (50 pages) took no part in training or in choosing anything."
    return "\n".join([HEADING, "", note, "", *rows, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="bundle directory; the bundled model when left out")
    parser.add_argument("--write-card", action="store_true", help="put the scores into the bundle's card")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="5 pages each; never written into a card")
    args = parser.parse_args()
    bundle = Bundle.load(args.model)
    results = {name: measure(rest, bundle.path, args.data, args.quick) for name, rest, _ in MEASUREMENTS}
    for name, found in results.items():
        print(f"{name:42} hmean {found['hmean']:.4f}  {found['pages_per_second']:.1f} pages/s")
    ratio = min(results[name]["hmean"] / target for name, _, target in MEASUREMENTS if target)
    if args.write_card and not args.quick:
        card = (bundle.path / "README.md").read_text(encoding="utf-8").split(HEADING)[0].rstrip()
        rewrite_card(bundle.path, f"{card}\n\n{card_section(results)}")
    if args.json:
        args.json.write_text(json.dumps({"results": results, "ratio": ratio}, indent=2) + "\n", encoding="utf-8")
    print(f"smallest score over target: {ratio:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
