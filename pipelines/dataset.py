"""The batch job as a Ray Data graph: manifest -> download -> OCR pool -> model pool -> documents/.

    read_parquet(manifest)   the checkpoint filter drops finished rows here, before anything is downloaded
      -> blocks of a few rows
      -> Fetch (tasks) -> OcrActor pool -> KieActor pool (for a bundle of two models: one for SER, one for RE)
      -> write_parquet(documents/), append only, fixed schema

The stages are plain classes beside their adapters in `fetch`, `ocr_stage` and `kie_stage`; each module imports only
what its own stage needs, because every Ray worker that runs it pays for the import.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy
from ray.data.checkpoint import CheckpointConfig

from kie_ray.schemas import DOCUMENT_SCHEMA
from pipelines.cluster import SMALL_TASK_CPUS, Plan, PoolPlan
from pipelines.config import ExtractConfig
from pipelines.fetch import Fetch
from pipelines.kie_stage import KieActor
from pipelines.layout import OutputLayout
from pipelines.ocr_stage import OcrActor
from pipelines.tables import JobContext

_ROWS_PER_BLOCK = 16
_MOST_ROWS_PER_BLOCK = 256
_BLOCK_BYTES = 2 * 2**20
_ROWS_PER_FILE_AND_SLOT = 500
_MOST_ROWS_PER_FILE = 10_000


def run_dataset(layout: OutputLayout, fingerprint: str, steps: Steps, plan: Plan, job: JobContext) -> None:
    """Process every row of the manifest that no earlier invocation has committed, and write it to documents/.

    Returns when all is written. A row is written and committed together (Ray's two-phase checkpoint), so a kill at any
    moment costs work but neither loses nor doubles a row.
    """
    context = DataContext.get_current()
    earlier, earlier_v2 = context.checkpoint_config, context.use_datasource_v2
    context.checkpoint_config = checkpoint_config(layout, fingerprint)
    # The newer Parquet source lists files in a task of one whole CPU that cannot be told to take less. On a resumed run
    # the filter and the pools hold the CPUs by then, and all of them wait for ever (seen on 4 logical CPUs, Ray 2.60).
    context.use_datasource_v2 = False
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    context.execution_options.verbose_progress = False
    context.execution_no_progress_timeout_s = job.config.no_progress_seconds
    try:
        build_dataset(layout, steps, plan, job).write_parquet(
            layout.documents,
            filesystem=layout.filesystem,
            # Never mode=OVERWRITE: with a checkpoint it deletes rows that the filter then skips for ever.
            min_rows_per_file=steps.rows_per_file,
            ray_remote_args={"num_cpus": SMALL_TASK_CPUS},
            concurrency=small_tasks(plan),
            schema=DOCUMENT_SCHEMA,
            compression="zstd",
        )
    finally:
        context.checkpoint_config = earlier
        context.use_datasource_v2 = earlier_v2


def build_dataset(layout: OutputLayout, steps: Steps, plan: Plan, job: JobContext) -> ray.data.Dataset:
    """The lazy dataset up to the rows of DOCUMENT_SCHEMA."""
    config = job.config
    dataset = ray.data.read_parquet(
        layout.manifest, filesystem=layout.filesystem, num_cpus=SMALL_TASK_CPUS, concurrency=small_tasks(plan)
    )
    # The checkpoint filter sits behind a read and nowhere else, and is left out without a word behind other sources.
    # override_num_blocks does not cut blocks as wanted here: the newer source ignores it for small files, the older one
    # cuts a second time behind the filter (Ray 2.60).
    dataset = dataset.repartition(target_num_rows_per_block=steps.rows_per_block)
    # Such a task takes a whole CPU too, with the same dead-lock on a resumed run, and as many run at a time as there is
    # room for, each in a process of its own that is started for it; `repartition` has no argument for either.
    repartition: Any = dataset._logical_plan.dag
    repartition.ray_remote_args["num_cpus"] = SMALL_TASK_CPUS
    object.__setattr__(repartition, "compute", TaskPoolStrategy(size=small_tasks(plan)))
    dataset = dataset.map_batches(
        Fetch(config.fetch, config.limits.max_bytes),
        batch_size=None,
        batch_format="pyarrow",
        compute=TaskPoolStrategy(size=small_tasks(plan)),
        num_cpus=config.fetch.num_cpus,
        udf_modifying_row_count=False,
    )
    dataset = _actors(dataset, OcrActor, plan.ocr, job)
    if plan.re is None:
        return _actors(dataset, KieActor, plan.ser, job, ("ser", "re"))
    dataset = _actors(dataset, KieActor, plan.ser, job, ("ser",))
    return _actors(dataset, KieActor, plan.re, job, ("re",))


def checkpoint_config(layout: OutputLayout, fingerprint: str) -> CheckpointConfig:
    """Ray Data's checkpoint of this run, kept after success: without it a second run would append all rows again."""
    config = CheckpointConfig(
        id_column="row_id",
        checkpoint_path=layout.checkpoint(fingerprint),
        delete_checkpoint_on_success=False,
        override_filesystem=layout.filesystem,
    )
    # One filter actor is enough for ids, and each takes a whole CPU.
    config.checkpoint_actor_pool_max_size = 1
    config.checkpoint_actor_memory_bytes = 256 * 2**20
    return config


@dataclass(frozen=True)
class Steps:
    """How many rows travel together, and how many are written and committed together."""

    rows_per_block: int
    rows_per_file: int


def steps_of(config: ExtractConfig, rows: int, mean_bytes: float | None, plan: Plan) -> Steps:
    """Steps of a run of `rows` rows, where the configuration leaves them open.

    A block is few enough rows that every actor gets about 32 turns, and at most 16, or as many as hold 2 MiB where
    documents are small (`mean_bytes` each), up to 256: what Ray does a block costs as much as a small document. A file
    is a fiftieth of the run, at most 500 rows an OCR actor and 10 000 in all, and more of small documents in the same
    measure: a kill costs the rows that wait for their file, which is work of some minutes, and 10 000 pages of a form
    make about 130 MB.
    """
    small = max(1.0, min(_MOST_ROWS_PER_BLOCK, _BLOCK_BYTES / max(1.0, mean_bytes or math.inf)) / _ROWS_PER_BLOCK)
    block = max(1, min(int(_ROWS_PER_BLOCK * small), math.ceil(rows / (32 * plan.slots))))
    block = config.splitting.rows_per_block or block
    most = int(small * min(_ROWS_PER_FILE_AND_SLOT * plan.slots, _MOST_ROWS_PER_FILE))
    return Steps(block, config.splitting.rows_per_file or max(block, min(most, math.ceil(rows / 50))))


def small_tasks(plan: Plan) -> int:
    """Read, download and write tasks at a time, each: more would only start processes that wait."""
    return max(1, math.ceil(plan.slots / 4))


def _actors(
    dataset: ray.data.Dataset, kind: type, pool: PoolPlan, job: JobContext, *arguments: Any
) -> ray.data.Dataset:
    fixed = pool.min_size == pool.max_size
    return dataset.map_batches(
        kind,
        fn_constructor_args=(job, pool.threads, *arguments),
        batch_size=None,
        batch_format="pyarrow",
        # two blocks wait at an actor: enough that it never idles, few enough that the last ones spread over all actors
        compute=ActorPoolStrategy(
            size=pool.min_size if fixed else None,
            min_size=None if fixed else pool.min_size,
            max_size=None if fixed else pool.max_size,
            max_tasks_in_flight_per_actor=2,
        ),
        num_cpus=pool.num_cpus,
        num_gpus=pool.num_gpus,
        udf_modifying_row_count=False,
    )
