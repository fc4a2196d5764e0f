"""One reader for every format of annotations, chosen from the content."""

from __future__ import annotations

from pathlib import Path

from kie_ray.datasets.funsd import Level, read_funsd_with_report
from kie_ray.datasets.gold import LabelFileError, LabelReport, collect_pages, read_document
from kie_ray.datasets.label_studio import task_records
from kie_ray.datasets.paddleocr import label_records, xfund_records
from kie_ray.records import Page


def read_annotations(
    path: str | Path, strict: bool = True, *, level: Level | None = None
) -> tuple[list[Page], LabelReport]:
    """Gold pages of a PaddleOCR or PPOCRLabel label file, XFUND json, Label Studio JSON export or FUNSD folder.

    A folder is FUNSD's; a file that is a json object is XFUND's, a json list is Label Studio's, anything else is a
    label file. Pages know their size (pixels) where the file says it, FUNSD's from its images, otherwise it is 0.

    Args:
        strict: a malformed page is an error; otherwise it is skipped and stands in the report's `bad_lines`.
        level: of FUNSD, see `read_funsd`; None is "line". The other formats have one level.

    Raises:
        LabelFileError: names file, line number (document, task) and reason; or `level` does not fit.
    """
    file = Path(path)
    if file.is_dir():
        return read_funsd_with_report(file, level or "line", strict=strict)
    document = read_document(file)
    if level is not None:
        raise LabelFileError(f"level {level!r} is for FUNSD folders; {file} is read as it was annotated")
    if isinstance(document, str):
        records = label_records(document)
    elif isinstance(document, dict):
        records = xfund_records(file, document)
    else:
        records = task_records(document)
    return collect_pages(file, records, strict=strict)
