"""Score a bundle: `python jobs/evaluate.py --task ser --model BUNDLE --annotations FILE --images DIR`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from kie_ray.config import load_settings
from kie_ray.errors import ConfigError

if TYPE_CHECKING:
    from kie_ray.ocr import OcrSettings
    from kie_ray.records import Page


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
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="ocr.key=value",
        dest="overrides",
        help="a setting of the OCR engine, as in the batch job's configuration; repeatable",
    )
    parser.add_argument("--protocol", default="lines", choices=["lines", "paddle"])
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--runtime",
        default="auto",
        choices=["auto", "torch", "onnx"],
        help="what computes the models (auto: ONNX files on CPUs)",
    )
    parser.add_argument("--limit", type=int, default=0, help="only the first N pages")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores here too")
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="write errors.html, confusion.png and reliability.png here"
    )
    args = parser.parse_args(argv)
    try:
        scores = evaluate(args)
    except ConfigError as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return 2
    print_scores(scores)
    if args.report:
        print(f"report: {args.report / 'errors.html'}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(scores, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return 0


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Scores with the settings that they belong to; writes the report where one is asked for."""
    from kie_ray.datasets.page_images import with_pixels
    from kie_ray.drawing.evaluation_report import write_evaluation_report
    from kie_ray.evaluation import evaluate_lines, evaluate_paddle, read_pages
    from kie_ray.extractor import resolve_device
    from kie_ray.loading import load_annotator
    from kie_ray.models.bundle import Bundle

    if args.protocol == "paddle" and args.task == "fields":
        raise ConfigError("--protocol paddle scores ser and re; the task fields has one protocol: leave --protocol out")
    if args.protocol == "paddle" and args.ocr != "annotations":
        raise ConfigError("--protocol paddle scores gold lines: use --ocr annotations, or --protocol lines")
    if args.protocol == "paddle" and args.report:
        raise ConfigError("--report draws whole lines, --protocol paddle scores tokens: use --protocol lines")
    if args.report and args.report.exists() and not args.report.is_dir():
        raise ConfigError(f"--report {args.report} is a file; name a folder")
    ocr = ocr_settings(args)
    bundle = Bundle.load(args.model)
    gold, images = read_gold(args)
    device = "cpu" if args.runtime == "onnx" and args.device == "auto" else args.device
    annotator = load_annotator(bundle, resolve_device(device), runtime=args.runtime)
    if ocr is None:
        gold = with_pixels(gold, images, bundle.info.image)
    if args.protocol == "paddle":
        scores = evaluate_paddle(annotator, gold, args.task)
    else:
        read = None if ocr is None else read_pages(gold, images, ocr, bundle.info.image)
        scores, findings = evaluate_lines(annotator, gold, args.task, read)
        if args.report:
            title = f"Errors of {bundle.info.name}"
            write_evaluation_report(args.report, findings, images=images, classes=bundle.info.labels, title=title)
    return {
        "task": args.task,
        "protocol": "fields" if args.task == "fields" else args.protocol,
        "ocr": args.ocr,
        "model": bundle.info.name,
        **scores,
    }


def ocr_settings(args: argparse.Namespace) -> OcrSettings | None:
    """The engine that --ocr and --set ask for; None where the gold lines are taken."""
    if args.ocr == "annotations":
        if args.overrides:
            raise ConfigError(f"--set {args.overrides[0]}: no OCR engine runs with --ocr annotations")
        return None
    from pipelines.config import ExtractConfig

    strange = [item for item in args.overrides if not item.startswith("ocr.")]
    if strange:
        raise ConfigError(f"--set {strange[0]}: evaluate.py takes the keys ocr.* of the batch job's configuration")
    return load_settings(ExtractConfig, None, [*args.overrides, f"ocr.engine={args.ocr}"]).ocr


def read_gold(args: argparse.Namespace) -> tuple[list[Page], Path]:
    """The annotated pages with their sizes, and the folder of their images."""
    from kie_ray.datasets import read_funsd, read_labels, with_sizes

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
    return gold, images


def print_scores(scores: dict[str, Any]) -> None:
    """A table: the pooled row first, then one row a class and a language, then what the scores can be trusted for."""
    print(
        f"{scores['task']} on {scores['pages']} pages, protocol {scores['protocol']}, lines from {scores['ocr']}, "
        f"model {scores['model']}, {scores['pages_per_second']:.1f} pages/s"
    )
    rows = [("all", scores), *sorted(scores.get("classes", {}).items())]
    languages = scores.get("languages", {})
    rows += [(f"{name} ({row['pages']} pages)", row) for name, row in languages.items()]
    if "own_ser" in scores:
        rows.append(("own SER", scores["own_ser"]))
    width = max(12, *(len(name) for name, _ in rows))
    print(f"{'':{width}} precision  recall   hmean  support")
    for name, row in rows:
        figures = f"{row['precision']:9.4f} {row['recall']:7.4f} {row['hmean']:7.4f}"
        print(f"{name:{width}} {figures} {int(row.get('support', 0)):8d}")
    for name, row in (("calibration", scores), ("calibration, own SER", scores.get("own_ser", {}))):
        if "ece" in row:
            print(f"{name}: {calibration_text(row)}")
    if "gold_lines_covered" in scores:
        print(f"gold lines covered by read lines: {scores['gold_lines_covered']:.4f}")


def calibration_text(row: dict[str, Any]) -> str:
    """Such as `ECE 0.031; a score of at least 0.834 gives precision 0.95 and keeps 87 %`."""
    from kie_ray.metrics.calibration import threshold_text

    if row["ece"] is None:
        return "nothing was predicted"
    threshold = row["threshold"]
    if threshold["score"] is None:
        return f"ECE {row['ece']:.3f}; no score is high enough for precision {threshold['precision']:g}"
    return (
        f"ECE {row['ece']:.3f}; a score of at least {threshold_text(threshold['score'])} gives precision "
        f"{threshold['precision']:g} and keeps {threshold['kept']:.0%}"
    )


if __name__ == "__main__":
    sys.exit(main())
