"""The pictures of an evaluation in one folder: errors.html, confusion.png, reliability.png."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kie_ray.annotator import Annotator
from kie_ray.datasets.images import find_image
from kie_ray.drawing.charts import write_confusion, write_reliability
from kie_ray.drawing.errors_page import ImageOf, write_errors_page
from kie_ray.errors import DocumentError, ErrorItem
from kie_ray.evaluation import Findings, predict
from kie_ray.metrics.calibration import label_calibration, link_calibration
from kie_ray.metrics.confusion import ser_confusion
from kie_ray.reading import Reader
from kie_ray.records import Page, PageImage

logger = logging.getLogger(__name__)


def report_evaluation(annotator: Annotator, gold: Sequence[Page], images: Path | None, folder: Path) -> None:
    """What the models make of held-out gold lines, for a person: errors.html, confusion.png and reliability.png.

    Args:
        annotator: SER, RE or both; without SER the gold labels are taken, without RE links are left out.
        gold: annotated pages with their sizes.
        images: folder of their scans; None, or a scan that is not in it: the lines are drawn as text on white.
        folder: made when missing.
    """
    predicted = predict(annotator, gold)
    pairs = annotator.info.relation_pairs if annotator.models.re is not None else []
    calibrations = {}
    if annotator.models.ser is not None:
        calibrations["line labels"] = label_calibration(gold, predicted)
    if pairs:
        calibrations["links"] = link_calibration(gold, predicted, pairs)
    findings = Findings(list(gold), predicted, pairs, calibrations)
    title = f"Errors of {annotator.info.name}"
    write_evaluation_report(folder, findings, images=images, classes=annotator.labels.classes, title=title)


def write_evaluation_report(
    folder: Path, findings: Findings, *, images: Path | None, classes: Sequence[str], title: str
) -> None:
    """Write errors.html (with errors/), confusion.png and reliability.png into `folder`, which is made when missing.

    Args:
        images: folder of the scans; None, or a scan that is not in it: the lines are drawn as text on white.
        classes: label set of the bundle, in its order.
        title: of errors.html.
    """
    with _scans(images) as image_of:
        write_errors_page(
            folder,
            findings.gold,
            findings.predicted,
            relation_pairs=findings.relation_pairs,
            image_of=image_of,
            classes=classes,
            title=title,
        )
    write_confusion(ser_confusion(findings.gold, findings.predicted, classes), folder / "confusion.png")
    write_reliability(findings.calibrations, folder / "reliability.png")


@contextmanager
def _scans(images: Path | None) -> Iterator[ImageOf]:
    """Reads the scan of a page; one that is missing or damaged is logged, and its page drawn without."""
    if images is None:
        yield lambda page: None
        return
    with Reader() as reader:

        def read(page: Page) -> PageImage | None:
            file = find_image(page.source, images)
            reason = f"{images} does not hold it"
            if file is not None:
                try:
                    image = next(reader.read(file.read_bytes(), page.source, page.index, page.index))
                    if not isinstance(image, ErrorItem):
                        return image
                    reason = image.message
                except (DocumentError, OSError) as error:
                    reason = str(error)
            logger.warning("page %s is drawn without its scan: %s", page.source, reason)
            return None

        yield read
