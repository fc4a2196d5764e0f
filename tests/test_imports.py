"""Imports go down only: jobs -> pipelines -> kie_ray; the library never imports Ray."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "kie_ray": {"ray", "pipelines", "jobs", "argparse"},
    "pipelines": {"jobs", "argparse"},
    "jobs": {"ray"},
}


def imported_modules(file: Path) -> set[str]:
    """Top-level names that a file imports anywhere, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("floor", FORBIDDEN)
def test_imports_go_down_only(floor: str) -> None:
    files = sorted((ROOT / floor).rglob("*.py"))
    assert files, f"{floor}/ holds no Python file"
    wrong = {
        str(file.relative_to(ROOT)): sorted(bad) for file in files if (bad := imported_modules(file) & FORBIDDEN[floor])
    }
    assert not wrong


def test_the_check_sees_imports_inside_functions(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text("def f():\n    from ray.data import read_parquet\n")
    assert imported_modules(file) == {"ray"}


def test_ray_is_not_loaded_with_the_library() -> None:
    import subprocess
    import sys

    code = "import sys, kie_ray.extractor, kie_ray.evaluation, kie_ray.training.trainer; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_the_driver_of_the_batch_job_starts_without_the_models() -> None:
    """torch and transformers take seconds to import; the driver only plans and writes."""
    import subprocess
    import sys

    code = "import sys, pipelines.extract; print([name for name in ('torch', 'transformers') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
