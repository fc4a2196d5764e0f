"""Bundles: what is saved comes back, and nothing that was damaged, changed or made for another version is loaded."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kie_ray.encoding.tokenizer import SubwordTokenizer
from kie_ray.encoding.train_tokenizer import train_tokenizer
from kie_ray.errors import ConfigError
from kie_ray.models import bundle_info as bundle_module
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_info import BundleError, BundleInfo, default_bundle_path
from kie_ray.models.bundle_models import load_models, save_bundle
from kie_ray.models.layoutlmv2 import LayoutLMv2ForKie, LayoutLMv2ForRe, LayoutLMv2ForSer
from tests.kie_ray.models.model_samples import entities, images, inputs, small_config, visual_config

LABELS = ["OTHER", "QUESTION", "ANSWER", "HEADER"]


@pytest.fixture(scope="module")
def tokenizer() -> SubwordTokenizer:
    return train_tokenizer(["name: Ray Charles", "date of birth 23 September 1930"] * 3, vocab_size=200)


def info(**changes: Any) -> BundleInfo:
    fields: dict[str, Any] = {"name": "test", "tasks": ["ser", "re"], "labels": LABELS, "max_tokens": 64}
    return BundleInfo(**(fields | changes))


@pytest.fixture
def saved(tmp_path: Path, tokenizer: SubwordTokenizer) -> Bundle:
    torch.manual_seed(0)
    model = LayoutLMv2ForKie(small_config(relation_geometry=8))
    return save_bundle(tmp_path / "bundle", info(), tokenizer, {"kie": model}, "# Model card\n")


def edit(bundle: Bundle, change: Callable[[dict[str, Any]], object]) -> None:
    file = bundle.path / "bundle.json"
    tree = json.loads(file.read_text())
    change(tree)
    file.write_text(json.dumps(tree))


def test_round_trip(saved: Bundle, tokenizer: SubwordTokenizer) -> None:
    again = Bundle.load(saved.path)
    assert again == saved
    assert again.shared
    assert again.info.labels == LABELS
    assert again.fingerprint == hashlib.sha256((saved.path / "bundle.json").read_bytes()).hexdigest()
    assert sorted(again.info.files) == [
        "README.md",
        "kie/config.json",
        "kie/model.safetensors",
        "tokenizer/tokenizer.json",
    ]
    assert [item.name for item in saved.path.parent.iterdir()] == ["bundle"]
    text = ["name: Ray"]
    assert again.load_tokenizer().encode_lines(text) == tokenizer.encode_lines(text)
    models = load_models(again)
    assert models.shared
    assert models.ser is models.re
    assert models.ser is not None
    assert not models.ser.training


def test_shared_and_separate_models_give_the_same(tmp_path: Path, tokenizer: SubwordTokenizer) -> None:
    torch.manual_seed(0)
    config = small_config()
    joint, ser, re = LayoutLMv2ForKie(config).eval(), LayoutLMv2ForSer(config), LayoutLMv2ForRe(config)
    for single in (ser, re):
        single.load_state_dict({name: joint.state_dict()[name] for name in single.state_dict()})
    models = load_models(save_bundle(tmp_path / "two", info(), tokenizer, {"ser": ser, "re": re}, "card"))
    assert models.ser is not None
    assert models.re is not None
    assert not models.shared
    batch, given = inputs(), entities()
    with torch.inference_mode():
        expected = joint(**batch, **given)
        torch.testing.assert_close(models.ser(**batch).ser_logits, expected.ser_logits)
        torch.testing.assert_close(models.re(**batch, **given).re_logits, expected.re_logits)


def test_half_precision_weights_are_cast_at_load(tmp_path: Path, tokenizer: SubwordTokenizer) -> None:
    torch.manual_seed(0)
    model = LayoutLMv2ForSer(small_config())
    whole = save_bundle(tmp_path / "whole", info(tasks=["ser"]), tokenizer, {"ser": model}, "card")
    half = save_bundle(tmp_path / "half", info(tasks=["ser"]), tokenizer, {"ser": model}, "card", half=True)
    sizes = [(item.path / "ser" / "model.safetensors").stat().st_size for item in (half, whole)]
    assert sizes[0] < 0.6 * sizes[1]
    loaded = load_models(half).ser
    assert loaded is not None
    assert {value.dtype for value in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(loaded.classifier.weight, model.classifier.weight.half().float())
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.parametrize("name", ["README.md", "kie/config.json", "kie/model.safetensors", "tokenizer/tokenizer.json"])
def test_one_changed_byte_is_found(saved: Bundle, name: str) -> None:
    file = saved.path / name
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    with pytest.raises(BundleError, match=rf"{name} is damaged or changed: sha256 [0-9a-f]{{64}}, bundle.json says"):
        Bundle.load(saved.path)
    assert Bundle.load(saved.path, verify=False).info == saved.info


def test_missing_and_unlisted_files(saved: Bundle) -> None:
    extra = saved.path / "kie" / "model-00002.safetensors"
    extra.write_bytes(b"")
    with pytest.raises(BundleError, match=r"model-00002\.safetensors is not listed"):
        Bundle.load(saved.path)
    extra.unlink()
    (saved.path / ".DS_Store").write_bytes(b"")
    Bundle.load(saved.path)
    (saved.path / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(BundleError, match=r"tokenizer\.json is missing"):
        Bundle.load(saved.path)


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/hostname", "kie/../../outside.txt", "..\\outside.txt"])
def test_paths_out_of_the_bundle_are_refused(saved: Bundle, name: str) -> None:
    outside = saved.path.parent / "outside.txt"
    outside.write_text("x")
    digest = hashlib.sha256(b"x").hexdigest()
    edit(saved, lambda tree: tree["files"].update({name: digest}))
    with pytest.raises(BundleError, match="lies outside the bundle"):
        Bundle.load(saved.path)


def test_a_link_out_of_the_bundle_is_refused(saved: Bundle) -> None:
    card = saved.path / "README.md"
    moved = saved.path.parent / "card.md"
    card.rename(moved)
    card.symlink_to(moved)
    with pytest.raises(BundleError, match=r"'README\.md' lies outside the bundle"):
        Bundle.load(saved.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "format_version is 2, this version reads 1"),
        ({"format_version": None}, "format_version is None"),
        ({"tasks": ["ser", "ocr"]}, "tasks.1 = 'ocr': Input should be 'ser' or 're'"),
        ({"tasks": []}, "tasks = "),
        ({"reading_order": "rl"}, "reading_order = 'rl'"),
        ({"colour": "red"}, "colour = 'red': Extra inputs"),
        ({"re_threshold": 1.5}, "re_threshold = 1.5"),
    ],
)
def test_unknown_contents_of_bundle_json(saved: Bundle, change: dict[str, Any], message: str) -> None:
    edit(saved, lambda tree: tree.update(change))
    with pytest.raises(BundleError, match=message):
        Bundle.load(saved.path)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe"])
def test_bundle_json_that_is_no_bundle_json(saved: Bundle, raw: bytes) -> None:
    (saved.path / "bundle.json").write_bytes(raw)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        Bundle.load(saved.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": LABELS[:3]}, "SER head has 7 labels"),
        ({"entity_labels": ["QUESTION", "ANSWER"]}, "RE head has 3 entity labels"),
        ({"relation_pairs": [["KEY", "ANSWER"]]}, r"relation_pairs name \['KEY'\]"),
        ({"max_tokens": 65}, "max_tokens is 65, the model has 64 positions"),
        ({"image": "bgr"}, "image is 'bgr' in bundle.json, but no model sees the page's pixels"),
    ],
)
def test_info_and_weights_must_agree(
    saved: Bundle, tmp_path: Path, tokenizer: SubwordTokenizer, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        save_bundle(tmp_path / "new", info(**change), tokenizer, {"kie": LayoutLMv2ForKie(small_config())}, "card")
    assert not (tmp_path / "new").exists()
    edit(saved, lambda tree: tree.update(change))
    with pytest.raises(BundleError, match=message):
        load_models(Bundle.load(saved.path))


def test_a_model_that_sees_the_page(tmp_path: Path, tokenizer: SubwordTokenizer) -> None:
    torch.manual_seed(0)
    model = LayoutLMv2ForKie(visual_config()).eval()
    with pytest.raises(BundleError, match=r"image is 'none' in bundle\.json, but the model sees the page's pixels"):
        save_bundle(tmp_path / "new", info(), tokenizer, {"kie": model}, "card")
    loaded = load_models(save_bundle(tmp_path / "new", info(image="paddle"), tokenizer, {"kie": model}, "card")).ser
    assert loaded is not None
    with torch.inference_mode():
        expected = model(**inputs(), image=images()).ser_logits
        assert torch.equal(loaded(**inputs(), image=images()).ser_logits, expected)


def test_one_of_two_models_may_see_the_page(tmp_path: Path, tokenizer: SubwordTokenizer) -> None:
    models = {"ser": LayoutLMv2ForSer(visual_config()), "re": LayoutLMv2ForRe(small_config())}
    bundle = save_bundle(tmp_path / "mixed", info(image="bgr"), tokenizer, models, "card")
    loaded = load_models(bundle)
    assert loaded.ser is not None
    assert loaded.re is not None
    assert [loaded.ser.uses_image, loaded.re.uses_image] == [True, False]
    alone = load_models(bundle, tasks=["re"])
    assert alone.re is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"model_type": "bert"}', "config.json: model_type 'bert' is no known family"),
        ("{}", "config.json does not say which model this is: KeyError"),
        ("{", "config.json does not say which model this is: JSONDecodeError"),
    ],
)
def test_a_configuration_of_no_known_model(saved: Bundle, text: str, message: str) -> None:
    (saved.path / "kie" / "config.json").write_text(text)
    with pytest.raises(BundleError, match=message):
        load_models(Bundle.load(saved.path, verify=False))


def test_weights_that_do_not_fit_the_configuration(saved: Bundle) -> None:
    file = saved.path / "kie" / "config.json"
    tree = json.loads(file.read_text())
    file.write_text(json.dumps(tree | {"num_hidden_layers": 3}))
    with pytest.raises(BundleError, match="missing keys for LayoutLMv2ForKie"):
        load_models(Bundle.load(saved.path, verify=False))


def test_save_refuses_to_overwrite_unless_told(saved: Bundle, tokenizer: SubwordTokenizer) -> None:
    models = {"kie": LayoutLMv2ForKie(small_config())}
    with pytest.raises(BundleError, match="exists already"):
        save_bundle(saved.path, info(name="other"), tokenizer, models, "card")
    replaced = save_bundle(saved.path, info(name="other"), tokenizer, models, "card", overwrite=True)
    assert replaced.info.name == "other"
    assert os.listdir(saved.path.parent) == ["bundle"]  # noqa: PTH208 (dot files count)
    folder = saved.path.parent / "mine"
    folder.mkdir()
    with pytest.raises(BundleError, match="it is no bundle"):
        save_bundle(folder, info(), tokenizer, models, "card", overwrite=True)


def test_a_failed_save_leaves_nothing(tmp_path: Path) -> None:
    class Broken:
        def save(self, directory: Path) -> None:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save_bundle(tmp_path / "new", info(), Broken(), {"kie": LayoutLMv2ForKie(small_config())}, "card")  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []  # noqa: PTH208 (dot files count)


def test_tasks_need_their_models(tmp_path: Path, tokenizer: SubwordTokenizer) -> None:
    ser = LayoutLMv2ForSer(small_config())
    with pytest.raises(BundleError, match=r"tasks \['ser', 're'\] need a model each, got \['ser'\]"):
        save_bundle(tmp_path / "new", info(), tokenizer, {"ser": ser}, "card")
    with pytest.raises(BundleError, match="re/ holds a LayoutLMv2ForRe, got LayoutLMv2ForSer"):
        save_bundle(tmp_path / "new", info(), tokenizer, {"ser": ser, "re": ser}, "card")


def test_no_bundle_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"is no model bundle: it has no bundle\.json"):
        Bundle.load(tmp_path)
    monkeypatch.setattr(bundle_module, "__file__", str(tmp_path / "kie_ray" / "models" / "bundle_info.py"))
    with pytest.raises(BundleError, match="no bundled model"):
        default_bundle_path()
    default = tmp_path / "kie_ray" / "bundles" / "default"
    default.mkdir(parents=True)
    (default / "bundle.json").write_text("{}")
    assert default_bundle_path() == default
