"""Pre-train an encoder on unlabelled pages: `python jobs/pretrain.py --config FILE --output DIR`.

The pages are what `jobs/batch_extract.py` has read by OCR, and any label files, whose labels are ignored.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from kie_ray.config import load_settings
from kie_ray.errors import ConfigError
from kie_ray.training.config import TrainConfig


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="pretrain.py", description="Masked language modelling over text and layout, with Ray Train."
    )
    parser.add_argument("--config", required=True, help="YAML recipe, e.g. kie_ray/configs/pretrain.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    parser.add_argument(
        "--output", default="runs/pretrain", metavar="URI", help="folder or s3:// for checkpoints and encoder"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --output")
    args = parser.parse_args(argv)
    try:
        config = load_settings(TrainConfig, args.config, args.set)
        if config.tasks != ["mlm"]:
            raise ConfigError(f"tasks = {config.tasks}: pre-training needs tasks: [mlm]; for heads use jobs/train.py")
        from pipelines.train import train  # Ray takes seconds to import; a wrong argument should not wait for it

        result = train(config, args.output, resume=args.resume)
    except ConfigError as error:
        print(f"pretrain.py: {error}", file=sys.stderr)
        return 2
    print(f"encoder: {result.model}")
    print(f"fine-tune it: python jobs/train.py --config kie_ray/configs/finetune.yaml --set start={result.model}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
