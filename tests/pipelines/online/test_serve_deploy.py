"""The documented file on a Ray head, by the commands that a person types. It answers what the batch job writes."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.job_support import ROOT, environment, kill_group, run_job, table
from tests.pipelines.online.serve_support import Answer, Endpoint, free_port, wait_until
from tests.pipelines.online.test_endpoint import SAMPLES, assert_same, form_page

FILE = ROOT / "deploy/serve.yaml"
BIN = Path(sys.executable).parent
TOKEN = secrets.token_hex(32)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the dashboard of a Ray head with two CPUs, which also runs `serve deploy`'s commands."""
    dashboard, log = free_port(), tmp_path_factory.mktemp("head") / "log"
    folder = tempfile.mkdtemp(prefix="krs", dir="/tmp")  # short: the paths of sockets are limited
    command = [
        *(str(BIN / "ray"), "start", "--head", "--block", "--num-cpus=2", "--object-store-memory=300000000"),
        *(f"--port={free_port()}", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={free_port()}"),
        *("--include-dashboard=true", "--disable-usage-stats", f"--ray-client-server-port={free_port()}"),
        f"--temp-dir={folder}",
    ]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=_environment(), stdout=stream, stderr=stream, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{dashboard}"
        wait_until(lambda: process.poll() is not None or _status(address).returncode == 0, 120, "the head")
        assert process.poll() is None, log.read_text()
        yield address
    finally:
        kill_group(process)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def deployed(head: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Endpoint, dict[str, Any], Path]:
    """The endpoint, the tree of its file (the documented one on a free port), and the file."""
    tree = yaml.safe_load(FILE.read_text())
    tree["http_options"] |= {"host": "127.0.0.1", "port": free_port()}
    file = tmp_path_factory.mktemp("deploy") / "serve.yaml"
    _deploy(head, file, tree)
    endpoint = Endpoint(f"http://127.0.0.1:{tree['http_options']['port']}", "")
    wait_until(lambda: _healthy(endpoint), 240, "health")
    return endpoint, tree, file


def _environment() -> dict[str, str]:
    """Ray 2.60 asks for a token; its commands send it only in this mode."""
    return environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN)


def _status(head: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "serve"), "status", "--address", head]
    return subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=60, check=False)


def _deploy(head: str, file: Path, tree: dict[str, Any]) -> None:
    file.write_text(yaml.safe_dump(tree))
    command = [str(BIN / "serve"), "deploy", str(file), "--address", head]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def _healthy(endpoint: Endpoint) -> bool:
    with contextlib.suppress(urllib.error.URLError, ConnectionError):
        return endpoint.ask("/healthz").status == 200
    return False


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_documented_file(head: str, deployed: tuple[Endpoint, dict[str, Any], Path]) -> None:
    endpoint, tree, file = deployed
    status = yaml.safe_load(_status(head).stdout)["applications"]["kie"]
    assert status["status"] == "RUNNING"
    assert {name: item["status"] for name, item in status["deployments"].items()} == dict.fromkeys(
        ("ingress", "ocr", "models"), "HEALTHY"
    )

    def links() -> int:
        answer = endpoint.ask_lines([form_page(1)])
        assert answer.status == 200, answer.body
        return len(answer.json()["pages"][0]["links"])

    before = links()
    assert before > 0
    tree["applications"][0]["deployments"][0]["user_config"]["re_threshold"] = 1.0
    _deploy(head, file, tree)
    wait_until(lambda: links() == 0, 60, "the new threshold")
    tree["applications"][0]["deployments"][0]["user_config"]["re_threshold"] = None
    _deploy(head, file, tree)
    wait_until(lambda: links() == before, 60, "the old threshold")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_answers_are_those_of_the_batch_job(deployed: tuple[Endpoint, dict[str, Any], Path], tmp_path: Path) -> None:
    """All samples, four at a time, so that their pages share calls of engine and models."""
    endpoint, _, _ = deployed
    done = run_job(SAMPLES, "--output", tmp_path / "out", timeout=600)
    assert done.returncode == 0, done.stderr
    rows = {Path(row["uri"]).name: row for row in table(tmp_path / "out", "documents").to_pylist()}
    assert len(rows) == 7

    def ask(name: str) -> Answer:
        return endpoint.ask(f"/v1/extract?name={name}", (SAMPLES / name).read_bytes(), timeout=280)

    with ThreadPoolExecutor(4) as pool:
        answers = dict(zip(rows, pool.map(ask, rows), strict=True))
    for name, answer in answers.items():
        assert answer.status == 200, answer.body
        record = answer.json()
        assert set(record) == set(rows[name])
        for part in ("pages", "fields", "media_type", "size", "status", "error", "first_page", "last_page"):
            assert_same(record[part], rows[name][part], f"{name}.{part}")
        origins = [{**row["provenance"], "fingerprint": None} for row in (record, rows[name])]
        assert origins[0] == origins[1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_new_version_costs_no_request(head: str, deployed: tuple[Endpoint, dict[str, Any], Path]) -> None:
    """Other arguments, so that all replicas are replaced, while four clients ask without a pause."""
    endpoint, tree, file = deployed
    stop = threading.Event()
    statuses: list[int] = []

    def client() -> None:
        while not stop.is_set():
            statuses.append(endpoint.ask_lines([form_page(1)]).status)

    def started() -> Any:
        return sorted(pid for name in ("ingress", "ocr", "models") for pid in _replicas(name))

    before = started()
    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client) for _ in range(4)]
        tree["applications"][0]["args"]["retry_after_seconds"] = 3
        _deploy(head, file, tree)
        wait_until(lambda: len(started()) == 3 and not set(started()) & set(before), 240, "the new replicas")
        stop.set()
        for one in clients:
            one.result()
    assert set(statuses) == {200}
    assert len(statuses) > 20


def _replicas(deployment: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            title = (entry / "cmdline").read_bytes()
            if (
                f"ServeReplica:kie:{deployment}".encode() in title
                and TOKEN.encode() in (entry / "environ").read_bytes()
            ):
                found.append(int(entry.name))
    return found
