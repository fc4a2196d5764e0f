"""Pre-train an encoder on unlabelled pages: `python jobs/pretrain.py --config FILE --output DIR`.

The pages are what `jobs/batch_extract.py` has read by OCR, and any label files, whose labels are ignored.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from jobs.train import run


def main(argv: list[str] | None = None) -> int:
    description = "Masked language modelling over text, layout and, for models that see them, page images."
    return run(argv, "pretrain.py", description, "pretrain.yaml", "runs/pretrain")


if __name__ == "__main__":
    sys.exit(main())
