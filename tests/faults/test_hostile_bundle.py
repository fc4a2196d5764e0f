"""Whatever a bundle's files hold: a model, or one line that names the file. The hashes are made to fit."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kie_ray.errors import ConfigError
from kie_ray.loading import load_annotator
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_info import BundleError
from tests.job_support import make_bundle

PARTS = ("tokenizer/tokenizer.json", "kie/config.json", "kie/model.safetensors")
QUICK = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
VALUES: list[Any] = [None, True, -1, 0, 2**40, 10**30, 1e300, float("nan"), "", "x" * 3000, "\0", [], {}, [[]], ["a"]]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield make_bundle(tmp_path_factory.mktemp("bundle") / "good")
    torch.set_num_threads(threads)


@pytest.fixture
def bundle(good: Path, tmp_path: Path) -> Path:
    return shutil.copytree(good, tmp_path / "bundle")


def description(bundle: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    return content


def describe(bundle: Path, content: Any) -> None:
    (bundle / "bundle.json").write_text(json.dumps(content), encoding="utf-8")


def put(bundle: Path, part: str, data: bytes) -> None:
    """Replace a file, and its hash with it."""
    (bundle / part).write_bytes(data)
    content = description(bundle)
    content["files"][part] = hashlib.sha256(data).hexdigest()
    describe(bundle, content)


def check(bundle: Path) -> bool:
    """Whether it loads. Whatever is neither a model nor a ConfigError is raised."""
    try:
        load_annotator(Bundle.load(bundle))
    except ConfigError:
        return False
    return True


def paths(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from paths(value, (*above, key))


def changed(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    tree = copy.deepcopy(tree)
    node = tree
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return tree


def test_the_bundle_loads_before_anything_is_done_to_it(bundle: Path) -> None:
    assert check(bundle)


@settings(max_examples=80, **QUICK)  # type: ignore[arg-type]
@given(data=st.data())
def test_no_value_in_its_description_raises_anything_but_a_config_error(
    good: Path, tmp_path: Path, data: st.DataObject
) -> None:
    bundle = shutil.copytree(good, tmp_path / "bundle", dirs_exist_ok=True)
    tree = description(good)
    describe(bundle, changed(tree, data.draw(st.sampled_from(list(paths(tree)))), data.draw(st.sampled_from(VALUES))))
    check(bundle)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../b", "..", "C:\\x", "a\0b", "x" * 5000, "\ud800", "", ".", "kie"]
)
def test_no_name_in_its_description_leads_out_of_it(bundle: Path, name: str) -> None:
    (bundle.parent / "secret").write_text("secret")
    content = description(bundle)
    content["files"][name] = hashlib.sha256(b"secret").hexdigest()
    describe(bundle, content)
    with pytest.raises(BundleError, match=r"outside|missing|cannot be read"):
        Bundle.load(bundle)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_does_not_lead_out_of_it(bundle: Path, kind: str) -> None:
    outside = bundle.parent / "outside"
    shutil.move(bundle / "kie", outside)
    if kind == "folder":
        (bundle / "kie").symlink_to(outside)
    else:
        (bundle / "kie").mkdir()
        for file in outside.iterdir():
            (bundle / "kie" / file.name).symlink_to(file)
    with pytest.raises(BundleError, match="outside"):
        Bundle.load(bundle)


def test_a_pipe_in_place_of_a_file_does_not_hang(bundle: Path) -> None:
    (bundle / "README.md").unlink()
    os.mkfifo(bundle / "README.md")
    with pytest.raises(BundleError, match="missing"):
        Bundle.load(bundle)


@pytest.mark.parametrize("raw", [b"[" * 100_000, b"9" * 5000, b"\xff\xfe", b"", b"null"], ids=range(5))
def test_a_description_that_is_none(bundle: Path, raw: bytes) -> None:
    (bundle / "bundle.json").write_bytes(raw)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        Bundle.load(bundle)


@pytest.mark.parametrize("part", PARTS)
@settings(max_examples=40, **QUICK)  # type: ignore[arg-type]
@given(
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=5), keep=st.floats(0.01, 1.5)
)
def test_no_changed_bytes_raise_anything_but_a_config_error(
    good: Path, tmp_path: Path, part: str, changes: list[tuple[float, int]], keep: float
) -> None:
    bundle = shutil.copytree(good, tmp_path / "bundle", dirs_exist_ok=True)
    data = bytearray((good / part).read_bytes())
    reach = min(len(data), 4000)  # of the weights only the header can do any harm
    for place, value in changes:
        data[int(place * (reach - 1))] = value
    put(bundle, part, bytes(data[: int(len(data) * keep)]))
    check(bundle)


@settings(max_examples=50, **QUICK)  # type: ignore[arg-type]
@given(data=st.data())
def test_no_value_in_a_model_s_configuration_raises_anything_but_a_config_error(
    good: Path, tmp_path: Path, data: st.DataObject
) -> None:
    bundle = shutil.copytree(good, tmp_path / "bundle", dirs_exist_ok=True)
    tree = json.loads((good / "kie/config.json").read_text(encoding="utf-8"))
    tree = changed(tree, data.draw(st.sampled_from(list(paths(tree)))), data.draw(st.sampled_from(VALUES)))
    put(bundle, "kie/config.json", json.dumps(tree).encode())
    check(bundle)


@pytest.mark.parametrize("size", [2**63 - 1, 2**40, 10**8, 0])
def test_a_huge_header_of_the_weights_is_refused(bundle: Path, size: int) -> None:
    put(bundle, "kie/model.safetensors", struct.pack("<Q", size) + b"{}")
    with pytest.raises(BundleError, match="kie"):
        load_annotator(Bundle.load(bundle))


def test_weights_that_promise_more_than_they_hold_are_refused(bundle: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 2**64 - 4]}}).encode()
    put(bundle, "kie/model.safetensors", struct.pack("<Q", len(header)) + header)
    with pytest.raises(BundleError, match="kie"):
        load_annotator(Bundle.load(bundle))


def test_a_configuration_that_asks_for_all_memory_is_refused(bundle: Path) -> None:
    config = json.loads((bundle / "kie/config.json").read_text(encoding="utf-8"))
    put(bundle, "kie/config.json", json.dumps({**config, "vocab_size": 2**40}).encode())
    with pytest.raises(BundleError, match=r"vocab_size is 1099511627776, but model\.safetensors has \d+ bytes"):
        load_annotator(Bundle.load(bundle))
