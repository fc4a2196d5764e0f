"""Train or fine-tune a bundle: `python jobs/train.py --config FILE --output DIR`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from kie_ray.config import load_settings
from kie_ray.errors import ConfigError
from kie_ray.training.config import TrainConfig


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="train.py", description="Train SER and RE on annotated pages with Ray Train.")
    parser.add_argument("--config", required=True, help="YAML recipe, e.g. kie_ray/configs/finetune.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    parser.add_argument(
        "--output", default="runs/train", metavar="URI", help="folder or s3:// for checkpoints and bundle"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --output")
    args = parser.parse_args(argv)
    try:
        config = load_settings(TrainConfig, args.config, args.set)
        if "mlm" in config.tasks:
            raise ConfigError("tasks: mlm is pre-training: python jobs/pretrain.py")
        from pipelines.train import train  # Ray takes seconds to import; a wrong argument should not wait for it

        result = train(config, args.output, resume=args.resume)
    except ConfigError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    print(f"bundle: {result.model}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
