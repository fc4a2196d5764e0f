"""The batch job from arguments to run.json: find the documents, run the dataset, finalize, report."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from kie_ray.errors import ConfigError, DocumentError
from kie_ray.models.bundle import Bundle
from kie_ray.schemas import SCHEMA_VERSION
from kie_ray.storage import read_bytes
from pipelines import cluster
from pipelines.attempts import remove_ledger
from pipelines.calibration import calibrate, is_worth_it
from pipelines.config import ExtractConfig
from pipelines.costs import Costs
from pipelines.counters import Counts, CountsActor
from pipelines.dataset import run_dataset, steps_of
from pipelines.derive import write_tables
from pipelines.finalize import remove_uncommitted, verify_rows
from pipelines.fingerprint import RunIdentity, digest
from pipelines.ids import SetDigest
from pipelines.inputs import Skipped, stored_documents
from pipelines.layout import OutputLayout
from pipelines.manifest import write_listing, write_manifest
from pipelines.merge import finish_merging, merge_small_files
from pipelines.parallel import in_threads
from pipelines.parquet_files import count_rows
from pipelines.phases import Counted, phase
from pipelines.probe import ray_page_counts
from pipelines.progress import ProgressDisplay
from pipelines.provenance import provenance, versions
from pipelines.quiet import quiet_ray, without_ray_core_lines
from pipelines.report import write_report_page, write_run_preview
from pipelines.run_options import ExtractOptions, check_engines, load_config
from pipelines.run_report import Machines, run_report, stage_workers
from pipelines.tables import JobContext
from pipelines.timeline import Timeline

_ANNOTATIONS_BYTES = 4 * 2**30


@dataclass(frozen=True)
class ExtractResult:
    """A finished run. `report`: content of run.json; `resumed`: rows that were there before; `actors` by pool."""

    layout: OutputLayout
    report: Mapping[str, Any]
    skipped: Skipped
    resumed: int
    already_finished: bool
    preview: str | None = None
    actors: Mapping[str, int] = field(default_factory=dict)

    @property
    def error_rate(self) -> float:
        documents = self.report["documents"]
        return self.report["failed"] / documents if documents else 0.0


def extract(options: ExtractOptions) -> ExtractResult:
    """Process all documents that `options` name and leave OUTPUT complete, or raise.

    An interrupted run is continued, a finished one is left as it is.

    Raises:
        ConfigError: arguments, configuration, inputs or OUTPUT do not fit.
        IncompleteRun: rows are missing or double after the run.
    """
    config = load_config(options)
    bundle = Bundle.load(options.model)
    check_engines(config, bundle)
    layout = OutputLayout(options.output)
    with layout.locked():
        if options.restart:
            layout.remove_run()
        listing = f"{layout.hidden}/listing"
        skipped = Skipped()
        # a limit takes the first ones, which must be the same at every start
        documents = Counted(stored_documents(options.inputs, skipped, any_order=options.limit is None))
        with phase("listing documents", documents, seconds=config.progress_seconds):
            found = write_listing(documents, layout, listing, options.limit)
        if found.count == 0:
            hint = f"; {skipped.count} files are no documents by their extension" if skipped.count else ""
            raise ConfigError(f"no document in {' '.join(options.inputs)}{hint}")
        identity = _identity(config, bundle, found)
        state = layout.read_json(layout.state_file)
        if state is None and (foreign := layout.foreign()):
            raise ConfigError(
                f"--output {options.output} already holds {', '.join(foreign)} of something else; "
                "choose another --output, or --restart to remove it"
            )
        if state is not None and state["fingerprint"] != identity.fingerprint:
            differing = " and ".join(identity.differences(state["identity"]))
            raise ConfigError(
                f"--output {options.output} holds a run that differs in {differing}; "
                "choose another --output, or --restart to start over"
            )
        report = layout.read_json(layout.run_file)
        if state is not None and report is not None and report.get("fingerprint") == identity.fingerprint:
            layout.delete_dir(listing)
            preview = _preview(layout, options, config, bundle)
            return ExtractResult(layout, report, skipped, report["documents"], True, preview)
        with without_ray_core_lines():
            return _run(_Job(options, config, bundle, layout, identity, skipped), state, listing)


def _identity(config: ExtractConfig, bundle: Bundle, found: SetDigest) -> RunIdentity:
    annotations = ""
    if config.ocr.engine == "annotations" and config.ocr.annotations:
        try:
            annotations = hashlib.sha256(read_bytes(config.ocr.annotations, _ANNOTATIONS_BYTES)).hexdigest()[:16]
        except DocumentError as error:
            raise ConfigError(f"--annotations {config.ocr.annotations}: {error.item.message}") from error
    return RunIdentity(found.hex(), bundle.fingerprint, digest(config.results_part()), annotations, str(SCHEMA_VERSION))


@dataclass(frozen=True)
class _Job:
    """What a run is about, told once."""

    options: ExtractOptions
    config: ExtractConfig
    bundle: Bundle
    layout: OutputLayout
    identity: RunIdentity
    skipped: Skipped

    def phase(self, what: str) -> AbstractContextManager[None]:
        return phase(what, seconds=self.config.progress_seconds)


def _run(job: _Job, state: dict[str, Any] | None, listing: str) -> ExtractResult:
    """One start of a run: make the rows that are not there yet, then finalize."""
    config, bundle, layout, identity = job.config, job.bundle, job.layout, job.identity
    started = time.monotonic()
    fingerprint = identity.fingerprint
    quiet_ray()
    started_here = cluster.connect(config=config)
    invocation = uuid.uuid4().hex[:16]
    try:
        cores = cluster.usable_cpus() if started_here else None
        separate_re = not bundle.shared and set(bundle.info.tasks) == {"ser", "re"}
        plan = cluster.plan_pools(config, ray.cluster_resources(), cores, separate_re=separate_re)
        if state is None:
            with job.phase("writing the manifest and counting pages of long documents"):
                rows = write_manifest(layout, listing, layout.manifest, config, ray_page_counts(config, plan.slots))
            state = {
                "fingerprint": fingerprint,
                "identity": asdict(identity),
                "rows": rows.digest.count,
                "rows_digest": rows.digest.hex(),
                "mean_bytes": rows.mean_bytes,
                "documents": int(identity.inputs.split("-")[0]),
                "seconds": 0.0,
            }
            layout.write_json(layout.state_file, state)
        layout.delete_dir(listing)
        finish_merging(layout)
        remove_uncommitted(layout, fingerprint)
        done_before = committed_rows(layout, fingerprint)
        clock = _Clock(layout, state, started)
        costs = None
        if done_before < state["rows"]:
            # beside the driver: a machine that the cloud may take away would take the counts along
            here: Any = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
            counts_actor: Any = ray.remote(num_cpus=0, scheduling_strategy=here)(CountsActor).remote()
            origin = provenance(config, bundle, fingerprint)
            context = JobContext(config, job.options.model, origin, invocation, counts_actor, bundle.info.image)

            def poll() -> Counts:
                counts: Counts = ray.get(counts_actor.total.remote(), timeout=5)
                return counts

            clock.tick(Counts())
            if is_worth_it(config, plan, state["rows"] - done_before, cores or int(ray.cluster_resources()["CPU"])):
                with job.phase("timing OCR and models on a few pages, to size the pools"):
                    costs = calibrate(layout, plan, context)
                plan = cluster.plan_pools(config, ray.cluster_resources(), cores, separate_re=separate_re, costs=costs)
            seconds = config.progress_seconds
            steps = steps_of(config, state["rows"], state.get("mean_bytes"), plan)
            with ProgressDisplay(state["rows"], done_before, poll, seconds=seconds, on_tick=clock.tick):
                run_dataset(layout, fingerprint, steps, plan, context)
        report, preview = _finalize(job, state["rows_digest"], plan, cores, done_before, clock, costs)
    finally:
        remove_ledger(invocation)
        if started_here:
            ray.shutdown()
    actors = {name: pool.max_size for name, pool in plan.pools.items()}
    return ExtractResult(layout, report, job.skipped, done_before, False, preview, actors)


def _finalize(
    job: _Job, expected: str, plan: cluster.Plan, cores: int | None, resumed: int, clock: _Clock, costs: Costs | None
) -> tuple[dict[str, Any], str | None]:
    """Check that every row is there, merge small files, write the flat tables and the reports, and run.json last."""
    config, bundle, layout = job.config, job.bundle, job.layout
    remove_uncommitted(layout, job.identity.fingerprint)
    verify_rows(layout, expected)
    resources = ray.cluster_resources()
    machines = Machines(cores or resources.get("CPU", 0.0), resources.get("GPU", 0.0))
    at_a_time = max(2, int(machines.cpus))
    if config.splitting.merge_files:
        with job.phase("merging small files of documents/"):
            merge_small_files(layout, at_a_time)
            verify_rows(layout, expected)
    with job.phase("writing fields/, entities/ and errors/"):
        totals = write_tables(layout, config.splitting.rows_per_table_file, at_a_time)
    with job.phase("drawing the preview"):
        preview = _preview(layout, job.options, config, bundle)
    report = run_report(
        totals,
        clock.seconds,
        stage_workers(plan, config),
        machines,
        config.prices,
        {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "fingerprint": job.identity.fingerprint,
            "schema_version": SCHEMA_VERSION,
            "resumed_rows": resumed,
            "ocr": config.ocr.engine,
            "bundle": {"name": bundle.info.name, "fingerprint": bundle.fingerprint},
            "pools": asdict(plan),
            "calibration": asdict(costs) if costs else None,
            "settings": config.differences(),
            "skipped_inputs": asdict(job.skipped),
            "versions": versions(),
            "timeline": clock.timeline.samples,
        },
    )
    write_report_page(layout, report)
    layout.write_json(layout.run_file, report)
    return report, preview


class _Clock:
    """Seconds of a run over all its starts, and its timeline; what `state.json` remembers when this start is killed."""

    def __init__(self, layout: OutputLayout, state: Mapping[str, Any], started: float) -> None:
        self._layout = layout
        self._state = state
        self._began = started - float(state["seconds"])
        self.timeline = Timeline(state.get("timeline", ()))

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def tick(self, counts: Counts) -> None:
        seconds = self.seconds
        self.timeline.add(seconds, counts)
        state = {**self._state, "seconds": seconds, "timeline": self.timeline.samples}
        self._layout.write_json(self._layout.state_file, state)


def _preview(layout: OutputLayout, options: ExtractOptions, config: ExtractConfig, bundle: Bundle) -> str | None:
    if not options.preview:
        return None
    write_run_preview(layout, options.preview, config, bundle.info.labels)
    return layout.shown(f"{layout.preview}/index.html")


def committed_rows(layout: OutputLayout, fingerprint: str) -> int:
    """Rows that earlier invocations have written and committed, from the footers of the checkpoint files."""
    files = (item.path for item in layout.files(layout.checkpoint(fingerprint)))
    committed = (path for path in files if not path.endswith(".pending.parquet"))
    return sum(in_threads(lambda path: count_rows(layout.filesystem, path), committed))
