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
    return run(argv, "train.py", "Train SER and RE on annotated pages with Ray Train.", "finetune.yaml", "runs/train")


def run(argv: list[str] | None, prog: str, description: str, recipe: str, output: str) -> int:
    """The command line that training and pre-training share. `recipe`: an example; `output`: where results go."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--config", required=True, help=f"YAML recipe, e.g. kie_ray/configs/{recipe}")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    parser.add_argument("--output", default=output, metavar="URI", help="folder or s3:// for checkpoints and model")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --output")
    args = parser.parse_args(argv)
    try:
        config = load_settings(TrainConfig, args.config, args.set)
        pretraining = config.tasks == ["mlm"]
        if pretraining and prog != "pretrain.py":
            raise ConfigError("tasks: mlm is pre-training: python jobs/pretrain.py")
        if not pretraining and prog == "pretrain.py":
            raise ConfigError(f"tasks = {config.tasks}: pre-training needs tasks: [mlm]; for heads use jobs/train.py")
        from pipelines.train import train  # Ray takes seconds to import; a wrong argument should not wait for it

        result = train(config, args.output, resume=args.resume)
    except ConfigError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    print(f"{'encoder' if pretraining else 'bundle'}: {result.model}")
    if pretraining:
        print(f"fine-tune it: python jobs/train.py --config kie_ray/configs/finetune.yaml --set start={result.model}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
