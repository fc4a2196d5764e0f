"""A bundle's ONNX files behind the interface of `KieModel`: same arguments, same results, no transformers.

Every window runs by itself and without its padding. So a page's result does not depend on what shares its batch, which
int8 files would make it do (their scales follow from all values of a tensor), and no time goes into padding. Several
windows run side by side, one thread each: that uses the cores better than all threads on the operators of one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from kie_ray.errors import ConfigError
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_info import BundleError, Task
from kie_ray.models.runtime import IMAGE_FILE, ONNX_DIR, RE_ENCODER_FILE, RE_FILE, RE_IMAGE_FILE, SER_FILE

PARTS_AT_ONCE = 4
"""Parts of a page's pairs that go through the RE graph together."""


@dataclass(frozen=True)
class OnnxConfig:
    """`hidden_size`: H of the encoder."""

    hidden_size: int


@dataclass(frozen=True)
class OnnxModels:
    """As `KieModels`: one object for both tasks where they share an encoder."""

    ser: OnnxKieModel | None
    re: OnnxKieModel | None
    shared: bool


def load_onnx_models(bundle: Bundle, tasks: Collection[Task] = ("ser", "re")) -> OnnxModels:
    """Open the ONNX files for those of `tasks` that the bundle has, with as many threads as torch uses here.

    Raises:
        BundleError: a file is missing or is none that ONNX Runtime can load.
    """
    wanted = set(tasks) & set(bundle.info.tasks)
    folder = bundle.path / ONNX_DIR
    if bundle.shared:
        both = OnnxKieModel(folder / SER_FILE, folder / RE_FILE, folder / IMAGE_FILE)
        return OnnxModels(both if "ser" in wanted else None, both if "re" in wanted else None, len(wanted) == 2)
    ser = OnnxKieModel(folder / SER_FILE, None, folder / IMAGE_FILE) if "ser" in wanted else None
    re = None
    if "re" in wanted:
        re = OnnxKieModel(folder / RE_ENCODER_FILE, folder / RE_FILE, folder / RE_IMAGE_FILE)
    return OnnxModels(ser, re, False)


class OnnxKieModel:
    """One encoder and its heads in ONNX Runtime, on the CPU. Not thread-safe.

    Args:
        encoder: file of the encoder, with the SER head or without.
        relations: file of the RE head; None for a model without.
        image: file of the image branch, needed where the encoder takes `image_features`.
        threads: windows at a time, or of one operator where there is one window; None for torch's number.
    """

    device = torch.device("cpu")
    dtype = torch.float32
    tokens_at_once = 16_384
    """As `KieModel.tokens_at_once`; nothing is padded, and enough windows for every thread are wanted."""

    def __init__(self, encoder: Path, relations: Path | None, image: Path, threads: int | None = None) -> None:
        self._threads = count = threads or torch.get_num_threads()
        self._file = encoder
        self._encoder = _session(encoder, count)
        self._relations = None if relations is None else _RelationSession(_session(relations, count))
        outputs = [item.name for item in self._encoder.get_outputs()]
        self._inputs = [item.name for item in self._encoder.get_inputs()]
        self.has_ser = "logits" in outputs
        self.has_re = relations is not None
        self.uses_image = "image_features" in self._inputs
        self._image = _session(image, count) if self.uses_image else None
        self._outputs = ["logits", "hidden"] if self.has_ser else ["hidden"]
        self._size = {item.name: item.shape[-1] for item in self._encoder.get_outputs()}
        self.config = OnnxConfig(self._size["hidden"])
        self._last: tuple[Tensor, Tensor] | None = None

    def image_features(self, images: Tensor) -> Tensor:
        """See `KieModel.image_features`."""
        if self._image is None:
            raise ConfigError("these ONNX files have no image branch: they take no image")
        return torch.from_numpy(self._image.run(["image_features"], {"image": images.numpy()})[0])

    def encode(
        self,
        input_ids: Tensor,
        bbox: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        image_features: Tensor | None = None,
    ) -> Tensor:
        """See `KieModel.encode`: float [B, T, H]; rows of padding behind a window's last token are 0.

        Raises:
            ConfigError: token types other than 0, or image features where the model takes none or the other way round.
        """
        if token_type_ids is not None and bool(token_type_ids.any()):
            raise ConfigError("the ONNX files were exported for token type 0: leave token_type_ids out")
        if self.uses_image != (image_features is not None):
            raise ConfigError(
                "these ONNX files see the page's pixels: pass image_features, one row a window"
                if self.uses_image
                else "these ONNX files have no image branch: they take no image_features"
            )
        rows, width = input_ids.shape
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask.to(torch.int64)
        arrays = {"input_ids": input_ids.numpy(), "bbox": bbox.numpy(), "attention_mask": mask.numpy()}
        results = {name: np.zeros((rows, width, self._size[name]), np.float32) for name in self._outputs}

        def run(row: int, session: onnxruntime.InferenceSession) -> None:
            used = np.flatnonzero(arrays["attention_mask"][row])
            if len(used) == 0:
                return
            length = int(used[-1]) + 1
            feed = {name: array[row : row + 1, :length] for name, array in arrays.items()}
            if image_features is not None:
                feed["image_features"] = image_features[row : row + 1].numpy()
            for name, found in zip(self._outputs, session.run(self._outputs, feed), strict=True):
                results[name][row, :length] = found[0]

        if rows > 1 and self._threads > 1:
            pool, session = self._side_by_side
            list(pool.map(lambda row: run(row, session), range(rows)))
        else:
            for row in range(rows):
                run(row, self._encoder)
        hidden = torch.from_numpy(results["hidden"])
        self._last = (hidden, torch.from_numpy(results["logits"])) if self.has_ser else None
        return hidden

    @cached_property
    def _side_by_side(self) -> tuple[ThreadPoolExecutor, onnxruntime.InferenceSession]:
        """Threads, and the encoder once more for all of them: a session's threads are set when it is opened."""
        return ThreadPoolExecutor(self._threads, thread_name_prefix="window"), _session(self._file, 1)

    def ser_logits(self, hidden: Tensor) -> Tensor:
        """The logits of what `encode` gave last, float [B, T, num_labels]: one run of the file gives both.

        Raises:
            TypeError: a model without SER head.
            ValueError: `hidden` is not what the last call of `encode` returned.
        """
        if not self.has_ser:
            raise TypeError("these ONNX files have no SER head")
        if self._last is None or self._last[0] is not hidden:
            raise ValueError("ser_logits takes the tensor that the last call of encode returned, and no other")
        return self._last[1]

    def re_logits(
        self, states: Tensor, labels: Tensor, pairs: Tensor, boxes: Tensor | None = None, order: Tensor | None = None
    ) -> Tensor:
        """Scores of entity pairs, float [P, 2]: see `ReHead.forward`. More than fit at once run in parts.

        Raises:
            TypeError: a model without RE head.
            ValueError: the head has a geometry part, and boxes or order are missing.
        """
        if self._relations is None:
            raise TypeError("these ONNX files have no RE head")
        return torch.from_numpy(
            self._relations.score(
                states.numpy(),
                labels.numpy(),
                pairs.numpy(),
                None if boxes is None else boxes.numpy(),
                None if order is None else order.numpy(),
            )
        )


class _RelationSession:
    """Fills the RE graph's padded tensors."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        shapes = {item.name: item.shape for item in session.get_inputs()}
        self.geometry = "entity_boxes" in shapes
        self.entities: int = shapes["entity_tokens"][1]
        self.pairs: int = shapes["pairs"][1]

    def score(
        self,
        states: NDArray[np.float32],
        labels: NDArray[np.int64],
        pairs: NDArray[np.int64],
        boxes: NDArray[Any] | None,
        order: NDArray[np.int64] | None,
    ) -> NDArray[np.float32]:
        """Float32 [P, 2]; see `OnnxKieModel.re_logits`."""
        if self.geometry and (boxes is None or order is None):
            raise ValueError("this RE head has a geometry part: pass boxes [E, 4] in 0..1000 and order [E]")
        logits = np.zeros((len(pairs), 2), np.float32)
        parts = list(split_pairs(pairs, self.entities, self.pairs))
        for start in range(0, len(parts), PARTS_AT_ONCE):
            some = parts[start : start + PARTS_AT_ONCE]
            used = [np.unique(pairs[rows]) for rows in some]
            shape = (len(some), self.entities)
            feed: dict[str, NDArray[Any]] = {
                "hidden": np.zeros((len(some), max(map(len, used)), states.shape[1]), np.float32),
                "entity_tokens": np.zeros(shape, np.int64),
                "entity_labels": np.zeros(shape, np.int64),
                "pairs": np.zeros((len(some), self.pairs, 2), np.int64),
                "pair_count": np.array([len(rows) for rows in some], np.int64),
            }
            if self.geometry:
                feed["entity_boxes"] = np.zeros((*shape, 4), np.float32)
                feed["entity_order"] = np.zeros(shape, np.int64)
            for place, (rows, entities) in enumerate(zip(some, used, strict=True)):
                count = len(entities)
                feed["hidden"][place, :count] = states[entities]
                feed["entity_tokens"][place, :count] = np.arange(count)
                feed["entity_labels"][place, :count] = labels[entities]
                feed["pairs"][place, : len(rows)] = np.searchsorted(entities, pairs[rows])
                if self.geometry:
                    assert boxes is not None
                    assert order is not None
                    feed["entity_boxes"][place, :count] = boxes[entities]
                    feed["entity_order"][place, :count] = order[entities]
            found = self._session.run(["logits"], feed)[0]
            for place, rows in enumerate(some):
                logits[rows] = found[place, : len(rows)]
        return logits


def split_pairs(pairs: NDArray[np.int64], max_entities: int, max_pairs: int) -> Iterator[NDArray[np.int64]]:
    """Cut a page's pairs into parts that fit the RE graph.

    More entities than fit are dealt into blocks: half of the places for heads, half for tails.

    Args:
        pairs: int64 [P, 2], indices of entities.
        max_entities: different entities in one part, at least 2.
        max_pairs: pairs in one part.

    Yields:
        int64 [K] rows of `pairs`; every row once.
    """
    if len(np.unique(pairs)) <= max_entities:
        blocks = [np.arange(len(pairs))]
    else:
        half = max_entities // 2
        head, tail = (np.unique(column, return_inverse=True)[1].ravel() // half for column in pairs.T)
        block = head * (int(tail.max()) + 1) + tail
        rows = np.argsort(block, kind="stable")
        blocks = np.split(rows, np.flatnonzero(np.diff(block[rows])) + 1)
    for rows in blocks:
        for start in range(0, len(rows), max_pairs):
            yield rows[start : start + max_pairs]


def _session(file: Path, threads: int) -> onnxruntime.InferenceSession:
    if not file.is_file():
        raise BundleError(f"{file} is missing: export the bundle again with jobs/export.py")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Actors share the cores: threads that spin between two windows take them from others.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library raises classes of its own, all derived from Exception only
        raise BundleError(f"{file} cannot be loaded by ONNX Runtime: {' '.join(str(error).split())}") from error
