"""How long a page of this run takes in OCR and in the models, timed on a few documents before the pools are sized."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pyarrow as pa
import ray

from kie_ray.schemas import MANIFEST_SCHEMA
from pipelines.attempts import remove_ledger
from pipelines.cluster import Plan, PoolPlan
from pipelines.config import ExtractConfig
from pipelines.costs import Costs, costs_of
from pipelines.fetch import Fetch
from pipelines.kie_stage import KieActor
from pipelines.layout import OutputLayout
from pipelines.ocr_stage import OcrActor
from pipelines.parquet_files import read_batches
from pipelines.tables import JobContext

logger = logging.getLogger(__name__)

_DOCUMENTS = 8
_SEEN = 512
_TIMEOUT = 900.0


def is_worth_it(config: ExtractConfig, plan: Plan, rows: int, cores: int) -> bool:
    """Whether the run is long enough that the time of a calibration does not matter, and leaves a pool's size open.

    Who gives a pool's workers several threads has sized it: then the rules stay.
    """
    least = config.pools.calibrate_from * cores
    pools = [getattr(config.pools, name) for name in plan.pools]
    single = all(pool.threads in {None, 1} for pool in pools)
    return 0 < least <= rows and single and any(pool.size is None for pool in pools)


def calibrate(layout: OutputLayout, plan: Plan, job: JobContext) -> Costs | None:
    """Send the first pages of a few documents of the manifest through one worker of each pool of `plan`.

    None, with a warning, where nothing can be told: no page could be read, or a worker died of them.
    """
    apart = replace(job, counts=None, invocation=f"{job.invocation}-calibration")  # deaths here count for nobody
    try:
        tables = [*Fetch(job.config.fetch, job.config.limits.max_bytes)(_sample(layout))]
        tables = _on_a_worker(plan.ocr, OcrActor, apart, tables)
        if plan.re is None:
            tables = _on_a_worker(plan.ser, KieActor, apart, tables, ("ser", "re"))
        else:
            tables = _on_a_worker(plan.ser, KieActor, apart, tables, ("ser",))
            tables = _on_a_worker(plan.re, KieActor, apart, tables, ("re",))
    except ray.exceptions.RayError as error:
        logger.warning("pools are sized without a calibration: %s", type(error).__name__)
        return None
    finally:
        remove_ledger(apart.invocation)
    costs = costs_of([row for table in tables for row in table.to_pylist()], separate_re=plan.re is not None)
    if costs is None:
        logger.warning("pools are sized without a calibration: none of %d documents has a page", _DOCUMENTS)
    return costs


def _sample(layout: OutputLayout) -> pa.Table:
    """The first page of a few documents among the first of the manifest, evenly spread."""
    first = min(file.path for file in layout.files(layout.manifest))
    batch, _ = next(read_batches(layout.filesystem, first, most_rows=_SEEN))
    rows = [row for row in batch.to_pylist() if row["error"] is None]
    count = min(_DOCUMENTS, len(rows))
    chosen = [rows[index * len(rows) // count] for index in range(count)]
    for row in chosen:
        row["first_page"] = row["last_page"] = row["first_page"] or 0
    return pa.Table.from_pylist(chosen, schema=MANIFEST_SCHEMA)


def _on_a_worker(
    pool: PoolPlan, actor: type[OcrActor] | type[KieActor], job: JobContext, tables: list[pa.Table], *rest: Any
) -> list[pa.Table]:
    def work(job: JobContext, tables: list[pa.Table]) -> list[pa.Table]:
        stage = actor(job, pool.threads, *rest)
        return [result for table in tables for result in stage(table)]

    # one call a process: the models are not to stay in a worker that then waits for small tasks
    options: dict[str, Any] = {"num_cpus": pool.num_cpus, "num_gpus": pool.num_gpus, "max_retries": 0, "max_calls": 1}
    task = ray.remote(**options)(work).remote(job, tables)
    try:
        results: list[pa.Table] = ray.get(task, timeout=_TIMEOUT)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(task, force=True)
        raise
    return results
