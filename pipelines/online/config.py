"""Configuration of the endpoint: `args:` of a Serve configuration file, or key=value after `serve run`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from kie_ray.config import Settings, load_settings
from kie_ray.limits import Limits
from kie_ray.ocr import OcrSettings
from pipelines.config import ModelSettings


class ReplicaSettings(Settings):
    """One deployment. Anything finer stands in the `deployments:` part of a Serve configuration file."""

    min_replicas: int = Field(1, ge=1, description="replicas while nothing is to do")
    max_replicas: int = Field(1, ge=1, description="replicas under load")
    num_cpus: float = Field(0.1, ge=0, description="logical CPUs that Ray reserves for one replica")
    num_gpus: float = Field(0.0, ge=0, description="GPUs that Ray reserves for one replica")
    max_ongoing_requests: int = Field(32, ge=1, description="requests that one replica holds at a time")
    max_queued_requests: int = Field(64, ge=-1, description="requests that wait for a replica, at most; -1: any number")

    @model_validator(mode="after")
    def _least_and_most(self) -> ReplicaSettings:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} is larger than max_replicas {self.max_replicas}")
        return self


class IngressReplicas(ReplicaSettings):
    """Its limits are larger than those of the others together: they say no first, with a problem document."""

    max_ongoing_requests: int = Field(256, ge=1, description="requests that one replica holds at a time")
    max_queued_requests: int = Field(
        256, ge=-1, description="requests that wait for a replica, at most; -1: any number"
    )


class WorkerReplicas(ReplicaSettings):
    """A deployment that runs an engine or models."""

    num_cpus: float = Field(0.4, ge=0, description="logical CPUs that Ray reserves for one replica")
    threads: int | None = Field(None, ge=1, description="threads of one replica's models; empty: from the machine")
    batch_size: int = Field(16, ge=1, description="pages that one call of the engine or models takes, of any requests")
    batch_wait_seconds: float = Field(
        0.0,
        ge=0,
        description="how long a page waits for others while the replica is idle; they gather while it is busy",
    )

    @model_validator(mode="after")
    def _room_for_a_batch(self) -> WorkerReplicas:
        if self.max_ongoing_requests < self.batch_size:
            raise ValueError(
                f"max_ongoing_requests {self.max_ongoing_requests} is below batch_size {self.batch_size}: "
                "a batch could never be full"
            )
        return self


class OcrReplicas(WorkerReplicas):
    """OCR takes long, so few documents wait in a replica and more before it, where any replica may take them."""

    batch_size: int = Field(2, ge=1, description="pages that one call of the engine takes, of any requests")
    max_ongoing_requests: int = Field(8, ge=1, description="documents that one replica holds at a time")
    max_queued_requests: int = Field(32, ge=-1, description="documents that wait for a replica; -1: any number")


def _bundles() -> dict[str, str | None]:
    return {"default": None}


class SecuritySettings(Settings):
    """Who may ask. Without a key anybody who reaches the port may."""

    api_keys_file: str | None = Field(None, description="file with one key a line; # begins a comment")
    api_keys_env: str = Field("KIE_RAY_API_KEYS", description="environment variable with keys, comma separated")
    cors_origins: list[str] = Field(
        default_factory=list, description="origins whose pages may call the API from a browser; empty: none"
    )


class OnlineConfig(Settings):
    """Everything about the endpoint."""

    bundles: dict[str, str | None] = Field(
        default_factory=_bundles,
        description="bundle directory by name; null is the one in the package. The first one is the default",
    )
    max_bundles_per_replica: int = Field(3, ge=1, description="bundles that one model replica keeps in memory")
    limits: Limits = Field(default_factory=Limits, description="the same object that bounds the batch job")
    pdf_dpi: int = Field(200, ge=36, le=1200, description="resolution at which PDF pages are rendered")
    max_pictures: int = Field(
        100, ge=1, description="pages of a document that `include=pictures` gives pictures of; one with more is refused"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: CUDA in replicas with a GPU")
    ocr: OcrSettings = Field(default_factory=OcrSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    documents_decoded_at_once: int = Field(
        2, ge=1, description="decoder processes of one OCR replica, so that a long document does not hold up all others"
    )
    request_seconds: float = Field(120.0, gt=0, description="a request that takes longer is answered with 504")
    stuck_seconds: float = Field(
        600.0, gt=0, description="a replica is replaced when one call of its engine or model takes longer"
    )
    attempts: int = Field(
        3, ge=1, description="times that a document is handed to a replica when replicas die under it"
    )
    retry_after_seconds: float = Field(2.0, ge=0, description="Retry-After of an answer that says busy (503)")
    max_bytes_in_flight: int = Field(
        2**30, gt=0, description="bodies that one ingress replica holds in memory at a time, bytes; above: busy (503)"
    )
    security: SecuritySettings = Field(default_factory=SecuritySettings)
    ingress: IngressReplicas = Field(default_factory=IngressReplicas)
    ocr_replicas: OcrReplicas = Field(default_factory=OcrReplicas)
    model_replicas: WorkerReplicas = Field(default_factory=WorkerReplicas)

    @model_validator(mode="after")
    def _some_bundle(self) -> OnlineConfig:
        if not self.bundles:
            raise ValueError("bundles is empty: name at least one, such as {default: null}")
        return self

    @property
    def default_bundle(self) -> str:
        return next(iter(self.bundles))


def config_of(args: Mapping[str, Any]) -> OnlineConfig:
    """The configuration from a tree of values, or from dotted keys with YAML values, as a command line gives them.

    Raises:
        ConfigError: one line that names the key or value and, for an unknown key, the nearest known one.
    """
    overrides = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in args.items()]
    return load_settings(OnlineConfig, overrides=overrides)
