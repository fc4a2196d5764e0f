"""Real Ray nodes on this machine, each a `ray start` of its own: several raylets, and the loss of a whole machine.

A cluster has its own token, session folder and ports, so that nothing else on the machine joins it by accident.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.job_support import environment, kill_group

RAY = Path(sys.executable).parent / "ray"
_START_SECONDS = 120
_OBJECT_STORE_BYTES = 200_000_000


class Node:
    """One raylet (the head: with GCS and dashboard) and what it has started. `scratch`: its own temporary folder."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, scratch: Path) -> None:
        self.process = process
        self.log = log
        self.scratch = scratch

    def kill(self) -> None:
        """SIGKILL to the raylet and to every process below it, as when the machine goes away."""
        kill_group(self.process)


class RayNodes:
    """A head and any number of workers. `address` for drivers, `dashboard` for `ray job`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._token = secrets.token_hex(32)
        port, dashboard, client = _free_ports(3)
        self.address = ""  # known once the head runs: it chooses among the machine's addresses
        self.dashboard = f"http://127.0.0.1:{dashboard}"
        self._head_options = [
            *("--head", "--port", str(port), "--ray-client-server-port", str(client)),
            *("--include-dashboard", "true", "--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard)),
        ]
        self.nodes: list[Node] = []

    def environment(self, **extra: str) -> dict[str, str]:
        """Variables of a driver or a `ray job` command that may use this cluster."""
        (self._folder / "home").mkdir(exist_ok=True)
        return environment(
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN=self._token,
            RAY_TMPDIR=str(self._folder),  # `ray start` leaves the address of the newest cluster there, for all to join
            RAY_USAGE_STATS_ENABLED="0",
            RAY_health_check_period_ms="1000",  # a dead node is noticed within seconds; Ray's own is 20
            RAY_health_check_initial_delay_ms="1000",
            HOME=str(self._folder / "home"),
            PATH=f"{RAY.parent}{os.pathsep}{os.environ['PATH']}",  # a job's `python` is that of the node's PATH
            **extra,
        )

    def start(self, num_cpus: int) -> Node:
        """Start a node (the first one is the head) without waiting for it; `wait` does."""
        number = len(self.nodes)
        scratch = self._folder / f"n{number}"
        scratch.mkdir()
        log = self._folder / f"n{number}.log"
        options = ["--address", self.address] if self.nodes else self._head_options
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [
                    *(str(RAY), "start", "--block", "--disable-usage-stats", *options),
                    *("--num-cpus", str(num_cpus), "--object-store-memory", str(_OBJECT_STORE_BYTES)),
                    *("--dashboard-agent-listen-port", "0"),
                ],
                env=self.environment(TMPDIR=str(scratch)),
                cwd="/",
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self.nodes.append(Node(process, log, scratch))
        return self.nodes[-1]

    def wait(self, *nodes: Node) -> None:
        """Until `nodes` run.

        Raises:
            AssertionError: with the log of the one that does not.
        """
        deadline = time.monotonic() + _START_SECONDS
        for node in nodes:
            while b"Ray runtime started" not in node.log.read_bytes():
                assert node.process.poll() is None, node.log.read_text()
                assert time.monotonic() < deadline, node.log.read_text()
                time.sleep(0.05)
        found = re.search(rb"--address='([^']+)'", self.nodes[0].log.read_bytes())
        assert found is not None
        self.address = found[1].decode()

    def ask(self, path: str, method: str = "GET") -> Any:
        """The JSON that the dashboard answers for `path`, such as `/api/jobs/NAME`."""
        request = urllib.request.Request(
            self.dashboard + path, method=method, headers={"Authorization": f"Bearer {self._token}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def stop(self) -> None:
        for node in reversed(self.nodes):
            node.kill()


@contextlib.contextmanager
def running_nodes(head_cpus: int, *worker_cpus: int) -> Iterator[RayNodes]:
    """A cluster of a head and workers with so many logical CPUs; all its processes are killed when the block ends."""
    # not pytest's folder: the paths of Ray's sockets below it must stay short
    folder = Path(tempfile.mkdtemp(prefix="kr"))
    nodes = RayNodes(folder)
    try:
        nodes.wait(nodes.start(head_cpus))
        for cpus in worker_cpus:  # one after the other: two that start at once may choose the same ports and hang
            nodes.wait(nodes.start(cpus))
        yield nodes
    finally:
        nodes.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
