"""`python -m kie_ray.datasets.synthetic [FOLDER]`: render the sample forms again (default: kie_ray/samples)."""

from __future__ import annotations

import sys
from pathlib import Path

import kie_ray
from kie_ray.datasets.synthetic.samples import write_samples
from kie_ray.errors import ConfigError


def main(arguments: list[str]) -> int:
    """Exit status: 0 done, 2 wrong arguments or missing fonts."""
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(arguments[0]) if arguments else Path(kie_ray.__file__).parent / "samples"
    try:
        written = write_samples(folder)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path in written:
        print(f"{path}  {path.stat().st_size / 1024:.0f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
