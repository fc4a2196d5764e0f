"""`python -m kie_ray.client`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kie_ray.client.__main__ import main
from kie_ray.schemas import row_to_document
from tests.kie_ray.client.scripted import ScriptedServer, good, problem, record, scripted_server


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "form.png"
    path.write_bytes(b"data")
    return path


def test_a_table_of_fields(server: ScriptedServer, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers = [good("form.png")]
    assert main([server.url, str(file), "--model", "zh", "--min-score", "0.25"]) == 0
    head, _, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["document", "page", "key", "value", "score"]
    assert row.split() == ["form.png", "0", "Name", "Ada", "0.50"]
    assert server.seen[0].query == {"name": ["form.png"], "model": ["zh"], "min_score": ["0.25"]}


def test_records_as_lines(server: ScriptedServer, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers = [good("表.png"), problem(400, detail="broken", category="corrupt", stage="read")]
    assert main(["--json", "--concurrency=1", server.url, str(file), str(file)]) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert row_to_document(first) == row_to_document(record("表.png"))
    assert (second["status"], second["error"]["category"], second["uri"]) == ("failed", "corrupt", "form.png")


def test_a_failed_file_is_named(server: ScriptedServer, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers = [good("form.png")]
    assert main([server.url, str(file), str(file.with_name("nowhere.png"))]) == 1
    assert "nowhere.png: not_found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "URL"),
        (["http://host"], "FILE"),
        (["nonsense", "a.png"], "url = 'nonsense'"),
        (["http://host", "a.png", "--min-score", "high"], "--min-score 'high'"),
        (["http://host", "a.png", "--colour"], "colour"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_wrong_key_is_one_line(server: ScriptedServer, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers = [problem(401, detail="a valid API key is needed")]
    assert main([server.url, str(file)]) == 2
    assert capsys.readouterr().err.startswith("error: HTTP 401: a valid API key is needed")


def test_as_a_command(server: ScriptedServer, file: Path) -> None:
    server.answers = [good("表.png")]
    done = subprocess.run(
        [sys.executable, "-m", "kie_ray.client", server.url, str(file)],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "KIE_RAY_API_KEY": "k"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\\u8868.png" in done.stdout
    assert server.seen[0].headers["authorization"] == "Bearer k"
