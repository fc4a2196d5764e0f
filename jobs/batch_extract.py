"""Extract key-value pairs from scanned forms: files, folders, globs, buckets or a manifest in, Parquet tables out."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from jobs.command_line import BAD_ARGUMENTS, DONE, FAILED, TOO_MANY_FAILED, OneLineParser

EPILOG = """\
examples:
  python jobs/batch_extract.py scans/ --output out --preview 10
  python jobs/batch_extract.py s3://bucket/forms/ --output s3://bucket/tables --set pools.ocr.size=8
  python jobs/batch_extract.py out/errors --output out-again          (tries the failed documents again)

The same command run again continues an interrupted run and leaves a finished one as it is.
exit status: 0 done, 2 bad arguments or configuration, 3 more failed documents than --max-error-rate, 1 anything else
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = OneLineParser(
        prog="batch_extract.py",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="file, directory, glob, s3:// or gs:// prefix, or manifest with a uri column",
    )
    add(
        "--output",
        required=True,
        metavar="URI",
        help="directory or prefix that gets documents/, fields/, entities/, errors/",
    )
    add("--model", metavar="BUNDLE", help="model bundle directory (default: the one in the package)")
    add("--ocr", choices=["rapidocr", "paddleocr", "annotations"], help="OCR engine (default: rapidocr)")
    add("--annotations", metavar="FILE", help="PaddleOCR label file that replaces OCR")
    add("--runtime", choices=["auto", "torch", "onnx"], help="what computes the models (auto: ONNX files on CPUs)")
    add("--config", metavar="FILE", help="YAML configuration; kie_ray/configs/extract.yaml shows all keys")
    add(
        "--set", action="append", default=[], metavar="key=value", dest="overrides", help="override one key; repeatable"
    )
    add("--limit", type=_positive, metavar="N", help="take the first N documents only")
    add("--preview", type=_positive, default=0, metavar="N", help="draw the first N documents into preview/index.html")
    add("--restart", action="store_true", help="remove what an earlier run left in --output and start over")
    add(
        "--max-error-rate", type=_share, default=0.05, metavar="R", help="share of failed documents for status 0 (0.05)"
    )
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least 1")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 0 to 1")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    from kie_ray.errors import ConfigError, DocumentError
    from pipelines.extract import ExtractOptions, extract
    from pipelines.finalize import IncompleteRun
    from pipelines.report import summary

    try:
        result = extract(
            ExtractOptions(
                inputs=options.inputs,
                output=options.output,
                model=options.model,
                ocr=options.ocr,
                annotations=options.annotations,
                runtime=options.runtime,
                config_file=options.config,
                overrides=options.overrides,
                limit=options.limit,
                preview=options.preview,
                restart=options.restart,
            )
        )
    except ConfigError as error:
        print(f"batch_extract.py: {error}", file=sys.stderr)
        return BAD_ARGUMENTS
    except (IncompleteRun, DocumentError) as error:
        print(f"batch_extract.py: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("batch_extract.py: interrupted; the same command continues the run", file=sys.stderr)
        return FAILED
    print("\n".join(summary(result)), flush=True)
    if result.error_rate > options.max_error_rate:
        print(
            f"batch_extract.py: {result.error_rate:.1%} of the documents failed, more than --max-error-rate "
            f"{options.max_error_rate:.1%}",
            file=sys.stderr,
        )
        return TOO_MANY_FAILED
    return DONE


if __name__ == "__main__":
    sys.exit(main())
