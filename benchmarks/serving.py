"""The endpoint under load: its batches against batches of one, its latencies, an overload, its memory.

    python benchmarks/serving.py [--data DIR] [--json FILE] [--quick] [--pages N] [--clients 16] [--no-ocr]
           [--set key=value ...]

Starts `pipelines.online:app` with its defaults (and `--set`) in a Ray of its own on loopback, and once more with
batches of one page in OCR and models. Both get the same loads of `--clients` clients, each with one request at a time:

    lines   the gold lines of a page as JSON: models only
    ocr     the image of a page: decoding, OCR and models

The default server also gets requests until it has had 200 and 2000, at which the memory of its model replica is read;
as many clients as it admits however they arrive, which is the length of its queue of lines; and four times as many as
it can hold, queue and replicas together: right answers are then 200, and 429 or 503 with Retry-After, which the clients
honour. After that single requests say when it answers as before.

Pages: those of DIR in the layout of XFUND (xfund_zh/zh_val) and FUNSD (funsd/testing_data), else the samples of the
package. The load comes from this process, on the cores that the server uses too; its own processor time is shown, and
what each kind of process computes a document. Every load is bounded in requests and in time. The last line is the ratio
of documents/s (lines) to batches of one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.endpoint import Endpoint, endpoint, memory_of  # noqa: E402
from benchmarks.load import Load, Sent, closed_load, percentile, time_to_recover  # noqa: E402
from kie_ray.client.body import pages_body  # noqa: E402
from kie_ray.datasets import read_annotations, with_sizes  # noqa: E402
from kie_ray.datasets.images import find_image  # noqa: E402
from kie_ray.records import Page  # noqa: E402
from pipelines.online.config import OnlineConfig, config_of  # noqa: E402

SAMPLES = ROOT / "kie_ray/samples"
BATCHES_OF_ONE = ("ocr_replicas.batch_size=1", "model_replicas.batch_size=1")
OVERLOAD = 4
RECOVERED_SECONDS = 10.0
MEMORY_GROWTH = 1.10
CROWDED = 0.5  # of a core: above, the load generator is a part of what it measures

_LOADS_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything. `memory`: the two numbers of requests at which the memory is read."""

    lines: int = 480
    images: int = 48
    overload_seconds: float = 20.0
    memory: tuple[int, int] = (200, 2000)


QUICK = Plan(lines=64, images=4, overload_seconds=5.0, memory=(100, 200))


@dataclass(frozen=True, slots=True)
class Pages:
    """What is sent: lines and images of the same pages."""

    lines: Sequence[Sent]
    images: Sequence[Sent]


def gather_pages(data: Path | None, count: int) -> Pages:
    """`count` pages at most, of both data sets in turn. Raises SystemExit where `data` has none."""
    found: list[tuple[Page, Path]] = []
    if data is None:
        found = _annotated(SAMPLES / "labels.txt", SAMPLES)
    else:
        sets = [
            _annotated(labels, images)
            for labels, images in (
                (data / "xfund_zh/zh_val/val.json", data / "xfund_zh/zh_val/image"),
                (data / "funsd/testing_data", data / "funsd/testing_data/images"),
            )
            if labels.exists()
        ]
        found = [page for pages in zip(*sets, strict=False) for page in pages] if sets else []
        if not found:
            raise SystemExit(f"--data {data} holds neither xfund_zh/zh_val/val.json nor funsd/testing_data")
    found = found[:count]
    return Pages(
        [Sent(pages_body([page], page.source).head, "application/json") for page, _ in found],
        [Sent(image.read_bytes(), "application/octet-stream") for _, image in found],
    )


def _annotated(labels: Path, folder: Path) -> list[tuple[Page, Path]]:
    pages, _ = read_annotations(labels)
    images = [(page, find_image(page.source, folder)) for page in with_sizes(pages, folder)]
    return [(page, image) for page, image in images if image is not None]


def batching(server: Endpoint, pages: Pages, plan: Plan, clients: int, ocr: bool) -> dict[str, dict[str, Any]]:
    """Reports of the loads that both servers get, after as many requests as clients to warm up.

    With `core_milliseconds`: what each kind of process computes a document.
    """
    kinds: dict[str, tuple[Sequence[Sent], int]] = {
        "lines": (pages.lines, plan.lines),
        **({"ocr": (pages.images, plan.images)} if ocr else {}),
    }
    reports = {}
    for name, (sent, count) in kinds.items():
        run(closed_load(server.url, sent, clients, count=min(clients, count), seconds=_LOADS_SECONDS))
        before = server.cpu_seconds()
        load: Load = run(closed_load(server.url, sent, clients, count=count, seconds=_LOADS_SECONDS))
        used = {role: seconds - before.get(role, 0.0) for role, seconds in server.cpu_seconds().items()}
        used["generator"] = load.cpu_seconds
        costs = {role: round(1000 * seconds / max(1, len(load.good)), 1) for role, seconds in sorted(used.items())}
        reports[name] = {**load.report(), "core_milliseconds": costs}
    return reports


def overload(server: Endpoint, sent: Sequence[Sent], config: OnlineConfig, plan: Plan) -> dict[str, Any]:
    """As many clients as the server admits, then four times what it holds, then the time until it answers as before."""
    admitted, held = capacity(config)
    alone = run(closed_load(server.url, sent, 1, count=10, seconds=60))
    full = run(closed_load(server.url, sent, admitted, count=3 * admitted, seconds=_LOADS_SECONDS))
    over = run(closed_load(server.url, sent, OVERLOAD * held, seconds=plan.overload_seconds, busy_allowed=True))
    # `closed_load` waits for what is under way when its time is up: that is a part of the recovery.
    draining = max(0.0, over.seconds - plan.overload_seconds)
    slowest = percentile([one.seconds for one in alone.good], 95) or 1.0
    steady = run(time_to_recover(server.url, sent[0], fast=2 * slowest + 0.1))
    return {
        "admitted_load": full.report(),
        "overload": over.report(),
        "recovery_seconds": None if steady is None else round(draining + steady, 2),
        "draining_seconds": round(draining, 2),
        "alone_p95_seconds": slowest,
    }


def capacity(config: OnlineConfig) -> tuple[int, int]:
    """Requests with lines that are taken when they come all at once, and those that are held when they come one by one.

    The queue fills before the first request has reached a replica.
    """
    replicas = config.model_replicas
    queue = replicas.max_queued_requests
    if queue < 0:
        raise SystemExit("model_replicas.max_queued_requests=-1: a queue without an end cannot be overloaded")
    return max(1, queue), queue + replicas.min_replicas * replicas.max_ongoing_requests


def memory(server: Endpoint, sent: Sequence[Sent], counts: tuple[int, int], clients: int) -> dict[str, Any]:
    """Memory of the model replica, the largest where there are several, after each of `counts` requests in all."""
    done, sizes = 0, []
    for count in counts:
        load = run(closed_load(server.url, sent, clients, count=count - done, seconds=4 * _LOADS_SECONDS))
        if len(load.good) != count - done:
            raise SystemExit(f"memory: {count - done - len(load.good)} requests failed: {load.report()['wrong']}")
        done = count
        replicas = server.replicas("models")
        if not replicas:
            raise SystemExit("no process of a model replica was found")
        sizes.append(max((memory_of(pid) for pid in replicas), key=lambda size: size["rss"]))
    few, many = sizes
    return {"requests": list(counts), "bytes": sizes, "growth": round(many["rss"] / few["rss"], 4)}


def run(load: Any) -> Any:
    return asyncio.run(load)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    plan = QUICK if options.quick else Plan()
    pages = gather_pages(options.data, options.pages)
    config = config_of(dict(item.split("=", 1) for item in options.set))
    result: dict[str, Any] = {"pages": len(pages.lines), "clients": options.clients, "settings": options.set}
    with endpoint(folder / "one.log", *options.set, *BATCHES_OF_ONE) as server:
        one = batching(server, pages, plan, options.clients, not options.no_ocr)
    with endpoint(folder / "default.log", *options.set) as server:
        # First, while the replica has had no other request.
        result["memory"] = memory(server, pages.lines, plan.memory, options.clients)
        default = batching(server, pages, plan, options.clients, not options.no_ocr)
        result |= overload(server, pages.lines, config, plan)
    for name in default:
        result[name] = {"batches": default[name], "of_one": one[name]}
        rate, of_one = (report["documents_per_second"] for report in (default[name], one[name]))
        result[name]["ratio"] = rate / max(of_one, 1e-9)
    result["ratio"] = result["lines"]["ratio"]
    return result


def lines_of(result: dict[str, Any]) -> Iterable[str]:
    """The result for people."""
    loads: dict[str, dict[str, Any]] = {}
    for name in ("lines", "ocr"):
        if name in result:
            loads |= {f"{name}, default": result[name]["batches"], f"{name}, batches of one": result[name]["of_one"]}
    loads |= {"as many as admitted": result["admitted_load"], "overload": result["overload"]}
    for name, load in loads.items():
        shares = ", ".join(f"p{share} {load[f'p{share}_seconds']} s" for share in (50, 95, 99))
        yield (
            f"{name}: {load['clients']} clients, {load['documents_per_second']:.2f} documents/s, {shares}; "
            f"answers {load['statuses']}; generator {load['generator_cpu_share']:.0%} of a core"
        )
        if costs := load.get("core_milliseconds"):
            yield "  milliseconds of a core a document: " + ", ".join(f"{name} {cost}" for name, cost in costs.items())
        if load["wrong"]:
            yield f"  WRONG: {load['wrong']}"
        if load["generator_cpu_share"] > CROWDED:
            yield "  the load generator took more than half a core: the figures of this load are those of both"
    seconds = result["recovery_seconds"]
    recovered = "not recovered" if seconds is None else f"recovered {seconds} s after the overload ended"
    yield f"{recovered} ({_verdict(seconds is not None and seconds <= RECOVERED_SECONDS)}: at most 10 s)"
    growth, sizes = result["memory"]["growth"], [size["rss"] / 2**20 for size in result["memory"]["bytes"]]
    few, many = result["memory"]["requests"]
    yield (
        f"model replica: {sizes[0]:.0f} MiB after {few} requests, {sizes[1]:.0f} MiB after {many}, "
        f"x{growth:.3f} ({_verdict(growth <= MEMORY_GROWTH)}: at most x{MEMORY_GROWTH:.2f})"
    )
    if "ocr" in result:
        yield f"ratio with OCR: {result['ocr']['ratio']:.3f}"
    yield f"ratio: {result['ratio']:.3f}"


def _verdict(good: bool) -> str:
    return "ok" if good else "NOT OK"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="a few requests of each load; the figures mean little")
    parser.add_argument("--pages", type=int, default=100, metavar="N", help="pages that the requests take in turn")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--no-ocr", action="store_true", help="leave out the loads of images")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="setting of both servers")
    options = parser.parse_args()
    if bad := [item for item in options.set if "=" not in item]:
        parser.error(f"--set takes key=value, not {bad[0]!r}")
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    print("\n".join(lines_of(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
