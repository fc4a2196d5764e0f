"""Annotated pages from files."""

from kie_ray.datasets.funsd import read_funsd
from kie_ray.datasets.paddleocr import LabelFileError, read_labels, read_labels_with_report, with_sizes, write_labels

__all__ = ["LabelFileError", "read_funsd", "read_labels", "read_labels_with_report", "with_sizes", "write_labels"]
