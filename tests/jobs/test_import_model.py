"""`jobs/import_model.py` on checkpoints of all kinds made here: what the bundle says and computes, exit statuses."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from jobs.import_model import main
from kie_ray.encoding import LabelSet, load_tokenizer, train_tokenizer
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_models import load_models
from kie_ray.models.layoutlm import LayoutLMConfig, LayoutLMForKie, LayoutLMForSer, LayoutLMModel
from kie_ray.models.layoutlmv2 import LayoutLMv2ForRe, LayoutLMv2ForSer, LayoutLMv2Model
from kie_ray.models.resnext_fpn import BackboneSize
from kie_ray.training.config import PhaseConfig, SourceConfig, TrainConfig
from kie_ray.training.start import find_start
from tests.kie_ray.models.model_samples import entities, inputs, small_config

VOCABULARY = 800
FUNSD = ["O", "B-HEADER", "I-HEADER", "B-QUESTION", "I-QUESTION", "B-ANSWER", "I-ANSWER"]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vocabulary")
    train_tokenizer(["Purchase order number 42", "Total amount"] * 3, VOCABULARY).save(folder)
    return folder


def version_2(**changes: Any) -> Any:
    fields: dict[str, Any] = {"max_position_embeddings": 514, "add_pooler": True, "has_visual_segment_embedding": True}
    return small_config(**{"vocab_size": VOCABULARY, **fields, **changes})


def layoutlm() -> LayoutLMConfig:
    return LayoutLMConfig(
        vocab_size=VOCABULARY,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        num_labels=7,
        initializer_range=0.2,
    )


def save_paddle(folder: Path, model: PreTrainedModel, architecture: str | None) -> Path:
    """As PaddleNLP saves: `layoutxlm.` names, linear weights [in, out]; no configuration without `architecture`."""
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    arrays = {
        name.replace("layoutlmv2.", "layoutxlm."): np.ascontiguousarray((value.T if name in linear else value).numpy())
        for name, value in model.state_dict().items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_state.pdparams").write_bytes(pickle.dumps(arrays, 4))
    if architecture:
        tree = {name: value for name, value in model.config.to_dict().items() if name != "id2label"}
        (folder / "config.json").write_text(json.dumps(tree | {"architectures": [architecture]}))
    return folder


def save_huggingface(folder: Path, model: PreTrainedModel, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.clone() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    tree = {name: value for name, value in model.config.to_dict().items() if name != "id2label"}
    (folder / "config.json").write_text(json.dumps(tree | changes))
    return folder


def loaded(bundle: Path) -> Any:
    models_of_bundle = load_models(Bundle.load(bundle))
    return models_of_bundle.ser if models_of_bundle.ser is not None else models_of_bundle.re


def test_a_paddle_pair_gets_paddles_rules(tmp_path: Path, vocabulary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    ser, re_model = LayoutLMv2ForSer(version_2()).eval(), LayoutLMv2ForRe(version_2()).eval()
    sources = [
        "--paddle-ser",
        str(save_paddle(tmp_path / "ser", ser, "LayoutXLMForTokenClassification")),
        "--paddle-re",
        str(save_paddle(tmp_path / "re", re_model, "LayoutXLMForRelationExtraction")),
    ]
    output = tmp_path / "new" / "bundle"
    assert main([*sources, "--tokenizer", str(vocabulary), "--output", str(output), "--licence", "MIT"]) == 0
    bundle = Bundle.load(output)
    info = bundle.info
    assert (info.name, info.tasks, info.labels) == ("bundle", ["ser", "re"], ["OTHER", "QUESTION", "ANSWER", "HEADER"])
    assert (info.reading_order, info.ser_rule, info.re_rule, info.image) == ("tb-yx-paddle", "vote", "first", "none")
    assert (info.max_tokens, info.entity_labels) == (512, ["QUESTION", "ANSWER", "HEADER"])
    printed = capsys.readouterr().out
    assert "self-check: en_purchase_order.png: " in printed
    assert printed.endswith(f"bundle: {output}\n")
    card = (output / "README.md").read_text()
    assert f"{len(ser.state_dict())} tensors used, 0 left over" in card
    for part in ("Licence of the weights: MIT", "VI-LayoutXLM", "sha256 of `model_state.pdparams`", "tb-yx-paddle"):
        assert part in card

    found = load_models(bundle)
    given = inputs() | {name: value for name, value in entities().items() if name not in ("boxes", "order")}
    with torch.inference_mode():
        torch.testing.assert_close(found.ser(**inputs()).ser_logits, ser(**inputs()).ser_logits)  # type: ignore[misc]
        theirs = re_model(**given).re_logits
        ours = found.re(**given | {"entity_labels": (given["entity_labels"] - 1) % 3}).re_logits  # type: ignore[misc]
        torch.testing.assert_close(ours, theirs)


def test_labels_of_a_huggingface_checkpoint_are_renumbered(tmp_path: Path, vocabulary: Path) -> None:
    torch.manual_seed(1)
    model = LayoutLMForSer(layoutlm()).eval()
    names = {str(index): name.lower() for index, name in enumerate(FUNSD)}
    source = save_huggingface(tmp_path / "model", model, id2label=names)
    (source / "tokenizer.json").write_bytes((vocabulary / "tokenizer.json").read_bytes())
    output = tmp_path / "bundle"
    assert main(["--huggingface", str(source), "--output", str(output), "--name", "mine"]) == 0
    bundle = Bundle.load(output)
    assert (bundle.info.name, bundle.info.tasks, bundle.info.image) == ("mine", ["ser"], "none")
    assert (bundle.info.reading_order, bundle.info.ser_rule) == ("tb-yx", "mean")
    marks = load_tokenizer(vocabulary).mark_ids
    assert loaded(output).window_marks == marks  # Hugging Face's SER models are tuned with [CLS] and [SEP]
    assert bundle.info.max_tokens == model.config.max_position_embeddings - 2
    model.set_window_marks(marks)
    with torch.inference_mode():
        theirs, ours = model(**inputs()).ser_logits, loaded(output)(**inputs()).ser_logits
    for index, name in enumerate(FUNSD):
        torch.testing.assert_close(ours[..., bundle.label_set.id_of(name)], theirs[..., index])
    assert "| 1 | B-QUESTION | 3 |" in (output / "README.md").read_text()


def test_window_marks_can_be_left_out(tmp_path: Path, vocabulary: Path) -> None:
    model = LayoutLMForSer(layoutlm()).eval()
    source = save_huggingface(tmp_path / "model", model, id2label={str(i): name for i, name in enumerate(FUNSD)})
    (source / "tokenizer.json").write_bytes((vocabulary / "tokenizer.json").read_bytes())
    output = tmp_path / "bundle"
    assert main(["--huggingface", str(source), "--output", str(output), "--window-marks", "none"]) == 0
    assert loaded(output).window_marks is None
    assert Bundle.load(output).info.max_tokens == model.config.max_position_embeddings


def test_microsofts_re_model_alone_with_other_labels(tmp_path: Path, vocabulary: Path) -> None:
    torch.manual_seed(2)
    source = save_huggingface(tmp_path / "model", LayoutLMv2ForRe(version_2(num_entity_labels=2)).eval())
    output = tmp_path / "bundle"
    common = ["--huggingface", str(source), "--tokenizer", str(vocabulary), "--output", str(output)]
    assert main(common) == 2, "three entity labels are the default, the head has two"
    assert main([*common, "--entity-labels", "key,value", "--relation-pairs", "key:value"]) == 0
    info = Bundle.load(output).info
    assert (info.tasks, info.labels) == (["re"], ["OTHER", "KEY", "VALUE"])
    assert (info.entity_labels, info.relation_pairs) == (["KEY", "VALUE"], [("KEY", "VALUE")])


def test_both_heads_on_one_encoder(tmp_path: Path, vocabulary: Path) -> None:
    torch.manual_seed(3)
    source = save_huggingface(tmp_path / "model", LayoutLMForKie(layoutlm()).eval())
    common = ["--huggingface", str(source), "--tokenizer", str(vocabulary), "--labels", "other,question,answer,header"]
    assert main([*common, "--output", str(tmp_path / "bundle"), "--half"]) == 0
    bundle = Bundle.load(tmp_path / "bundle")
    assert bundle.shared
    assert bundle.info.tasks == ["ser", "re"]
    stored = load_file(tmp_path / "bundle/kie/model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}


def test_layoutlm_with_image_branch(tmp_path: Path, vocabulary: Path) -> None:
    torch.manual_seed(8)
    config = layoutlm()
    config.use_image_branch, config.image_branch_blocks = True, [1, 1, 1]
    source = save_huggingface(tmp_path / "model", LayoutLMForSer(config).eval())
    common = ["--huggingface", str(source), "--tokenizer", str(vocabulary), "--labels", ",".join(FUNSD)]
    assert main([*common, "--output", str(tmp_path / "bundle")]) == 0
    assert Bundle.load(tmp_path / "bundle").info.image == "imagenet"
    assert "LayoutLM with image branch" in (tmp_path / "bundle/README.md").read_text()
    assert main([*common, "--output", str(tmp_path / "other"), "--image", "none"]) == 2
    # The recipe's own boxes tell that its pages were not normalised either, unless the user knows better.
    config.image_branch_pixel_boxes = True
    save_huggingface(tmp_path / "model", LayoutLMForSer(config).eval())
    for asked, kind in (("auto", "unit"), ("imagenet", "imagenet")):
        assert main([*common, "--output", str(tmp_path / kind), "--image", asked]) == 0
        assert Bundle.load(tmp_path / kind).info.image == kind
        assert ("name --image imagenet" in (tmp_path / kind / "README.md").read_text()) == (asked == "auto")


@pytest.mark.parametrize("kind", ["paddle", "layoutlmv2", "layoutlm", "visual"])
def test_a_bare_encoder_is_what_training_starts_from(
    tmp_path: Path, vocabulary: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    torch.manual_seed(4)
    sizes = BackboneSize(50, 2, 2, 4, 8, 8).to_detectron2()
    visual = {"use_visual_backbone": True, "image_feature_pool_shape": [7, 7, 8], "detectron2_config_args": sizes}
    encoder: Any = LayoutLMv2Model(version_2(**(visual if kind == "visual" else {}))).eval()
    if kind == "layoutlm":
        encoder = LayoutLMModel(layoutlm()).eval()
    if kind == "paddle":
        source = ["--paddle-encoder", str(save_paddle(tmp_path / "model", encoder, "LayoutXLMModel"))]
    else:
        source = ["--huggingface", str(save_huggingface(tmp_path / "model", encoder))]
    output = tmp_path / "encoder"
    assert main([*source, "--tokenizer", str(vocabulary), "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "self-check: en_purchase_order.png" in printed
    assert f"--set start={output}" in printed
    config = TrainConfig(
        start=str(output),
        sources=[SourceConfig(name="x", kind="synthetic", pages=1)],
        phases=[PhaseConfig(name="x", steps=1, mix={"x": 1.0})],
    )
    start = find_start(config, [])
    assert (start.encoding.max_tokens, start.encoding.image) == (512, "bgr" if kind == "visual" else "none")
    built: Any = start.build(config, LabelSet.from_classes(config.classes)).eval()
    with torch.inference_mode():
        seen = encoder.image_features(torch.rand((2, 3, 224, 224)) * 255) if kind == "visual" else None
        ours: Tensor = built.encode(*inputs().values(), image_features=seen)
        theirs = encoder(**inputs(), image_features=seen).last_hidden_state[:, : ours.shape[1]]
        torch.testing.assert_close(ours, theirs)


def test_an_existing_output_is_replaced_only_when_asked(tmp_path: Path, vocabulary: Path) -> None:
    torch.manual_seed(5)
    source = save_huggingface(tmp_path / "model", LayoutLMv2ForRe(version_2()).eval())
    output = tmp_path / "bundle"
    arguments = ["--huggingface", str(source), "--tokenizer", str(vocabulary), "--output", str(output)]
    output.mkdir()
    assert main([*arguments, "--overwrite"]) == 2, "a directory that is no bundle is never replaced"
    output.rmdir()
    assert main(arguments) == 0
    before = Bundle.load(output).fingerprint
    assert main(arguments) == 2
    assert main([*arguments, "--overwrite", "--name", "other"]) == 0
    assert Bundle.load(output).fingerprint != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "model"], "nothing is left beside it"


def test_damaged_weights_leave_no_bundle(tmp_path: Path, vocabulary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(6)
    model = LayoutLMv2ForSer(version_2()).eval()
    with torch.no_grad():
        model.classifier.bias[3] = float("nan")
    source = save_paddle(tmp_path / "model", model, "LayoutXLMForTokenClassification")
    arguments = ["--paddle-ser", str(source), "--tokenizer", str(vocabulary), "--output", str(tmp_path / "bundle")]
    assert main(arguments) == 2
    assert "self-check: SER logits of en_purchase_order.png are not finite" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


class _Touch:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (open, (str(self.marker), "w"))


@pytest.mark.parametrize("file", ["model_state.pdparams", "pytorch_model.bin"])
def test_a_hostile_pickle_is_one_line_and_status_2(
    tmp_path: Path, vocabulary: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    source = tmp_path / "model"
    source.mkdir()
    tree = {"model_type": "layoutlm", "architectures": ["LayoutLMForTokenClassification"]}
    (source / "config.json").write_text(json.dumps(tree))
    (source / file).write_bytes(pickle.dumps({"x": _Touch(tmp_path / "marker")}, 2))
    option = "--paddle-ser" if file.endswith("pdparams") else "--huggingface"
    assert main([option, str(source), "--tokenizer", str(vocabulary), "--output", str(tmp_path / "bundle")]) == 2
    message = capsys.readouterr().err
    assert message.startswith("import_model.py: ")
    assert file in message
    assert message.count("\n") == 1
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name one source"),
        (["--paddle-ser", "a", "--huggingface", "b"], "not several of these"),
        (["--huggingface", "a", "b", "c"], "--huggingface takes one directory"),
        (["--paddle-ser", "nowhere"], "nowhere is no existing directory"),
        (["--paddle-ser", "a", "--relation-pairs", "QUESTION"], "should be KEY:VALUE"),
        (["--paddle-ser", "a", "--output", "s3://bucket/x"], "must be a local directory"),
        (["--paddle-ser", "a", "--output", "."], "exists already; name another, or add --overwrite"),
    ],
)
def test_bad_arguments(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--output", "bundle", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--image", "rgb"], ["--entity-labels", ","], ["--unknown"]])
def test_bad_options_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--output", "x", *arguments])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_sources_that_do_not_fit_each_other_or_their_options(
    tmp_path: Path, vocabulary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(7)
    ser = LayoutLMv2ForSer(version_2()).eval()
    paddle = save_paddle(tmp_path / "paddle", ser, "LayoutXLMForTokenClassification")
    theirs = save_huggingface(tmp_path / "theirs", ser)
    small = save_huggingface(tmp_path / "small", LayoutLMv2ForRe(version_2(vocab_size=100)).eval())
    tokenizer = ["--tokenizer", str(vocabulary), "--output", str(tmp_path / "bundle")]
    for arguments, message in (
        (["--paddle-re", str(paddle), *tokenizer], "holds a SER model, it was named as an RE model"),
        (["--paddle-ser", str(paddle), *tokenizer, "--image", "paddle"], "which looks at no page image"),
        (["--paddle-ser", str(paddle), *tokenizer, "--labels", "a,b"], "2 classes make 5 labels, the checkpoint has 7"),
        (["--paddle-ser", str(paddle), *tokenizer[2:]], "no tokenizer in"),
        (["--huggingface", str(theirs), *tokenizer], "does not name its 7 labels: give --labels"),
        (["--huggingface", str(theirs), str(theirs), *tokenizer], "must be one SER and one RE model"),
        (["--huggingface", str(theirs), str(small), *tokenizer], "make a bundle of each"),
        (["--huggingface", str(small), *tokenizer], "the model knows 100: it is another model's tokenizer"),
    ):
        assert main(arguments) == 2, message
        assert message in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()
