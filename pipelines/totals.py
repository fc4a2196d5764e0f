"""What finalize counts on its way through documents/: totals of parts of a run, and their sum."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kie_ray.records import OTHER
from kie_ray.schemas import TIMED_STAGES

SCORE_BINS = 20
"""Bins of equal width from 0 to 1, the last one closed on both sides."""

SCORES = ("ocr_score", "label_score", "field_score")


def _no_scores() -> dict[str, NDArray[np.int64]]:
    return {name: np.zeros(SCORE_BINS, np.int64) for name in SCORES}


@dataclass
class Totals:
    """Sums over documents. A document with an error counts as failed, and as partial too where any page has a result.

    `busy`: seconds a stage; `scores`: int64 [SCORE_BINS] histograms, of `ocr_score` over all lines, of `label_score`
    over the lines with a label, of `field_score` over all fields.
    """

    documents: int = 0
    failed: int = 0
    partial: int = 0
    pages: int = 0
    fields: int = 0
    entities: int = 0
    busy: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TIMED_STAGES, 0.0))
    errors_by_category: Counter[str] = field(default_factory=Counter)
    scores: dict[str, NDArray[np.int64]] = field(default_factory=_no_scores)

    @property
    def succeeded(self) -> int:
        return self.documents - self.failed

    def add_documents(self, documents: pa.Table) -> None:
        """Count rows of DOCUMENT_SCHEMA but for their errors. A document of several rows counts where it starts."""
        self.documents += _sum(pc.equal(documents["first_page"], 0))
        self.pages += _sum(pc.list_value_length(documents["pages"]))
        for stage in TIMED_STAGES:
            self.busy[stage] += pc.sum(pc.struct_field(documents["timings"], stage)).as_py() or 0.0

    def add_fields(self, fields: pa.Table) -> None:
        """Count rows of FIELDS_SCHEMA."""
        self.fields += fields.num_rows
        self.scores["field_score"] += score_histogram(fields["score"])

    def add_entities(self, entities: pa.Table) -> None:
        """Count rows of ENTITIES_SCHEMA."""
        self.entities += entities.num_rows
        self.scores["ocr_score"] += score_histogram(entities["ocr_score"])
        labelled = pc.not_equal(entities["label"], OTHER)
        self.scores["label_score"] += score_histogram(entities["label_score"].filter(labelled))

    def add_errors(self, errors: pa.Table) -> None:
        """Count rows of ERRORS_SCHEMA, one a document."""
        self.failed += errors.num_rows
        self.partial += _sum(pc.equal(errors["status"], "partial"))
        for item in pc.value_counts(errors["category"]).to_pylist():
            self.errors_by_category[item["values"]] += item["counts"]

    def merge(self, other: Totals) -> None:
        """Add the totals of other documents."""
        for name in ("documents", "failed", "partial", "pages", "fields", "entities"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for stage, seconds in other.busy.items():
            self.busy[stage] += seconds
        self.errors_by_category.update(other.errors_by_category)
        for name, histogram in other.scores.items():
            self.scores[name] += histogram


def score_histogram(scores: pa.ChunkedArray) -> NDArray[np.int64]:
    """int64 [SCORE_BINS]: how many of the scores (0..1) fall into each bin; what is null or no number into none."""
    values = scores.to_numpy().astype(np.float64)
    values = values[np.isfinite(values)]
    bins = np.clip((values * SCORE_BINS).astype(np.int64), 0, SCORE_BINS - 1)
    return np.bincount(bins, minlength=SCORE_BINS)


def _sum(values: pa.ChunkedArray) -> int:
    return int(pc.sum(values).as_py() or 0)
