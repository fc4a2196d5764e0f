"""`python -m kie_ray.datasets`: look at annotations before training, or turn them into a PaddleOCR label file.

validate FILE [--images DIR] [--classes A,B,C] [--level line|entity] [--json OUT]
    print what FILE holds and what is wrong with it
convert FILE --output LABELS.txt [--level line|entity]
    write a PaddleOCR label file, which the trainer reads, and print what was written and what was left out

FILE is a PaddleOCR or PPOCRLabel label file, XFUND json, a Label Studio JSON export, or a FUNSD folder (annotations/
and images/). --level is FUNSD's: visual lines, as PaddleOCR splits them (the default), or whole entities. OTHER need
not stand among the classes.

Exit status of validate: 0 clean, 1 problems found; of convert: 0 every page written, 1 pages were left out; of both: 2
bad arguments.
"""

from __future__ import annotations

import getopt
import io
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import cast, get_args

from kie_ray.datasets.annotations import read_annotations
from kie_ray.datasets.funsd import Level
from kie_ray.datasets.gold import LabelFileError, LabelReport
from kie_ray.datasets.paddleocr import write_labels
from kie_ray.datasets.statistics import describe, gather, listing
from kie_ray.encoding.labels import LabelSet
from kie_ray.errors import ConfigError
from kie_ray.records import Page

Options = dict[str, str]


def main(arguments: list[str]) -> int:
    """Run one command line and return its exit status, see the module."""
    if any(argument in ("-h", "--help") for argument in arguments):
        print(__doc__)
        return 0
    try:
        name, *rest = arguments or [""]
        if name not in COMMANDS:
            raise ConfigError(f"command {name!r} should be {' or '.join(COMMANDS)}; --help tells more")
        run, allowed = COMMANDS[name]
        pairs, files = getopt.gnu_getopt(rest, "", [f"{option}=" for option in allowed])
        if len(files) != 1:
            raise ConfigError(f"{name} needs one FILE, found {len(files)}; --help tells more")
        file = Path(files[0])
        if not file.exists():
            raise ConfigError(f"{file} does not exist")
        return run(file, {option.removeprefix("--"): value for option, value in pairs})
    except (ConfigError, getopt.GetoptError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def validate(file: Path, options: Options) -> int:
    """Print the statistics of `file`; status 1 when there is a problem."""
    images = options.get("images")
    if images is not None and not Path(images).is_dir():
        raise ConfigError(f"--images {images} is not a folder")
    classes = LabelSet.from_classes(options["classes"].split(",")) if "classes" in options else None
    pages, report = _read(file, options)
    found = gather(pages, report, images=images, classes=classes)
    print(f"{file}\n{describe(found)}")
    if "json" in options:
        content = json.dumps({"file": str(file), **asdict(found)}, ensure_ascii=False, indent=2)
        # A lone surrogate of a bad line becomes the escape that json has for it.
        Path(options["json"]).write_text(content + "\n", encoding="utf-8", errors="backslashreplace")
    return 1 if found.problems else 0


def convert(file: Path, options: Options) -> int:
    """Write `file` as a PaddleOCR label file; status 1 when a page could not be read."""
    if "output" not in options:
        raise ConfigError("convert needs --output LABELS.txt")
    output = Path(options["output"])
    if output.resolve() == file.resolve() or output.is_dir():
        raise ConfigError(f"--output {output} must be another file than the one that is read, and no folder")
    pages, report = _read(file, options)
    if pages:
        write_labels(pages, output)
        lines, links = sum(len(page.lines) for page in pages), sum(len(page.links) for page in pages)
        print(f"wrote {output}: pages {len(pages)}, lines {lines}, links {links}")
    else:
        print(f"{file} holds no page that can be read: {output} was not written")
    for what, items in (
        ("bad lines", report.bad_lines),
        ("dropped links", report.dropped_links),
        ("left out", report.left_out),
    ):
        print("\n".join(listing(what, items)), end="\n" if items else "")
    return 0 if pages and not report.bad_lines else 1


COMMANDS: dict[str, tuple[Callable[[Path, Options], int], tuple[str, ...]]] = {
    "validate": (validate, ("images", "classes", "level", "json")),
    "convert": (convert, ("output", "level")),
}


def _read(file: Path, options: Options) -> tuple[list[Page], LabelReport]:
    """The pages that are good; a file that is wrong as a whole is one bad line."""
    level = options.get("level")
    if level is not None and level not in get_args(Level):
        raise ConfigError(f"--level {level!r} should be {' or '.join(get_args(Level))}")
    if level is not None and not file.is_dir():
        raise ConfigError(f"--level is for FUNSD folders; {file} is read as it was annotated")
    try:
        return read_annotations(file, strict=False, level=cast(Level | None, level))
    except LabelFileError as error:
        return [], LabelReport(bad_lines=[str(error)])


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of pages may be in any script, terminals are not
    sys.exit(main(sys.argv[1:]))
