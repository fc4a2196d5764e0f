"""Every recorded folder is covered by a parity test; a new one fails here until a test reads it."""

from __future__ import annotations

import importlib
from pathlib import Path

COVERED = {
    "layoutlm_ser": "test_layoutlm_ser",
    "layoutlmv2_ser/layoutxlm": "test_layoutlmv2",
    "layoutlmv2_ser/layoutxlm_relpos": "test_layoutlmv2",
    "layoutlmv2_ser/v2": "test_layoutlmv2",
    "layoutlmv2_visual_full": "test_visual_backbone",
    "ms_re": "test_ms_re",
    "paddle_full_re/plain": "test_paddle_re",
    "paddle_full_ser/plain": "test_paddle_full_ser",
    "paddle_full_ser/relpos": "test_paddle_full_ser",
    "paddle_vi_re/plain": "test_paddle_re",
    "paddle_vi_re/relpos": "test_paddle_re",
    "paddle_vi_ser/fastqkv": "test_paddle_vi_ser",
    "paddle_vi_ser/plain": "test_paddle_vi_ser",
    "paddle_vi_ser/relpos": "test_paddle_vi_ser",
    "ppocr_encode": "test_ppocr_encode",
    "ppocr_post": "test_ppocr_post",
}
"""Folder of recorded cases, and the module beside this file whose tests read it."""


def recorded_folders(root: Path) -> set[str]:
    """Folders that hold recorded cases: those with a meta*.json, and at the top level any other."""
    described = {file.parent.relative_to(root).as_posix() for file in root.rglob("meta*.json")} - {"."}
    tops = {item.name for item in root.iterdir() if item.is_dir()}
    return described | {top for top in tops if not any(name.split("/")[0] == top for name in described)}


def test_every_folder_has_its_test(fixtures_dir: Path) -> None:
    assert sorted(recorded_folders(fixtures_dir)) == sorted(COVERED)


def test_the_tests_exist_and_name_their_folder() -> None:
    for folder, name in COVERED.items():
        source = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
        module = importlib.import_module(f"tests.parity.{name}")
        assert any(attribute.startswith("test_") for attribute in dir(module)), name
        for part in folder.split("/"):
            assert part in source, f"{name} does not read {folder}"


def test_an_uncovered_folder_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "new" / "variant").mkdir(parents=True)
    (tmp_path / "new" / "variant" / "meta_1.json").touch()
    (tmp_path / "bare").mkdir()
    assert recorded_folders(tmp_path) == {"new/variant", "bare"}
