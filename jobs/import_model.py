"""Make a bundle of a checkpoint that PaddleOCR, Hugging Face or Microsoft's layoutlmft has left."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from jobs.command_line import BAD_ARGUMENTS, DONE, FAILED, OneLineParser

EPILOG = """\
examples:
  python jobs/import_model.py --paddle-ser ser_vi_layoutxlm/best_accuracy --paddle-re re_vi_layoutxlm/best_accuracy \\
         --tokenizer layoutxlm-base --output bundles/vi-layoutxlm
  python jobs/import_model.py --huggingface s3://models/layoutlmv2-funsd --output bundles/layoutlmv2-funsd
  python jobs/import_model.py --paddle-encoder vi-layoutxlm-base-uncased --output encoders/vi-layoutxlm
         (an encoder without heads; fine-tune it: python jobs/train.py ... --set start=encoders/vi-layoutxlm)

DIR is local or s3://. exit status: 0 done, 2 bad arguments or checkpoint, 1 anything else
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = OneLineParser(
        prog="import_model.py",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--paddle-ser", metavar="DIR", help="PaddleOCR's trained SER model (model_state.pdparams and configuration)")
    add("--paddle-re", metavar="DIR", help="PaddleOCR's trained RE model")
    add("--paddle-encoder", metavar="DIR", help="an encoder without heads that PaddleNLP publishes")
    add(
        "--huggingface",
        nargs="+",
        default=[],
        metavar="DIR",
        help="config.json with model.safetensors or pytorch_model.bin: SER, RE, encoder; or a SER and an RE model",
    )
    add("--output", required=True, metavar="BUNDLE", help="directory that is made")
    add("--tokenizer", metavar="DIR", help="directory of the tokenizer's files (default: that of the model)")
    add(
        "--labels",
        metavar="FILE|LIST",
        help="class list, or BIO labels in the order of their ids: one a line, or with commas (default: the "
        "checkpoint's id2label, or PaddleOCR's OTHER,QUESTION,ANSWER,HEADER)",
    )
    add("--name", help="name of the bundle (default: that of its directory)")
    add(
        "--image",
        default="auto",
        choices=["auto", "none", "bgr", "paddle", "imagenet", "unit"],
        help="how a page becomes the model's image (default: as the system does that the model comes from; for "
        "LayoutLM with the common recipe's image branch unit, 0 to 1; imagenet where its training normalised these)",
    )
    add(
        "--reading-order",
        default="auto",
        choices=["auto", "tb-yx", "tb-yx-paddle", "none"],
        help="order of the lines (default: PaddleOCR's recipe of the model; tb-yx for others)",
    )
    add(
        "--window-marks",
        default="auto",
        choices=["auto", "none", "begin-end"],
        help="put [CLS] and [SEP] (<s> and </s>) around every window (default: for Hugging Face's SER models)",
    )
    add("--entity-labels", type=_names, metavar="LIST", help="rows of the RE head (default: HEADER,QUESTION,ANSWER)")
    add("--relation-pairs", type=_names, metavar="LIST", help="KEY:VALUE labels to link (default: QUESTION:ANSWER)")
    add("--licence", default="see source", help="licence of the weights, for the model card")
    add("--half", action="store_true", help="store the weights in float16")
    add("--overwrite", action="store_true", help="replace a bundle at --output")
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError(f"{text!r} must be names with commas between them")
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    asked = {name: value for name, value in vars(parse(arguments)).items() if value is not None}

    from transformers.utils import logging as transformers_logging

    from kie_ray.errors import ConfigError
    from kie_ray.importing import ImportOptions, import_model

    transformers_logging.disable_progress_bar()
    try:
        result = import_model(ImportOptions(**asked))
    except ConfigError as error:
        print(f"import_model.py: {error}", file=sys.stderr)
        return BAD_ARGUMENTS
    except OSError as error:
        print(f"import_model.py: {error}", file=sys.stderr)
        return FAILED
    print("\n".join(result.summary))
    print(f"{'encoder' if result.encoder else 'bundle'}: {result.path}")
    if result.encoder:
        print(f"fine-tune it: python jobs/train.py --config kie_ray/configs/finetune.yaml --set start={result.path}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
