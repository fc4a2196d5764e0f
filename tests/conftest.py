"""Paths to the recorded fixtures and data sets; tests that need them skip with a reason where they are missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _existing(variable: str, default: Path, what: str) -> Path:
    path = Path(os.environ.get(variable, default))
    if not path.is_dir():
        pytest.skip(f"{what} not found at {path}; set {variable}")
    return path


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """Outputs recorded from the reference systems."""
    return _existing("KIE_RAY_FIXTURES", ROOT.parent / "shared/fixtures/open", "parity fixtures")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder that holds `xfund_zh` and `funsd` (non-commercial licences: never copied into the project)."""
    return _existing("KIE_RAY_DATA", ROOT.parent / "shared/data", "XFUND and FUNSD data")


@pytest.fixture(scope="session")
def xfund_zh(data_dir: Path) -> Path:
    return data_dir / "xfund_zh"


@pytest.fixture(scope="session")
def funsd(data_dir: Path) -> Path:
    return data_dir / "funsd"
