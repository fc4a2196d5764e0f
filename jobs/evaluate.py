"""Score a bundle: `python jobs/evaluate.py --task ser --model BUNDLE --annotations FILE --images DIR`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from kie_ray.errors import ConfigError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="evaluate.py", description="Precision, recall and hmean of SER, RE or fields."
    )
    parser.add_argument("--task", required=True, choices=["ser", "re", "fields"])
    parser.add_argument("--model", metavar="BUNDLE", help="bundle directory; the bundled model when left out")
    parser.add_argument(
        "--annotations", required=True, help="PaddleOCR label file, or a FUNSD folder with annotations/ and images/"
    )
    parser.add_argument("--images", help="folder of the page images; a FUNSD folder brings its own")
    parser.add_argument("--ocr", default="annotations", choices=["annotations", "rapidocr", "paddleocr"])
    parser.add_argument("--protocol", default="lines", choices=["lines", "paddle"])
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--limit", type=int, default=0, help="only the first N pages")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores here too")
    args = parser.parse_args(argv)
    try:
        scores = evaluate(args)
    except ConfigError as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return 2
    print_scores(scores)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(scores, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return 0


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Scores with the settings that they belong to."""
    from kie_ray.annotator import Annotator
    from kie_ray.datasets import read_funsd, read_labels, with_sizes
    from kie_ray.evaluation import evaluate_lines, evaluate_paddle, read_pages
    from kie_ray.extractor import resolve_device
    from kie_ray.models.bundle import Bundle

    if args.protocol == "paddle" and args.task == "fields":
        raise ConfigError("--protocol paddle scores ser and re; the task fields has one protocol: leave --protocol out")
    if args.protocol == "paddle" and args.ocr != "annotations":
        raise ConfigError("--protocol paddle scores gold lines: use --ocr annotations, or --protocol lines")
    bundle = Bundle.load(args.model)
    source = Path(args.annotations)
    if not source.exists():
        raise ConfigError(f"--annotations {source} does not exist")
    if source.is_dir():
        images = Path(args.images) if args.images else source / "images"
        gold = read_funsd(source)
    else:
        if not args.images:
            raise ConfigError("--images is needed: the folder that the names in the label file belong to")
        images = Path(args.images)
        if not images.is_dir():
            raise ConfigError(f"--images {images} is not a directory")
        gold = with_sizes(read_labels(source), images)
    if args.limit:
        gold = gold[: args.limit]
    if not gold:
        raise ConfigError(f"{source} holds no page")
    annotator = Annotator.from_bundle(bundle, resolve_device(args.device))
    if args.protocol == "paddle":
        scores = evaluate_paddle(annotator, gold, args.task)
    else:
        read = None if args.ocr == "annotations" else read_pages(gold, images, args.ocr)
        scores = evaluate_lines(annotator, gold, args.task, read)
    return {
        "task": args.task,
        "protocol": "fields" if args.task == "fields" else args.protocol,
        "ocr": args.ocr,
        "model": bundle.info.name,
        **scores,
    }


def print_scores(scores: dict[str, Any]) -> None:
    """A table: the pooled row first, then one row a class."""
    print(
        f"{scores['task']} on {scores['pages']} pages, protocol {scores['protocol']}, lines from {scores['ocr']}, "
        f"model {scores['model']}, {scores['pages_per_second']:.1f} pages/s"
    )
    rows = [("all", scores), *sorted(scores.get("classes", {}).items())]
    if "own_ser" in scores:
        rows.append(("own SER", scores["own_ser"]))
    print(f"{'':12} precision  recall   hmean  support")
    for name, row in rows:
        figures = f"{row['precision']:9.4f} {row['recall']:7.4f} {row['hmean']:7.4f}"
        print(f"{name:12} {figures} {int(row.get('support', 0)):8d}")
    if "gold_lines_covered" in scores:
        print(f"gold lines covered by read lines: {scores['gold_lines_covered']:.4f}")


if __name__ == "__main__":
    sys.exit(main())
