"""The endpoint in a process of its own with a Ray of its own, on loopback and a free port.

`python -m benchmarks.endpoint PORT [key=value ...]` serves until its standard input ends; settings as `serve run
pipelines.online:app` takes them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 300.0
STOP_SECONDS = 60.0

_PARENT, _SESSION, _USER, _SYSTEM, _BORN = 1, 3, 11, 12, 19  # of what `_stat` gives


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running endpoint; `pid` is that of the process at the root of all its processes."""

    url: str
    pid: int

    def replicas(self, deployment: str) -> list[int]:
        """Process ids of a deployment's replicas."""
        return [pid for pid in _family(self.pid) if _role(pid) == deployment]

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time so far, by what the processes are: a deployment's name, proxy (of HTTP) or ray (all else)."""
        seconds: dict[str, float] = {}
        for pid in _family(self.pid):
            if stat := _stat(pid):
                used = (int(stat[_USER]) + int(stat[_SYSTEM])) / os.sysconf("SC_CLK_TCK")
                seconds[_role(pid)] = seconds.get(_role(pid), 0.0) + used
        return seconds


@contextlib.contextmanager
def endpoint(log: Path, *settings: str) -> Iterator[Endpoint]:
    """A ready endpoint; at the end all its processes, and nobody else's, are gone.

    Raises:
        RuntimeError: it ended, or was not ready within 5 minutes; shows the end of its log.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_") and name != "PYTHONPATH"}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.endpoint", str(port), *settings],
            cwd=ROOT,
            env=kept,
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(process, url, log)
        yield Endpoint(url, process.pid)
    finally:
        _stop(process)


def memory_of(pid: int) -> dict[str, int]:
    """Bytes of a process: `rss`, and `private`, without what it shares with others (Ray's object store, libraries)."""
    sizes = {"Rss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in sizes:
            sizes[name] += int(rest.split()[0]) * 1024
    return {"rss": sizes["Rss"], "private": sizes["Private_Clean"] + sizes["Private_Dirty"]}


def serve_until_told(port: int, settings: list[str]) -> None:
    """Serve in this process's own Ray until standard input ends."""
    import ray
    from ray import serve

    from pipelines.online import app
    from pipelines.quiet import quiet_ray

    quiet_ray()
    ray.init(address="local", include_dashboard=False, log_to_driver=True)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(app(dict(item.split("=", 1) for item in settings)), name="kie_ray", route_prefix="/")
    sys.stdin.read()
    serve.shutdown()
    ray.shutdown()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(f"{url}/healthz", timeout=30, trust_env=False).status_code == 200:
                return
        time.sleep(0.5)
    tail = log.read_text(encoding="utf-8", errors="replace")[-3000:]
    raise RuntimeError(f"the endpoint at {url} did not become ready (exit status {process.poll()}):\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    family = _family(process.pid)
    assert process.stdin is not None
    process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    family |= _family(process.pid)
    for pid, born in family.items():
        if _stat(pid)[_BORN : _BORN + 1] == [born]:  # not another process that got the number since
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)


def _role(pid: int) -> str:
    """A deployment's name, "proxy" or "ray", from the title that Ray gives to its processes."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "ray"
    if title.startswith("ray::ServeReplica:"):
        return title.split(":")[-1].split(".")[0]
    return "proxy" if title.startswith("ray::ProxyActor") else "ray"


def _family(pid: int) -> dict[int, str]:
    """`pid`, its descendants and all that share its session, each with the time of its birth."""
    stats = {int(entry.name): _stat(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdecimal()}
    stats = {number: stat for number, stat in stats.items() if stat}
    found = {number for number, stat in stats.items() if number == pid or int(stat[_SESSION]) == pid}
    grown = True
    while grown:
        more = {number for number, stat in stats.items() if int(stat[_PARENT]) in found} - found
        found |= more
        grown = bool(more)
    return {number: stats[number][_BORN] for number in found}


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


if __name__ == "__main__":
    serve_until_told(int(sys.argv[1]), sys.argv[2:])
