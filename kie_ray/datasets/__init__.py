"""Annotated pages from files."""

from kie_ray.datasets.annotations import read_annotations
from kie_ray.datasets.funsd import read_funsd
from kie_ray.datasets.gold import LabelFileError, LabelReport
from kie_ray.datasets.images import with_sizes
from kie_ray.datasets.label_studio import read_label_studio
from kie_ray.datasets.paddleocr import read_labels, read_labels_with_report, write_labels

__all__ = [
    "LabelFileError",
    "LabelReport",
    "read_annotations",
    "read_funsd",
    "read_label_studio",
    "read_labels",
    "read_labels_with_report",
    "with_sizes",
    "write_labels",
]
