"""What a run tells other programs, read from a real Ray: Prometheus counters of a node and JSON logs of a worker."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from kie_ray.errors import Category, ErrorItem, Stage
from pipelines.counters import Counts
from pipelines.parallel import in_threads
from tests.job_support import ROOT, environment
from tests.pipelines.document_rows import document_row

CORRUPT = ErrorItem.of(Stage.READ, Category.CORRUPT, "cut off")

SCRIPT = """
import glob, json, sys, time, urllib.request
sys.path.insert(0, {root!r})
import ray
from pipelines.counters import Counts, CountsActor
from pipelines.kie_stage import log_failure

rows = json.loads({rows!r})
context = ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=10**8)
actor = ray.remote(num_cpus=0)(CountsActor).remote()
for row in rows:
    counts = Counts()
    counts.add([row])
    ray.get(actor.add.remote(counts))
ray.get(ray.remote(num_cpus=0)(lambda: [log_failure(row) for row in rows]).remote())
node = ray.nodes()[0]
address = f"http://{{node['NodeManagerAddress']}}:{{node['MetricsExportPort']}}/metrics"
found, logged = [], []
deadline = time.monotonic() + 60
while time.monotonic() < deadline and not (len({{line.split("{{")[0] for line in found}}) == 4 and logged):
    time.sleep(0.5)
    text = urllib.request.urlopen(address, timeout=10).read().decode()
    found = [line for line in text.splitlines() if line.startswith("ray_kie_ray_")]
    files = glob.glob(context.address_info["session_dir"] + "/logs/worker-*.err")
    logged = [line for file in files for line in open(file) if "cut off" in line]
total = ray.get(actor.total.remote())
print(json.dumps({{"metrics": found, "logged": logged, "rows": total.rows, "pages": total.pages}}))
ray.shutdown()
"""


@pytest.fixture(scope="module")
def told() -> Mapping[str, Any]:
    rows = [document_row("good", 3), document_row("part", 1, CORRUPT), document_row("good2", 2)]
    script = SCRIPT.format(root=str(ROOT), rows=json.dumps(rows))
    extra = {"RAY_metrics_report_interval_ms": "500", "RAY_LOGGING_CONFIG_ENCODING": "JSON"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_prometheus_finds_the_counters_of_a_run(told: Mapping[str, Any]) -> None:
    values = {}
    for line in told["metrics"]:
        name, _, rest = line.partition("{")
        labels, _, value = rest.rpartition("} ")
        kept = [label for label in labels.split(",") if label.partition("=")[0] in ("status", "stage", "category")]
        values[f"{name} {' '.join(sorted(kept))}".strip()] = float(value)
    assert values == {
        "ray_kie_ray_pages_total": 6.0,
        'ray_kie_ray_documents_total status="ok"': 2.0,
        'ray_kie_ray_documents_total status="partial"': 1.0,
        'ray_kie_ray_errors_total category="corrupt" stage="read"': 1.0,
        'ray_kie_ray_stage_seconds_total stage="ocr"': 6.0,
    }
    assert (told["rows"], told["pages"]) == (3, 6)


def test_a_failed_document_is_one_json_line_with_keys_of_its_own(told: Mapping[str, Any]) -> None:
    (line,) = told["logged"]
    record = json.loads(line)
    assert {name: record[name] for name in ("levelname", "doc_id", "uri", "stage", "category")} == {
        "levelname": "WARNING",
        "doc_id": "part",
        "uri": "/part",
        "stage": "read",
        "category": "corrupt",
    }
    assert record["message"] == "partial, corrupt in read: /part: cut off"


def test_counts_add_up() -> None:
    one, other = Counts(), Counts()
    one.add([document_row("a", 2), document_row("b", 0, CORRUPT)])
    other.add([document_row("c", 1, CORRUPT)])
    one.merge(other)
    assert (one.rows, one.pages, one.failed, one.busy["ocr"]) == (3, 3, 2, 6.0)
    assert one.statuses == {"ok": 1, "failed": 1, "partial": 1}
    assert one.errors == {("read", "corrupt"): 2}


def test_threads_keep_the_order_and_are_not_far_ahead() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(200):
            taken.append(number)
            yield number

    results = in_threads(lambda number: number * number, source(), threads=3)
    assert next(results) == 0
    assert len(taken) <= 7
    assert list(results) == [number * number for number in range(1, 200)]
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda number: 1 // number, [2, 1, 0]))
