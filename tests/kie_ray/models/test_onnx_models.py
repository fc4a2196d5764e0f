"""ONNX files behind the models' interface: any number of entities and pairs, windows that do not touch each other."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from kie_ray.encoding.train_tokenizer import train_tokenizer
from kie_ray.errors import ConfigError
from kie_ray.export import ExportReport, ExportSettings, export_bundle
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_info import BundleError, BundleInfo
from kie_ray.models.bundle_models import KieModels, load_models, save_bundle
from kie_ray.models.kie_model import KieModel
from kie_ray.models.layoutlm import LayoutLMConfig, LayoutLMForKie
from kie_ray.models.layoutlmv2 import LayoutLMv2ForKie
from kie_ray.models.onnx_models import OnnxKieModel, OnnxModels, load_onnx_models, split_pairs
from kie_ray.models.runtime import choose_runtime
from tests.job_support import make_bundle
from tests.kie_ray.models.model_samples import images, visual_config


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """Two models, int8 encoders, and an RE graph so small that a page needs many parts."""
    folder = tmp_path_factory.mktemp("onnx")
    bundle = Bundle.load(make_bundle(folder / "tiny", two_models=True))
    return export_bundle(bundle, folder / "exported", ExportSettings(int8=True, entities=6, pairs=10))


@pytest.fixture(scope="module")
def models(report: ExportReport) -> KieModels:
    return load_models(report.bundle)


@pytest.fixture(scope="module")
def exported(report: ExportReport) -> OnnxModels:
    return load_onnx_models(report.bundle)


def windows(count: int = 3, length: int = 24) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    corner = torch.randint(0, 500, (count, length, 2), generator=generator)
    mask = torch.ones((count, length), dtype=torch.int64)
    for row in range(count):
        mask[row, length - 5 * row :] = 0
    return {
        "input_ids": torch.randint(5, 100, (count, length), generator=generator),
        "bbox": torch.cat([corner, corner + 20], dim=-1),
        "attention_mask": mask,
    }


def test_two_models_give_three_files(report: ExportReport, exported: OnnxModels) -> None:
    assert [file.name for file in report.files] == ["re.onnx", "re_encoder.onnx", "ser.onnx"]
    assert report.int8 is not None
    assert report.int8.largest["ser logits"] > report.float32.largest["ser logits"]
    assert "int8" in (report.bundle.path / "onnx/README.md").read_text()
    assert exported.ser is not None
    assert exported.re is not None
    assert not exported.shared
    assert (exported.ser.has_ser, exported.ser.has_re) == (True, False)
    assert (exported.re.has_ser, exported.re.has_re) == (False, True)
    only = load_onnx_models(report.bundle, ["re"])
    assert only.ser is None
    assert only.re is not None


@pytest.mark.parametrize("threads", [1, 3])
def test_a_window_does_not_see_the_others(report: ExportReport, threads: int) -> None:
    folder = report.bundle.path / "onnx"
    model = OnnxKieModel(folder / "ser.onnx", None, folder / "image.onnx", threads)
    given = windows()
    hidden = model.encode(**given)
    logits = model.ser_logits(hidden)
    for row, length in enumerate(given["attention_mask"].sum(1).tolist()):
        alone = model.encode(**{name: value[row : row + 1, :length] for name, value in given.items()})
        assert torch.equal(alone[0], hidden[row, :length])
        assert torch.equal(model.ser_logits(alone)[0], logits[row, :length])
        assert hidden[row, length:].eq(0).all()


def test_the_number_of_threads_changes_no_bit(report: ExportReport) -> None:
    folder = report.bundle.path / "onnx"
    one, four = (OnnxKieModel(folder / "ser.onnx", None, folder / "image.onnx", threads) for threads in (1, 4))
    for count in (1, 5):
        given = windows(count)
        assert torch.equal(one.encode(**given), four.encode(**given))


def test_a_window_without_a_token_and_no_window(exported: OnnxModels) -> None:
    model = exported.ser
    assert model is not None
    given = windows()
    given["attention_mask"][:] = 0
    assert model.encode(**given).eq(0).all()
    empty = model.encode(**{name: value[:0] for name, value in given.items()})
    assert empty.shape == (0, 24, 32)
    assert model.ser_logits(empty).shape == (0, 24, 7)


@pytest.mark.parametrize("heads", [1, 2, 4, 13])
def test_more_entities_and_pairs_than_the_file_holds(models: KieModels, exported: OnnxModels, heads: int) -> None:
    assert models.re is not None
    assert exported.re is not None
    generator = torch.Generator().manual_seed(heads)
    tails = 9
    states = torch.randn(heads + tails, 32, generator=generator)
    labels = torch.tensor([0] * heads + [1] * tails)
    pairs = torch.cartesian_prod(torch.arange(heads), torch.arange(heads, heads + tails))
    pairs = pairs[torch.randperm(len(pairs), generator=generator)]
    with torch.inference_mode():
        wanted = models.re.re_logits(states, labels, pairs)
    torch.testing.assert_close(exported.re.re_logits(states, labels, pairs), wanted, rtol=0, atol=1e-5)


def test_no_pair(exported: OnnxModels) -> None:
    assert exported.re is not None
    none = torch.zeros((0, 2), dtype=torch.int64)
    assert exported.re.re_logits(torch.zeros(2, 32), torch.tensor([0, 1]), none).shape == (0, 2)
    assert exported.re.re_logits(torch.zeros(0, 32), none[:, 0], none).shape == (0, 2)


def test_parts_hold_every_pair_once() -> None:
    random = np.random.default_rng(0)
    pairs = random.permutation(np.stack(np.divmod(np.arange(40 * 40), 40), axis=1))[:1100]
    parts = list(split_pairs(pairs, 16, 50))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(pairs)))
    assert all(len(part) <= 50 and len(np.unique(pairs[part])) <= 16 for part in parts)
    (one,) = split_pairs(pairs[:5], 16, 50)
    assert one.tolist() == [0, 1, 2, 3, 4]


def test_what_is_asked_for_must_be_there(exported: OnnxModels) -> None:
    ser, re = exported.ser, exported.re
    assert ser is not None
    assert re is not None
    given = windows()
    hidden = ser.encode(**given)
    with pytest.raises(ValueError, match="last call of encode"):
        ser.ser_logits(hidden.clone())
    with pytest.raises(TypeError, match="no SER head"):
        re.ser_logits(re.encode(**given))
    with pytest.raises(TypeError, match="no RE head"):
        ser.re_logits(hidden[0], torch.zeros(24), torch.zeros((1, 2)))
    with pytest.raises(ConfigError, match="no image branch"):
        ser.encode(**given, image_features=torch.zeros(3, 49, 8))
    with pytest.raises(ConfigError, match="no image branch"):
        ser.image_features(torch.zeros(1, 3, 224, 224))
    with pytest.raises(ConfigError, match="token type 0"):
        ser.encode(**given, token_type_ids=torch.ones_like(given["input_ids"]))


def test_a_missing_or_damaged_file_is_named(report: ExportReport, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(report.bundle.path, folder)
    (folder / "onnx/ser.onnx").write_bytes(b"nothing")
    bundle = Bundle(folder, report.bundle.info, "")
    with pytest.raises(BundleError, match=r"ser\.onnx cannot be loaded"):
        load_onnx_models(bundle)
    (folder / "onnx/ser.onnx").unlink()
    with pytest.raises(BundleError, match=r"ser\.onnx is missing"):
        load_onnx_models(bundle)
    with pytest.raises(BundleError, match=r"ser\.onnx is missing"):
        Bundle.load(folder)


def test_which_runtime(report: ExportReport) -> None:
    plain = Bundle.load()
    assert choose_runtime(report.bundle, "auto") == choose_runtime(report.bundle, "onnx") == "onnx"
    assert choose_runtime(report.bundle, "torch") == choose_runtime(plain, "torch") == "torch"
    assert choose_runtime(report.bundle, "auto", device="cuda", dtype="bfloat16") == "torch"
    with pytest.raises(ConfigError, match=r"runtime onnx: bundle .* carries no ONNX files; .*jobs/export\.py"):
        choose_runtime(Bundle(report.bundle.path / "tokenizer", plain.info, ""), "onnx")
    with pytest.raises(ConfigError, match="not bfloat16 on cpu"):
        choose_runtime(report.bundle, "onnx", dtype="bfloat16")
    with pytest.raises(ConfigError, match="not float32 on cuda"):
        choose_runtime(report.bundle, "onnx", device="cuda")


def image_bundle(folder: Path, model: KieModel, image: str) -> Bundle:
    tokenizer = train_tokenizer(["Name Ada Lovelace Date 1843"] * 3, 200)
    info = BundleInfo(
        name="sees-pages",
        tasks=["ser", "re"],
        labels=["OTHER", "QUESTION", "ANSWER", "HEADER"],
        max_tokens=64,
        overlap_tokens=16,
        image=image,  # type: ignore[arg-type]
    )
    return save_bundle(folder, info, tokenizer, {"kie": model}, "Random weights.")


def sees_as_torch_does(bundle: Bundle, target: Path) -> None:
    report = export_bundle(bundle, target, ExportSettings(entities=4, pairs=4))
    assert [file.name for file in report.files] == ["image.onnx", "re.onnx", "ser.onnx"]
    assert report.float32.same_labels == 1.0
    ours, theirs = load_models(bundle).ser, load_onnx_models(report.bundle).ser
    assert ours is not None
    assert theirs is not None
    assert theirs.uses_image
    given, pages = windows(2), images(2)
    used = given["attention_mask"].bool()
    with torch.inference_mode():
        shown, other = (ours.encode(**given, image_features=ours.image_features(page)) for page in (pages, 255 - pages))
    assert not torch.allclose(shown[used], other[used], atol=1e-2)
    found = theirs.encode(**given, image_features=theirs.image_features(pages))
    torch.testing.assert_close(found[used], shown[used], rtol=0, atol=1e-4)
    with pytest.raises(ConfigError, match="pass image_features"):
        theirs.encode(**given)


@pytest.mark.slow
def test_layoutlm_with_its_image_branch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    fields = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = LayoutLMConfig(
        vocab_size=200, **fields, num_labels=7, use_image_branch=True, image_branch_blocks=[1, 1, 1], add_pooler=False
    )
    sees_as_torch_does(image_bundle(tmp_path / "v1", LayoutLMForKie(config), "imagenet"), tmp_path / "onnx")


@pytest.mark.slow
def test_layoutlmv2_with_its_visual_tokens(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = LayoutLMv2ForKie(visual_config())
    sees_as_torch_does(image_bundle(tmp_path / "v2", model, "bgr"), tmp_path / "onnx")
