"""RE with and without visual backbone against PaddleNLP's recorded outputs.

PaddleNLP raises on pages without candidates; there ours must give no pair and a finite loss.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parity import paddle_re

FOLDERS = ("paddle_vi_re/relpos", "paddle_vi_re/plain", "paddle_full_re/plain")
EMPTY_CASES = ("no_pairs", "two_entities", "two_entities_512rows")


@pytest.mark.parametrize("case_name", ["main", "infer_all_pairs"])
@pytest.mark.parametrize("source", paddle_re.SOURCES)
@pytest.mark.parametrize("folder", FOLDERS)
def test_pairs_logits_and_loss(fixtures_dir: Path, folder: str, source: str, case_name: str) -> None:
    paddle_re.check_pairs(fixtures_dir / folder, source, case_name)


@pytest.mark.parametrize("folder", FOLDERS)
def test_hidden_states_of_text_positions(fixtures_dir: Path, folder: str) -> None:
    paddle_re.check_hidden_states(fixtures_dir / folder)


@pytest.mark.parametrize("case_name", EMPTY_CASES)
@pytest.mark.parametrize("folder", FOLDERS)
def test_pages_on_which_the_reference_raises(fixtures_dir: Path, folder: str, case_name: str) -> None:
    paddle_re.check_page_on_which_the_reference_raises(fixtures_dir / folder, case_name)


@pytest.mark.parametrize("case_name", EMPTY_CASES)
@pytest.mark.parametrize("folder", FOLDERS)
def test_by_default_a_question_and_an_answer_are_a_candidate(fixtures_dir: Path, folder: str, case_name: str) -> None:
    paddle_re.check_default_candidates(fixtures_dir / folder, case_name)
