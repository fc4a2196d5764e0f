"""Models that look at page images: each window gets its own page's features, computed once a page."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kie_ray.annotator import IMAGES_PER_BATCH, Annotator
from kie_ray.encoding.page_image import IMAGE_SHAPE
from kie_ray.errors import DocumentError, Stage
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_models import KieModels
from kie_ray.models.layoutlmv2 import LayoutLMv2ForKie
from kie_ray.records import OTHER, Line, Page
from tests.job_support import make_bundle


class ColourModel(LayoutLMv2ForKie):
    """Adds the mean colour of its page to every token, and notes how many images each call held."""

    uses_image = True  # type: ignore[assignment]

    def image_features(self, images: Tensor) -> Tensor:
        self.calls.append(len(images))
        return images.mean((2, 3)) / 255

    def encode(  # type: ignore[override]
        self, input_ids: Tensor, bbox: Tensor, attention_mask: Tensor, *, image_features: Tensor
    ) -> Tensor:
        hidden = self.base_model(input_ids, bbox, attention_mask).last_hidden_state
        assert image_features.shape == (len(input_ids), 3)
        return hidden + image_features.repeat(1, hidden.shape[-1] // 3 + 1)[:, None, : hidden.shape[-1]]


@pytest.fixture(scope="module")
def text_only(tmp_path_factory: pytest.TempPathFactory) -> Annotator:
    return Annotator.from_bundle(Bundle.load(make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")))


@pytest.fixture
def looking(text_only: Annotator) -> Annotator:
    assert text_only.models.ser is not None
    model = ColourModel(text_only.models.ser.config)
    model.load_state_dict(text_only.models.ser.state_dict())
    model.calls = []  # type: ignore[assignment]
    info = text_only.info.model_copy(update={"image": "bgr"})
    return Annotator(info, text_only.encoder, KieModels(model.eval(), model, shared=True), tokens_per_batch=256)


def page_of(lines: int, colour: tuple[int, int, int] | None = None) -> Page:
    found = []
    for index in range(lines):
        x, y = 20.0 + 300 * (index % 3), 20.0 + 25 * (index // 3)
        found.append(Line(index, f"Ada {index} Lovelace", (x, y, x + 250, y, x + 250, y + 20, x, y + 20)))
    pixels = None if colour is None else np.full(IMAGE_SHAPE, colour, np.uint8)
    return Page(0, 1000, 1400, found, source=f"{lines}.png", pixels=pixels)


def answers(pages: Sequence[Page]) -> list[Any]:
    return [(line.label, round(line.label_score, 4)) for page in pages for line in page.lines]


def calls(annotator: Annotator) -> list[int]:
    return annotator.models.ser.calls  # type: ignore[union-attr,return-value]


def test_every_window_sees_its_own_page_and_each_page_is_looked_at_once(looking: Annotator) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (90, 20, 200)]
    pages = [page_of(lines, colour) for lines, colour in zip((40, 3, 12, 90, 0, 7), colours, strict=True)]
    assert len(looking.encoder.encode(pages[3]).windows) > 5
    together, alone = deepcopy(pages), deepcopy(pages)
    looking.annotate(together)
    assert calls(looking) == [IMAGES_PER_BATCH, 1]  # the page without lines is not looked at; SER and RE share
    for page in alone:
        looking.annotate([page])
    assert answers(together) == answers(alone)
    assert [page.links for page in together] == [page.links for page in alone]
    for page in pages:
        page.pixels = np.full(IMAGE_SHAPE, 128, np.uint8)
    looking.annotate(pages)
    for grey, coloured in zip(pages, together, strict=True):
        assert not coloured.lines or answers([grey]) != answers([coloured])


def test_two_models_look_for_themselves(looking: Annotator) -> None:
    looking.models = KieModels(looking.models.ser, looking.models.re, shared=False)
    page = page_of(4, (9, 9, 200))
    looking.annotate([page])
    assert calls(looking) == [1, 1]
    looking.label([page])
    looking.relate([page])
    assert calls(looking) == [1] * 4


def test_a_page_without_pixels_is_an_error_that_names_it(looking: Annotator) -> None:
    good, blind = page_of(3, (0, 0, 0)), page_of(4)
    blind.index = 6
    with pytest.raises(DocumentError, match=r"page 6 of 4\.png has no pixels, and bundle tiny-random looks") as raised:
        looking.annotate([good, blind])
    assert (raised.value.item.stage, raised.value.item.page) == (Stage.SER, 6)
    assert {line.label for line in good.lines} == {OTHER}
    blank = page_of(0)
    looking.annotate([blank])  # nothing to say about it, so nothing to look at
    assert blank.fields == []


def test_a_text_only_model_ignores_pixels(text_only: Annotator) -> None:
    seen, unseen = page_of(5, (1, 2, 3)), page_of(5)
    text_only.annotate([seen])
    text_only.annotate([unseen])
    assert answers([seen]) == answers([unseen])
    assert text_only.models.ser is not None
    assert text_only.image_features(text_only.models.ser, [unseen]) is None


def test_the_models_type_and_device_are_those_of_the_images(looking: Annotator) -> None:
    assert looking.models.ser is not None
    model = looking.models.ser.to(torch.bfloat16)
    features = looking.image_features(model, [page_of(1, (255, 0, 51))])
    assert features is not None
    assert features.dtype == torch.bfloat16
    assert features.tolist() == [pytest.approx([0.2, 0.0, 1.0], abs=0.01)]
