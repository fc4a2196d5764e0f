"""Print what a run extracted: `python jobs/show.py OUTPUT`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

import pyarrow.dataset as ds

from kie_ray.errors import ConfigError
from kie_ray.storage import exists, filesystem_for, join, read_text
from kie_ray.text_table import table

COLUMNS = ["uri", "page", "key", "value", "score"]
WIDTHS = (24, 4, 30, 44, 5)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="show.py", description="Print the key-value pairs of a finished run.")
    parser.add_argument("output", help="the --output of batch_extract.py")
    parser.add_argument("--limit", type=int, default=40, help="rows to print (default 40)")
    args = parser.parse_args(argv)
    try:
        rows, run = read_run(args.output, args.limit)
    except ConfigError as error:
        print(f"show.py: {error}", file=sys.stderr)
        return 2
    print(table([("document", "page", "key", "value", "score"), *rows], WIDTHS))
    counts = f"{run['documents']} documents, {run['failed']} failed, {run['pages']} pages"
    print(f"{counts}; all fields in {args.output}/fields")
    return 0


def read_run(output: str, limit: int) -> tuple[list[tuple[str, ...]], dict[str, Any]]:
    """The first `limit` fields as text, and `run.json`. Raises ConfigError where no finished run is."""
    if not exists(join(output, "run.json")):
        raise ConfigError(f"{output} holds no finished run (no run.json)")
    run = json.loads(read_text(join(output, "run.json")))
    filesystem, path = filesystem_for(join(output, "fields"))
    fields = ds.dataset(path, filesystem=filesystem, format="parquet").head(limit, columns=COLUMNS)
    rows: list[tuple[str, ...]] = [
        (row["uri"].rsplit("/", 1)[-1], str(row["page"]), row["key"], row["value"], f"{row['score']:.2f}")
        for row in fields.to_pylist()
    ]
    return rows, run


if __name__ == "__main__":
    sys.exit(main())
