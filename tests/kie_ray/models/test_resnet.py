"""The ResNet against the independent one of transformers, and its loading of published state dicts."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import ResNetConfig, ResNetModel

from kie_ray.errors import ConfigError
from kie_ray.models.resnet import ResNet

SMALL = (2, 1, 2)


def randomised(blocks: tuple[int, ...] = SMALL) -> ResNet:
    """Random weights, scales and statistics, none at its neutral value."""
    generator = torch.Generator().manual_seed(0)
    model = ResNet(blocks)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0, generator=generator)
            elif value.dim() == 1:
                value.normal_(0.5, 0.2, generator=generator)
            else:
                value.normal_(0.0, (2 / value[0].numel()) ** 0.5, generator=generator)
    return model


def images(size: int = 64) -> Tensor:
    return torch.randn((2, 3, size, size), generator=torch.Generator().manual_seed(1))


def their_name(name: str) -> str:
    """torchvision's name of a parameter -> transformers'."""
    stem = re.fullmatch(r"(conv|bn)1\.(\w+)", name)
    if stem:
        return f"embedder.embedder.{'convolution' if stem[1] == 'conv' else 'normalization'}.{stem[2]}"
    stage, block, rest = re.fullmatch(r"layer(\d)\.(\d+)\.(.+)", name).groups()  # type: ignore[union-attr]
    prefix = f"encoder.stages.{int(stage) - 1}.layers.{block}."
    short = re.fullmatch(r"downsample\.(\d)\.(\w+)", rest)
    if short:
        return prefix + f"shortcut.{('convolution', 'normalization')[int(short[1])]}.{short[2]}"
    kind, number, field = re.fullmatch(r"(conv|bn)(\d)\.(\w+)", rest).groups()  # type: ignore[union-attr]
    return prefix + f"layer.{int(number) - 1}.{'convolution' if kind == 'conv' else 'normalization'}.{field}"


def published(model: ResNet) -> dict[str, Tensor]:
    """Its state dict with what published files hold besides."""
    extra = {
        "bn1.num_batches_tracked": torch.tensor(7),
        "layer1.0.bn1.num_batches_tracked": torch.tensor(7),
        "layer4.0.conv1.weight": torch.zeros(4, 4, 1, 1),
        "fc.weight": torch.zeros(10, 2048),
        "fc.bias": torch.zeros(10),
    }
    return {**model.state_dict(), **extra}


def test_equals_transformers_resnet() -> None:
    ours = randomised()
    config = ResNetConfig(depths=[*SMALL], hidden_sizes=[256, 512, 1024], layer_type="bottleneck")
    theirs = ResNetModel(config).eval()
    renamed = {their_name(name): value for name, value in ours.state_dict().items()}
    missing, unexpected = theirs.load_state_dict(renamed, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    with torch.inference_mode():
        map_, wanted = ours(images()), theirs(images()).last_hidden_state
    assert wanted.shape == (2, 1024, 4, 4)
    assert wanted.std() > 0.1
    torch.testing.assert_close(map_, wanted, atol=1e-4, rtol=1e-4)


def test_resnet101_up_to_the_fourth_stage() -> None:
    """44,549,160 parameters are published, 14,964,736 of them in the fifth stage, 2,049,000 in the classifier."""
    with torch.device("meta"):
        model = ResNet()
    assert sum(value.numel() for value in model.parameters()) == 44_549_160 - 14_964_736 - 2_049_000
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert shapes["conv1.weight"] == (64, 3, 7, 7)
    assert shapes["layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert shapes["layer2.0.conv2.weight"] == (128, 128, 3, 3)
    assert shapes["layer3.0.downsample.1.running_var"] == (1024,)
    assert shapes["layer3.22.bn3.running_mean"] == (1024,)
    assert "layer3.1.downsample.0.weight" not in shapes


def test_a_page_gives_a_map_of_14_by_14() -> None:
    with torch.inference_mode():
        assert ResNet((1, 1, 1))(torch.zeros(1, 3, 224, 224)).shape == (1, 1024, 14, 14)


def test_training_does_not_touch_the_statistics() -> None:
    model = randomised().eval()
    before = {name: value.clone() for name, value in model.named_buffers()}
    with torch.inference_mode():
        wanted = model(images())
    output = model.train()(images())
    torch.testing.assert_close(output, wanted)
    output.square().mean().backward()
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    assert all(value.grad is not None and bool(value.grad.any()) for value in model.parameters())


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_published_files_load(ending: str, tmp_path: Path) -> None:
    source, file = randomised(), tmp_path / f"resnet{ending}"
    state = published(source)
    if ending == ".pth":
        torch.save(state, file)
    else:
        save_file(state, file)
    model = ResNet(SMALL)
    model.load_published(file)
    with torch.inference_mode():
        assert torch.equal(model(images()), source(images()))


def test_another_depth_is_refused(tmp_path: Path) -> None:
    save_file(published(randomised((1, 1, 1))), tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match=r"other\.safetensors does not fit this ResNet.*layer1\.1\.conv1\.weight"):
        ResNet(SMALL).load_published(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    "name", ["missing.pth", "missing.safetensors", "text.pth", "text.safetensors", "empty.pth", "list.pth"]
)
def test_files_that_hold_no_state_dict(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ConfigError, match=rf"{name} is no state dict"):
        ResNet(SMALL).load_published(tmp_path / name)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return os.mkdir, (str(tmp_path / "trodden"),)

    torch.save({"conv1.weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(ConfigError, match=r"trap\.pth is no state dict"):
        ResNet(SMALL).load_published(tmp_path / "trap.pth")
    assert not (tmp_path / "trodden").exists()


@pytest.mark.parametrize("blocks", [(3, 4), (3, 4, 23, 3), (3, 0, 1)])
def test_impossible_depths(blocks: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=re.escape(str(blocks))):
        ResNet(blocks)
