"""What Ray itself takes of the cores while a job like ours runs: the floor under the job's overhead.

    python benchmarks/idle_ray.py [--cores N] [--rows-per-block N] [--seconds N] [--json FILE] [--quick]

A Ray Data job of the batch job's shape (manifest, checkpoint, repartition, a task, two pools, Parquet) on a Ray that is
started as the batch job starts it. Its stages only sleep, a second a row in the first pool, so every second of CPU is
Ray's. `--cores`: the machine to stand for (2): one worker a core in the first pool, one for 16 in the second; the cores
that are there only have to carry Ray. Counted over `--seconds` (60; `--quick`: 10) in the middle of the run, for the
driver and all processes below it. The last line is the share of one core, and of all of them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

_SETTLING = 5.0
_ENDING = 10
_ROW_SECONDS, _MODEL_SECONDS = 1.0, 0.03


class Sleep:
    """A stage that takes `seconds` a row and computes nothing."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, table: pa.Table) -> pa.Table:
        time.sleep(self._seconds * table.num_rows)
        return table


def cpu_seconds() -> dict[str, float]:
    """Of this process and all below it that live, by what they are."""
    found: dict[str, float] = {}
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times, command = process.cpu_times(), process.cmdline()
        except psutil.Error:
            continue
        name = command[0] if command and command[0].startswith("ray::") else Path(process.name()).name
        key = "driver" if process.pid == psutil.Process().pid else f"{name} {process.pid}"
        found[key] = times.user + times.system
    return found


def run(folder: Path, rows: int, cores: int, rows_per_block: int) -> None:
    """The job, from its manifest in `folder` to Parquet."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy
    from ray.data.checkpoint import CheckpointConfig

    tasks = math.ceil(cores / 4)
    (folder / "manifest").mkdir()
    pq.write_table(pa.table({"row_id": [str(row) for row in range(rows)]}), folder / "manifest/part-0.parquet")
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.use_datasource_v2 = False
    context.checkpoint_config = CheckpointConfig(
        id_column="row_id", checkpoint_path=str(folder / "checkpoint"), delete_checkpoint_on_success=False
    )
    dataset = ray.data.read_parquet(str(folder / "manifest"), num_cpus=0.1, concurrency=tasks)
    dataset = dataset.repartition(target_num_rows_per_block=rows_per_block)
    dataset = dataset.map_batches(
        lambda table: table, batch_format="pyarrow", compute=TaskPoolStrategy(size=tasks), num_cpus=0.1
    )
    for seconds, actors in ((_ROW_SECONDS, cores), (_MODEL_SECONDS, math.ceil(cores / 16))):
        dataset = dataset.map_batches(
            Sleep,
            fn_constructor_args=(seconds,),
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=2),
            num_cpus=0.5,
        )
    dataset.write_parquet(
        str(folder / "out"), min_rows_per_file=rows_per_block, ray_remote_args={"num_cpus": 0.1}, concurrency=tasks
    )


def main() -> int:
    from pipelines import cluster
    from pipelines.quiet import quiet_ray

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--rows-per-block", type=int, default=2, help="the job takes 16 on a long run")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="10 seconds")
    options = parser.parse_args()
    seconds = 10.0 if options.quick else options.seconds
    quiet_ray()
    samples: list[dict[str, float]] = []

    def watch(output: Path) -> None:
        while not (output.is_dir() and any(output.iterdir())):  # until every stage has its processes
            time.sleep(0.5)
        for wait in (_SETTLING, seconds):
            time.sleep(wait)
            samples.append(cpu_seconds())

    with tempfile.TemporaryDirectory() as folder:
        cluster.connect(min_cpus=options.cores + 2)
        watcher = threading.Thread(target=watch, args=(Path(folder) / "out",))
        watcher.start()
        rows = int(options.cores * (_SETTLING + seconds + _ENDING) / _ROW_SECONDS)
        run(Path(folder), rows, options.cores, options.rows_per_block)
        watcher.join()
    before, after = samples
    shares = {name: (spent - before.get(name, 0.0)) / seconds for name, spent in after.items() if name in before}
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        if share >= 0.001:
            print(f"{share:6.1%}  {name}")
    if options.json:
        said = {"cores": options.cores, "rows_per_block": options.rows_per_block, "seconds": seconds, "shares": shares}
        options.json.write_text(json.dumps(said, indent=2) + "\n")
    total = sum(shares.values())
    print(f"share of one core: {total:.3f}, of {options.cores}: {total / options.cores:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
