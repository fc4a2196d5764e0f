"""What the tests of the endpoint share: Ray Serve on free ports, requests, and the processes behind it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema

from pipelines.quiet import quiet_ray
from tests.job_support import descendants


@dataclass(frozen=True)
class Answer:
    """Status, headers and body of one HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Endpoint:
    """A running application: `address` of HTTP, `metrics` of Prometheus' page on this node."""

    address: str
    metrics: str

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        media_type: str = "application/octet-stream",
        timeout: float = 120,
    ) -> Answer:
        """GET, or POST where there is a body."""
        request = urllib.request.Request(self.address + path, body, {"Content-Type": media_type})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def ask_lines(self, pages: list[dict[str, Any]], query: str = "", **options: Any) -> Answer:
        """Given lines in place of a file."""
        body = json.dumps({"name": "lines.json", "pages": pages}).encode()
        return self.ask(f"/v1/extract{query}", body, "application/json", **options)

    def deploy(self, arguments: Mapping[str, Any], models: Mapping[str, Any] | None = None) -> None:
        """What `serve deploy` does with such a file, in place of what runs; waits until it is there.

        `models`: what stands below `deployments:` for the deployment of that name.
        """
        deployments = [] if models is None else [{"name": "models", **models}]
        application = {
            "name": "kie",
            "route_prefix": "/",
            "import_path": "pipelines.online:app",
            "args": dict(arguments),
            "deployments": deployments,
        }
        _get_global_client().deploy_apps(ServeDeploySchema.model_validate({"applications": [application]}))
        wait_until(_running, 180, "the application")


def _running() -> bool:
    status = serve.status().applications["kie"]
    assert "FAILED" not in status.status, status.message
    return status.status == "RUNNING"


@contextlib.contextmanager
def endpoint(
    arguments: Mapping[str, Any], build: Callable[[Mapping[str, Any]], serve.Application] | None = None
) -> Iterator[Endpoint]:
    """The application on a Ray of its own, deployed as `Endpoint.deploy` does, or as what `build` makes of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("RAY_worker_niceness", "0")
        quiet_ray()
        http, metrics = free_port(), free_port()
        ray.init(
            address="local",
            num_cpus=4,
            object_store_memory=300 * 2**20,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _metrics_export_port=metrics,
            _system_config={"metrics_report_interval_ms": 1000},
        )
        try:
            serve.start(http_options={"host": "127.0.0.1", "port": http}, logging_config={"log_level": "ERROR"})
            running = Endpoint(f"http://127.0.0.1:{http}", f"http://127.0.0.1:{metrics}/metrics")
            if build is None:
                running.deploy(arguments)
            else:
                serve.run(build(arguments), name="kie", route_prefix="/")
            yield running
        finally:
            with contextlib.suppress(Exception):
                serve.shutdown()
            ray.shutdown()


def replica_pids(deployment: str) -> list[int]:
    """Process ids of a deployment's replicas, also of those that still start."""
    found = []
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):
            if f"ServeReplica:kie:{deployment}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def multipart(file: bytes, annotations: str | None = None) -> tuple[bytes, str]:
    """Body and media type of a form with these parts."""
    parts = [b'--edge\r\nContent-Disposition: form-data; name="file"; filename="page.png"\r\n\r\n' + file]
    if annotations is not None:
        head = b'--edge\r\nContent-Disposition: form-data; name="annotations"\r\n\r\n'
        parts.append(head + annotations.encode())
    return b"\r\n".join([*parts, b"--edge--\r\n"]), "multipart/form-data; boundary=edge"


def wait_until(condition: Callable[[], Any], seconds: float = 60, what: str = "it") -> Any:
    """What `condition` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        assert time.monotonic() < deadline, f"{what} never came in {seconds} s"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
