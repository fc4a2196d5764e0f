"""Configuration of the batch job. `kie_ray/configs/extract.yaml` shows every key with its default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from kie_ray.config import Settings
from kie_ray.limits import Limits
from kie_ray.models.runtime import Runtime
from kie_ray.ocr import OcrSettings


class PoolSettings(Settings):
    """One pool of actors. What is left empty follows from the machine or cluster (`pipelines.cluster.plan_pools`)."""

    size: int | None = Field(None, ge=1, description="a fixed number of actors; excludes min_size and max_size")
    min_size: int | None = Field(None, ge=1, description="actors of an elastic pool, at least")
    max_size: int | None = Field(None, ge=1, description="actors of an elastic pool, at most")
    num_cpus: float | None = Field(None, ge=0, description="logical CPUs that Ray reserves for one actor")
    num_gpus: float | None = Field(
        None, ge=0, description="GPUs that Ray reserves for one actor, a fraction shares one; 0 keeps the pool on CPUs"
    )
    threads: int | None = Field(None, ge=1, description="threads of one actor's models")
    batch_size: int = Field(4, ge=1, description="pages that one call of the engine or model takes")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on CUDA, float32 elsewhere; the OCR pool ignores it"
    )

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> PoolSettings:
        if self.size is not None and (self.min_size is not None or self.max_size is not None):
            raise ValueError("give either size, or min_size and max_size")
        if self.min_size is not None and self.max_size is not None and self.min_size > self.max_size:
            raise ValueError(f"min_size {self.min_size} is larger than max_size {self.max_size}")
        return self


class OcrPoolSettings(PoolSettings):
    """The pool that decodes pages and reads their lines."""

    batch_size: int = Field(2, ge=1, description="pages that one call of the engine takes")


class ModelPoolSettings(PoolSettings):
    """A pool that runs SER, RE or both."""

    batch_size: int = Field(8, ge=1, description="pages that one call of the models takes")


class PoolsSettings(Settings):
    """The pools. Where a bundle has one encoder for both heads, `ser` runs both in one pass and `re` is not started."""

    ocr: OcrPoolSettings = Field(default_factory=OcrPoolSettings)
    ser: ModelPoolSettings = Field(default_factory=ModelPoolSettings)
    re: ModelPoolSettings = Field(default_factory=ModelPoolSettings)
    calibrate_from: int = Field(
        1000,
        ge=0,
        description="rows a core from which OCR and models are timed on a few pages first, to size the pools that say "
        "nothing; 0: never",
    )


class FetchSettings(Settings):
    """Download of the documents."""

    attempts: int = Field(4, ge=1, description="tries of one document while the storage does not answer")
    backoff_seconds: float = Field(0.5, gt=0, description="wait before the second try, doubled for each further one")
    threads: int = Field(8, ge=1, description="documents that one download task fetches at a time")
    num_cpus: float = Field(0.1, ge=0, description="logical CPUs that Ray reserves for one download task")


class SplittingSettings(Settings):
    """How documents become rows, rows become blocks, and blocks become files."""

    pages_per_row: int = Field(50, ge=1, description="a longer PDF or TIFF becomes several rows of this many pages")
    probe_bytes: int = Field(
        4 * 2**20, ge=0, description="PDFs and TIFFs of at least this size have their pages counted before the run"
    )
    rows_per_block: int | None = Field(
        None, ge=1, description="documents that travel together; empty: from their number"
    )
    rows_per_file: int | None = Field(
        None,
        ge=1,
        description="documents in one file while the run works, and what a kill may cost; empty: from their number",
    )
    merge_files: bool = Field(
        True, description="at the end, merge the files of documents/ below 64 MB into few of 64 to 256 MB"
    )
    rows_per_table_file: int = Field(
        8_000_000, ge=1, description="rows in one file of fields/, entities/ and errors/ at most; 240 MiB close it too"
    )


class ModelSettings(Settings):
    """What computes the bundle's models, and thresholds of the bundle that a run may replace; empty keeps its own."""

    runtime: Runtime = Field(
        "auto",
        description="onnx: the bundle's ONNX files, on the CPU; auto: those where there are any and no GPU; torch",
    )
    re_threshold: float | None = Field(None, ge=0, le=1, description="probability that a link needs")


class PricesSettings(Settings):
    """What an hour of the machines costs, in any currency: then run.json and the report say what pages cost."""

    cpu_hour: float | None = Field(None, ge=0, description="price of one core for one hour")
    gpu_hour: float | None = Field(None, ge=0, description="price of one GPU for one hour")


class ExtractConfig(Settings):
    """Everything about a run that is not an input or an output."""

    limits: Limits = Field(default_factory=Limits)
    pdf_dpi: int = Field(200, ge=36, le=1200, description="resolution at which PDF pages are rendered")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: CUDA in actors to which Ray assigns a GPU"
    )
    ocr: OcrSettings = Field(default_factory=OcrSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    pools: PoolsSettings = Field(default_factory=PoolsSettings)
    fetch: FetchSettings = Field(default_factory=FetchSettings)
    splitting: SplittingSettings = Field(default_factory=SplittingSettings)
    prices: PricesSettings = Field(default_factory=PricesSettings)
    progress_seconds: float = Field(10.0, gt=0, description="seconds between two progress lines where no terminal is")
    no_progress_seconds: int = Field(
        4 * 3600, ge=60, description="the job gives up when no stage has finished anything for so long"
    )
    max_attempts: int = Field(
        2, ge=1, description="times that a document may kill the actor that works on it before it becomes an error row"
    )

    def differences(self) -> dict[str, Any]:
        """Settings that differ from the defaults, by their dotted names."""
        ours, defaults = _flat(self.model_dump(mode="json")), _flat(type(self)().model_dump(mode="json"))
        return {name: value for name, value in ours.items() if value != defaults.get(name)}

    def results_part(self) -> dict[str, Any]:
        """The part of the configuration that can change a result; what is left out only changes the speed."""
        tree = self.model_dump(mode="json")
        for name in ("pools", "fetch", "prices", "progress_seconds", "no_progress_seconds", "max_attempts", "device"):
            tree.pop(name)
        for name in ("threads", "device", "annotations"):
            tree["ocr"].pop(name, None)
        tree["splitting"] = {name: tree["splitting"][name] for name in ("pages_per_row", "probe_bytes")}
        tree["dtype"] = [self.pools.ser.dtype, self.pools.re.dtype]
        return tree


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
