"""Write a bundle with ONNX files: `python jobs/export.py --model BUNDLE --output DIR`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from kie_ray.errors import ConfigError

if TYPE_CHECKING:
    from kie_ray.export.check import Comparison


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="export.py",
        description="Write a copy of a bundle that also carries ONNX files, checked against torch on sample pages.",
    )
    parser.add_argument("--model", metavar="BUNDLE", help="bundle directory; the bundled model when left out")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="new directory for the bundle")
    parser.add_argument("--opset", type=int, default=23, help="18 to 23; below 23 also for ONNX Runtime before 1.23")
    parser.add_argument("--int8", action="store_true", help="encoder weights in int8: smaller and faster on a CPU")
    parser.add_argument("--entities", type=int, default=128, metavar="N", help="fixed number of entities of a page")
    parser.add_argument("--pairs", type=int, default=2048, metavar="N", help="fixed number of pairs of a page")
    args = parser.parse_args(argv)

    from kie_ray.export import ExportSettings, export_bundle
    from kie_ray.export.check import TOLERANCE, ExportError
    from kie_ray.models.bundle import Bundle

    try:
        settings = ExportSettings(args.opset, args.int8, args.entities, args.pairs)
        report = export_bundle(Bundle.load(args.model), args.output, settings)
    except ConfigError as error:
        print(f"export.py: {error}", file=sys.stderr)
        return 2
    except ExportError as error:
        print(f"export.py: {error}", file=sys.stderr)
        return 1
    for file in report.files:
        print(f"{file}  {file.stat().st_size / 1e6:.1f} MB")
    print(
        f"float32 against torch, {report.float32.pages} sample pages: {_figures(report.float32)}; allowed {TOLERANCE:g}"
    )
    if report.int8 is not None:
        same = report.int8.same_labels
        print(f"int8 against torch: {_figures(report.int8)}; {same:.2%} of the tokens keep their label")
    return 0


def _figures(comparison: Comparison) -> str:
    return ", ".join(f"{name} {value:.1e}" for name, value in comparison.largest.items())


if __name__ == "__main__":
    sys.exit(main())
