"""SER, RE and fields for pages that have lines: labels, links and fields are filled in, whatever read the lines.

Batch, online, notebook, evaluation and training progress all come through here.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kie_ray.decoding.fields import build_fields
from kie_ray.decoding.re import candidate_pairs, score_pairs, select_links
from kie_ray.decoding.ser import decode_ser, vote_paddle
from kie_ray.encoding import EncodedPage, LabelSet, PageEncoder, Window
from kie_ray.encoding.batching import batches_by_tokens, collate
from kie_ray.encoding.page_image import model_images
from kie_ray.errors import Category, DocumentError, ErrorItem, Stage
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_info import BundleInfo, Task
from kie_ray.records import OTHER, Page

if TYPE_CHECKING:
    from kie_ray.models.bundle_models import KieModels
    from kie_ray.models.kie_model import KieModel

IMAGES_PER_BATCH = 4


@dataclass(slots=True)
class _Encoded:
    """What one encoder pass leaves of a page: BIO probabilities a token and line, a state a line."""

    probabilities: list[Tensor]
    line_index: list[Tensor]
    states: Tensor
    state_counts: Tensor


class Annotator:
    """Runs the models of one bundle over pages.

    Args:
        info: labels and rules.
        encoder: prepares pages as the models were trained.
        models: SER and/or RE; a shared encoder runs once for both.
        tokens_per_batch: padded tokens that go through the encoder together; None for what suits the models.
    """

    def __init__(
        self, info: BundleInfo, encoder: PageEncoder, models: KieModels, tokens_per_batch: int | None = None
    ) -> None:
        self.info = info
        self.encoder = encoder
        self.models = models
        self.labels = LabelSet.from_classes(info.labels)
        self.tokens_per_batch = tokens_per_batch
        self.timings: dict[str, float] = defaultdict(float)
        """Busy seconds by stage (ser, re, fields) since the start; a shared encoder counts as ser."""

    @classmethod
    def from_bundle(
        cls,
        bundle: Bundle,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        tasks: Collection[Task] = ("ser", "re"),
        *,
        inference_only: bool = False,
    ) -> Annotator:
        """Load a bundle's tokenizer and its models for `tasks` onto `device`; `inference_only`: see `load_models`."""
        # Not above: ONNX Runtime's models do without transformers, which takes 2 s to import.
        from kie_ray.models.bundle_models import load_models

        models = load_models(bundle, device, dtype, tasks, inference_only=inference_only)
        return cls(bundle.info, page_encoder(bundle), models)

    def annotate(self, pages: Sequence[Page]) -> None:
        """SER, RE and fields, in place, by the models that are there. Lines keep their order and ids.

        Without a SER model the lines' labels are taken as they are; without a RE model no page has links.

        Raises:
            DocumentError: a model looks at page images, and a page with text has no `pixels`.
        """
        encoded = self.encoder.encode_pages(pages)
        states = self._label(pages, encoded) if self.models.ser else None
        if self.models.re:
            self._relate(pages, encoded, states if self.models.shared else None)
        self._fields(pages, encoded)

    def label(self, pages: Sequence[Page]) -> None:
        """SER only: label and score of every line, in place. Raises DocumentError as `annotate`."""
        self._label(pages, self.encoder.encode_pages(pages))

    def relate(self, pages: Sequence[Page]) -> None:
        """RE and fields from the labels that the lines have (gold or predicted), in place. Raises as `annotate`."""
        encoded = self.encoder.encode_pages(pages)
        self._relate(pages, encoded, None)
        self._fields(pages, encoded)

    @torch.inference_mode()
    def image_features(self, model: KieModel, pages: Sequence[Page]) -> Tensor | None:
        """What `model` sees of the pages, float [P, ...] on its device; None where it looks at no image.

        Raises:
            DocumentError: a page has no `pixels`.
        """
        if not model.uses_image or not pages:
            return None
        resized = [self._pixels(model, page) for page in pages]
        features = []
        for start in range(0, len(resized), IMAGES_PER_BATCH):
            images = model_images(resized[start : start + IMAGES_PER_BATCH], self.info.image)
            features.append(model.image_features(images.to(model.device, model.dtype)))
        return torch.cat(features)

    def _pixels(self, model: KieModel, page: Page) -> NDArray[np.uint8]:
        if page.pixels is None:
            message = (
                f"page {page.index} of {page.source or 'a document'} has no pixels, and bundle {self.info.name} looks "
                f"at page images: Page.pixels must hold resize_page(..., {self.info.image!r})"
            )
            stage = Stage.SER if model.has_ser else Stage.RE
            raise DocumentError(ErrorItem.of(stage, Category.INTERNAL, message, page=page.index))
        return page.pixels

    def _label(self, pages: Sequence[Page], encoded: Sequence[EncodedPage]) -> list[_Encoded]:
        started = time.perf_counter()
        assert self.models.ser is not None
        results = self._encode(self.models.ser, pages, encoded, ser=True)
        for page, result in zip(pages, results, strict=True):
            probabilities = (
                torch.cat(result.probabilities) if result.probabilities else torch.zeros(0, self.labels.num_labels)
            )
            index = torch.cat(result.line_index) if result.line_index else torch.zeros(0, dtype=torch.int64)
            decoded = decode_ser(probabilities, index, len(page.lines), self.labels)
            ids, scores = decoded.class_ids, decoded.scores
            if self.info.ser_rule == "vote":
                ids = vote_paddle(probabilities.argmax(-1).numpy(), index.numpy(), len(page.lines), self.labels)
                scores = decoded.class_probabilities[np.arange(len(ids)), ids]
            for line, class_id, score in zip(page.lines, ids.tolist(), scores.tolist(), strict=True):
                line.label, line.label_score = self.labels.classes[class_id], score
        self.timings["ser"] += time.perf_counter() - started
        return results

    def _relate(self, pages: Sequence[Page], encoded: Sequence[EncodedPage], known: Sequence[_Encoded] | None) -> None:
        started = time.perf_counter()
        model = self.models.re
        assert model is not None
        results = known if known is not None else self._encode(model, pages, encoded, ser=False)
        for page, item, result in zip(pages, encoded, results, strict=True):
            page.links = []
            # A blank line has no token, so no state, and takes part in no pair.
            names = [
                line.label if count else OTHER
                for line, count in zip(page.lines, result.state_counts.tolist(), strict=True)
            ]
            pairs = candidate_pairs(names, self.info.relation_pairs)
            if len(pairs):
                scored = score_pairs(self._pair_logits(model, page, item, result, pairs), pairs)
                page.links = select_links(
                    scored,
                    [line.id for line in page.lines],
                    threshold=self.info.re_threshold,
                    rule=self.info.re_rule,
                    order=item.order,
                )
        self.timings["re"] += time.perf_counter() - started

    def _fields(self, pages: Sequence[Page], encoded: Sequence[EncodedPage]) -> None:
        started = time.perf_counter()
        for page, item in zip(pages, encoded, strict=True):
            page.fields = build_fields(page, order=item.order, relation_pairs=self.info.relation_pairs)
        self.timings["fields"] += time.perf_counter() - started

    @torch.inference_mode()
    def _encode(
        self, model: KieModel, pages: Sequence[Page], encoded: Sequence[EncodedPage], ser: bool
    ) -> list[_Encoded]:
        width = model.config.hidden_size
        results = [
            _Encoded([], [], torch.zeros(len(page.lines), width), torch.zeros(len(page.lines))) for page in pages
        ]
        windows = [window for item in encoded for window in item.windows]
        owner = [number for number, item in enumerate(encoded) for _ in item.windows]
        seen = sorted(set(owner))
        features = self.image_features(model, [pages[number] for number in seen])
        place_of = {number: place for place, number in enumerate(seen)}
        for rows in batches_by_tokens(windows, self.tokens_per_batch or model.tokens_at_once):
            batch = collate([windows[row] for row in rows], self.encoder.tokenizer.pad_id).to(model.device)
            shown = None if features is None else features[[place_of[owner[row]] for row in rows]]
            hidden = model.encode(batch.input_ids, batch.bbox, batch.attention_mask, image_features=shown)
            probabilities = torch.softmax(model.ser_logits(hidden).float(), -1).cpu() if ser else None
            states = hidden.float().cpu()
            for place, row in enumerate(rows):
                window, page = windows[row], owner[row]
                if probabilities is not None:
                    results[page].probabilities.append(probabilities[place, : len(window)])
                    results[page].line_index.append(torch.from_numpy(window.line_index))
                lines, tokens = _first_tokens(encoded[page], window)
                results[page].states[lines] += states[place, tokens]  # a line begins once in a window
                results[page].state_counts[lines] += 1
        for result in results:
            result.states /= result.state_counts.clamp(min=1)[:, None]
        return results

    @torch.inference_mode()
    def _pair_logits(
        self, model: KieModel, page: Page, item: EncodedPage, result: _Encoded, pairs: NDArray[np.int64]
    ) -> Tensor:
        lines, local = np.unique(pairs, return_inverse=True)
        rank = np.empty(len(page.lines), np.int64)
        rank[item.order] = np.arange(len(page.lines))
        names = self.info.entity_labels
        size = (1000 / page.width, 1000 / page.height) * 2
        boxes = [[value * factor for value, factor in zip(page.lines[i].box, size, strict=True)] for i in lines]
        device, dtype = model.device, model.dtype
        return model.re_logits(
            result.states[torch.from_numpy(lines)].to(device, dtype),
            torch.tensor([names.index(page.lines[i].label) for i in lines], device=device),
            torch.from_numpy(local.reshape(pairs.shape)).to(device),
            boxes=torch.tensor(boxes, dtype=torch.float32, device=device),
            order=torch.from_numpy(rank[lines]).to(device),
        ).cpu()


def page_encoder(bundle: Bundle) -> PageEncoder:
    """The bundle's tokenizer and rules of encoding."""
    info = bundle.info
    return PageEncoder(
        bundle.load_tokenizer(),
        bundle.label_set,
        reading_order=info.reading_order,
        max_tokens=info.max_tokens,
        overlap_tokens=info.overlap_tokens,
        clamp=info.clamp_boxes,
    )


def _first_tokens(item: EncodedPage, window: Window) -> tuple[Tensor, Tensor]:
    """Lines whose first token lies in the window, and where in the window it is; int64 [K] each."""
    starts = np.array(list(item.first_token.values()), np.int64)
    lines = np.array(list(item.first_token.keys()), np.int64)
    inside = (starts >= window.start) & (starts < window.start + len(window))
    return torch.from_numpy(lines[inside]), torch.from_numpy(starts[inside] - window.start)
