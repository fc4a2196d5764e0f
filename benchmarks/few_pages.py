"""What a start is worth: the bundled model fine-tuned on a few pages against random weights trained on the same pages.

    python benchmarks/few_pages.py --data DATA [--pages 50] [--epochs 20] [--json FILE] [--quick]

DATA holds xfund_zh/zh_train, of which `--pages` pages are drawn by a fixed seed, and xfund_zh/zh_val, which is measured
(`lines` protocol, gold lines). Both runs are `jobs/train.py` with kie_ray/configs/finetune.yaml and differ in `start`
alone. The bundled model has seen all of zh_train already: this says what fine-tuning keeps and what these pages alone
would give, not how the model does on forms of a new kind. The last line is the ratio of the SER hmeans.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
TRAIN = {
    "name": "mine",
    "kind": "paddleocr",
    "path": "xfund_zh/zh_train/train.json",
    "images": "xfund_zh/zh_train/image",
}


def recipe(data: Path, start: str, pages: int, epochs: float) -> dict[str, Any]:
    """kie_ray/configs/finetune.yaml on `pages` pages; the size of the bundled model where it starts from nothing."""
    tree = yaml.safe_load((ROOT / "kie_ray/configs/finetune.yaml").read_text(encoding="utf-8"))
    bundled = yaml.safe_load((ROOT / "kie_ray/configs/train_bundled.yaml").read_text(encoding="utf-8"))
    tree |= {"data_root": str(data.absolute()), "start": start, "sources": [TRAIN | {"pages": pages}]}
    tree |= {"holdout": 0.0, "keep": "last", "model": bundled["model"], "encoding": bundled["encoding"]}
    tree["phases"][0] |= {"epochs": epochs}
    return tree


def run(script: str, *arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "jobs" / script), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)


def measure(tree: dict[str, Any], folder: Path, data: Path, limit: int) -> dict[str, float]:
    """hmeans of SER, RE with gold entities and RE with own labels after the run of one recipe."""
    folder.mkdir()
    (folder / "recipe.yaml").write_text(yaml.safe_dump(tree))
    run("train.py", "--config", folder / "recipe.yaml", "--output", folder / "run")
    scores: dict[str, float] = {}
    for task in ("ser", "re"):
        out = folder / f"{task}.json"
        val = data / "xfund_zh/zh_val"
        places = ("--annotations", val / "val.json", "--images", val / "image")
        run(
            "evaluate.py",
            *("--task", task, "--model", folder / "run/bundle", *places, "--limit", str(limit), "--json", out),
        )
        found = json.loads(out.read_text())
        scores[task] = found["hmean"]
        if "own_ser" in found:
            scores["re_own_ser"] = found["own_ser"]["hmean"]
    return scores


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--epochs", type=float, default=20)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="8 pages, 1 epoch, measured on 5 pages")
    options = parser.parse_args()
    pages, epochs, limit = (8, 1, 5) if options.quick else (options.pages, options.epochs, 0)
    result: dict[str, Any] = {"pages": pages, "epochs": epochs}
    with tempfile.TemporaryDirectory() as temporary:
        for name, start in (("bundled", "default"), ("random", "")):
            tree = recipe(options.data, start, pages, epochs)
            result[name] = measure(tree, Path(temporary) / name, options.data, limit)
            print(f"from {name} weights: " + ", ".join(f"{task} {value:.4f}" for task, value in result[name].items()))
    result["ratio"] = result["bundled"]["ser"] / max(result["random"]["ser"], 1e-9)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    print(f"ratio: {result['ratio']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
