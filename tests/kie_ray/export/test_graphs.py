"""The modules that are traced compute what the models compute."""

from __future__ import annotations

import pytest
import torch

from kie_ray.export.graphs import EncoderGraph, ImageGraph, RelationGraph, expressible
from kie_ray.models.heads import ReHead
from kie_ray.models.kie_model import KieModel
from kie_ray.models.layoutlm import LayoutLMConfig, LayoutLMForSer
from kie_ray.models.layoutlmv2 import LayoutLMv2ForKie, LayoutLMv2ForRe
from tests.kie_ray.models.model_samples import images, inputs, small_config, visual_config


def padded_inputs(batch: int = 3, length: int = 40) -> dict[str, torch.Tensor]:
    given = inputs(batch, length)
    given["attention_mask"][1, 25:] = 0
    given["attention_mask"][2, 1:] = 0
    return given


@pytest.mark.parametrize("sequence", [True, False])
@pytest.mark.parametrize("spatial", [True, False])
def test_the_encoder_with_and_without_bias(sequence: bool, spatial: bool) -> None:
    torch.manual_seed(0)
    config = small_config(has_relative_attention_bias=sequence, has_spatial_attention_bias=spatial, max_rel_pos=20)
    model = LayoutLMv2ForKie(config).eval()
    given = padded_inputs()
    used = given["attention_mask"].bool()
    with torch.no_grad():
        hidden = model.encode(**given)
        with expressible(model):
            logits, found = EncoderGraph(model)(**given)
        assert torch.equal(model.encode(**given), hidden)
    torch.testing.assert_close(found[used], hidden[used], rtol=0, atol=1e-5)
    torch.testing.assert_close(logits[used], model.ser_logits(hidden)[used], rtol=0, atol=1e-5)


def test_the_other_family_and_models_without_ser_head() -> None:
    torch.manual_seed(0)
    fields = {"vocab_size": 200, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_labels": 7}
    v1 = LayoutLMForSer(LayoutLMConfig(**fields, intermediate_size=96)).eval()
    given = padded_inputs()
    used = given["attention_mask"].bool()
    models: list[KieModel] = [v1, LayoutLMv2ForRe(small_config()).eval()]
    for model in models:
        with torch.no_grad(), expressible(model):
            *rest, found = EncoderGraph(model)(**given)
        with torch.no_grad():
            hidden = model.encode(**given)
        torch.testing.assert_close(found[used], hidden[used], rtol=0, atol=1e-5)
        assert len(rest) == (1 if model.has_ser else 0)


def test_a_model_that_sees_the_page() -> None:
    torch.manual_seed(0)
    model = LayoutLMv2ForKie(visual_config()).eval()
    given = padded_inputs()
    used = given["attention_mask"].bool()
    with torch.no_grad():
        features = ImageGraph(model)(images(3))
        hidden = model.encode(**given, image_features=features)
        with expressible(model):
            _, found = EncoderGraph(model)(**given, image_features=features)
    torch.testing.assert_close(found[used], hidden[used], rtol=0, atol=1e-5)


@pytest.mark.parametrize("geometry", [0, 8])
def test_padded_pages_of_pairs(geometry: int) -> None:
    torch.manual_seed(0)
    head = ReHead(48, 3, 0.0, geometry).eval()
    hidden = torch.randn(3, 20, 48)
    tokens = torch.randint(0, 20, (3, 6))
    labels = torch.randint(0, 3, (3, 6))
    pairs = torch.randint(0, 6, (3, 10, 2))
    counts = torch.tensor([10, 4, 0])
    corner = torch.rand(3, 6, 2) * 500
    boxes = torch.cat([corner, corner + torch.rand(3, 6, 2) * 400], dim=-1)
    order = torch.stack([torch.randperm(6) for _ in range(3)])
    extra = (boxes, order) if geometry else ()
    with torch.no_grad():
        logits, scores = RelationGraph(head)(hidden, tokens, labels, pairs, counts, *extra)
        for page, count in enumerate(counts.tolist()):
            wanted = head(hidden[page, tokens[page]], labels[page], pairs[page, :count], boxes[page], order[page])
            torch.testing.assert_close(logits[page, :count], wanted, rtol=0, atol=1e-5)
            torch.testing.assert_close(scores[page, :count], wanted.softmax(-1)[:, 1], rtol=0, atol=1e-5)
            assert scores[page, count:].eq(0).all()
            assert logits[page, count:].isfinite().all()
