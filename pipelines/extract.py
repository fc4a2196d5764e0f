"""The batch job from arguments to run.json: find the documents, run the dataset, finalize, report."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow.parquet as pq
import ray

from kie_ray.config import load_settings
from kie_ray.errors import ConfigError, DocumentError
from kie_ray.models.bundle import Bundle
from kie_ray.models.runtime import Runtime, choose_runtime
from kie_ray.ocr import build_engine
from kie_ray.ocr.engine import check_engine
from kie_ray.ocr.paddleocr_models import chosen_models
from kie_ray.schemas import SCHEMA_VERSION
from kie_ray.storage import read_bytes
from kie_ray.storage.places import local_path, scheme_of
from pipelines import cluster
from pipelines.attempts import remove_ledger
from pipelines.config import ExtractConfig
from pipelines.dataset import run_dataset
from pipelines.finalize import remove_uncommitted, run_report, verify_rows, write_tables
from pipelines.fingerprint import RunIdentity, digest
from pipelines.ids import SetDigest
from pipelines.inputs import Skipped, stored_documents
from pipelines.layout import OutputLayout
from pipelines.manifest import write_listing, write_manifest
from pipelines.probe import ray_page_counts
from pipelines.progress import Counts, CountsActor, ProgressDisplay
from pipelines.provenance import provenance, versions
from pipelines.quiet import quiet_ray, without_ray_core_lines
from pipelines.report import write_run_preview
from pipelines.tables import JobContext

_ANNOTATIONS_BYTES = 4 * 2**30


@dataclass(frozen=True)
class ExtractOptions:
    """What the command line says."""

    inputs: Sequence[str]
    output: str
    model: str | None = None
    ocr: str | None = None
    annotations: str | None = None
    runtime: Runtime | None = None
    config_file: str | None = None
    overrides: Sequence[str] = ()
    limit: int | None = None
    preview: int = 0
    restart: bool = False


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
    _check_runtime(config, bundle)
    _check_ocr(config)
    layout = OutputLayout(options.output)
    with layout.locked():
        if options.restart:
            layout.remove_run()
        listing = f"{layout.hidden}/listing"
        skipped = Skipped()
        found = write_listing(stored_documents(options.inputs, skipped), layout, listing, options.limit)
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
            return _run(options, config, bundle, layout, identity, state, listing, skipped)


def load_config(options: ExtractOptions) -> ExtractConfig:
    """The typed configuration: file, then --set, then the flags of their own."""
    config = load_settings(ExtractConfig, options.config_file, options.overrides)
    ocr = config.ocr.model_copy()
    if options.annotations is not None:
        if options.ocr not in (None, "annotations"):
            raise ConfigError(f"--annotations is for --ocr annotations, not --ocr {options.ocr}")
        ocr.engine, ocr.annotations = "annotations", options.annotations
    elif options.ocr is not None:
        ocr.engine = options.ocr  # type: ignore[assignment]  # checked by the model
    if ocr.engine == "annotations" and not ocr.annotations:
        raise ConfigError("--ocr annotations needs --annotations FILE")
    if ocr.annotations and scheme_of(ocr.annotations) == "file":
        ocr.annotations = str(local_path(ocr.annotations))
    config.ocr = ocr
    if options.runtime is not None:
        config.model.runtime = options.runtime
    return config


def _check_ocr(config: ExtractConfig) -> None:
    """A malformed label file, a wrong model directory, a failed download are told now and not by an actor."""
    check_engine(config.ocr)
    downloads = config.ocr.engine == "paddleocr" and any(model.folder is None for model in chosen_models(config.ocr))
    if config.ocr.engine == "annotations" or downloads:
        build_engine(config.ocr.model_copy(update={"device": "cpu"}))


def _check_runtime(config: ExtractConfig, bundle: Bundle) -> None:
    """Raises ConfigError now, and not in an actor, where the models cannot run as `config` says."""
    device = "cuda" if config.device == "cuda" else "cpu"
    for pool in (config.pools.ser, config.pools.re):
        dtype = "float32" if pool.dtype == "auto" else pool.dtype
        choose_runtime(bundle, config.model.runtime, device=device, dtype=dtype)


def _identity(config: ExtractConfig, bundle: Bundle, found: SetDigest) -> RunIdentity:
    annotations = ""
    if config.ocr.engine == "annotations" and config.ocr.annotations:
        try:
            annotations = hashlib.sha256(read_bytes(config.ocr.annotations, _ANNOTATIONS_BYTES)).hexdigest()[:16]
        except DocumentError as error:
            raise ConfigError(f"--annotations {config.ocr.annotations}: {error.item.message}") from error
    return RunIdentity(found.hex(), bundle.fingerprint, digest(config.results_part()), annotations, str(SCHEMA_VERSION))


def _run(
    options: ExtractOptions,
    config: ExtractConfig,
    bundle: Bundle,
    layout: OutputLayout,
    identity: RunIdentity,
    state: dict[str, Any] | None,
    listing: str,
    skipped: Skipped,
) -> ExtractResult:
    started = time.monotonic()
    fingerprint = identity.fingerprint
    quiet_ray()
    started_here = cluster.connect()
    invocation = uuid.uuid4().hex[:16]
    try:
        cores = cluster.usable_cpus() if started_here else None
        separate_re = not bundle.shared and set(bundle.info.tasks) == {"ser", "re"}
        plan = cluster.plan_pools(config, ray.cluster_resources(), cores, separate_re=separate_re)
        if state is None:
            rows = write_manifest(layout, listing, layout.manifest, config, ray_page_counts(config, plan.slots))
            state = {
                "fingerprint": fingerprint,
                "identity": asdict(identity),
                "rows": rows.count,
                "rows_digest": rows.hex(),
                "documents": int(identity.inputs.split("-")[0]),
                "seconds": 0.0,
            }
            layout.write_json(layout.state_file, state)
        layout.delete_dir(listing)
        remove_uncommitted(layout, fingerprint)
        done_before = committed_rows(layout, fingerprint)
        spent_before = float(state["seconds"])

        def remember_time(_: float) -> None:
            layout.write_json(layout.state_file, {**state, "seconds": spent_before + time.monotonic() - started})

        if done_before < state["rows"]:
            counts_actor: Any = ray.remote(num_cpus=0)(CountsActor).remote()
            origin = provenance(config, bundle, fingerprint)
            job = JobContext(config, options.model, origin, invocation, counts_actor, bundle.info.image)

            def poll() -> Counts:
                counts: Counts = ray.get(counts_actor.total.remote(), timeout=5)
                return counts

            with ProgressDisplay(
                state["rows"], done_before, poll, seconds=config.progress_seconds, on_tick=remember_time
            ):
                run_dataset(layout, fingerprint, state["rows"], plan, job)
        report, preview = _finalize(options, config, bundle, layout, state, plan, skipped, done_before, started)
    finally:
        remove_ledger(invocation)
        if started_here:
            ray.shutdown()
    actors = {name: pool.max_size for name, pool in plan.pools.items()}
    return ExtractResult(layout, report, skipped, done_before, False, preview, actors)


def _finalize(
    options: ExtractOptions,
    config: ExtractConfig,
    bundle: Bundle,
    layout: OutputLayout,
    state: Mapping[str, Any],
    plan: cluster.Plan,
    skipped: Skipped,
    resumed: int,
    started: float,
) -> tuple[dict[str, Any], str | None]:
    """Check that every row is there, write the flat tables and the preview, and run.json last."""
    fingerprint = state["fingerprint"]
    remove_uncommitted(layout, fingerprint)
    verify_rows(layout, state["rows_digest"])
    totals = write_tables(layout, config.splitting.rows_per_table_file)
    preview = _preview(layout, options, config, bundle)
    report = run_report(
        totals,
        float(state["seconds"]) + time.monotonic() - started,
        {
            "fingerprint": fingerprint,
            "schema_version": SCHEMA_VERSION,
            "resumed_rows": resumed,
            "ocr": config.ocr.engine,
            "bundle": {"name": bundle.info.name, "fingerprint": bundle.fingerprint},
            "pools": asdict(plan),
            "skipped_inputs": asdict(skipped),
            "versions": versions(),
        },
    )
    layout.write_json(layout.run_file, report)
    return report, preview


def _preview(layout: OutputLayout, options: ExtractOptions, config: ExtractConfig, bundle: Bundle) -> str | None:
    if not options.preview:
        return None
    write_run_preview(layout, options.preview, config, bundle.info.labels)
    return layout.shown(f"{layout.preview}/index.html")


def committed_rows(layout: OutputLayout, fingerprint: str) -> int:
    """Rows that earlier invocations have written and committed, from the footers of the checkpoint files."""
    total = 0
    for item in layout.files(layout.checkpoint(fingerprint)):
        if not item.path.endswith(".pending.parquet"):
            with pq.ParquetFile(item.path, filesystem=layout.filesystem) as file:
                total += file.metadata.num_rows
    return total
