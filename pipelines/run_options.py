"""What a person asks of the batch job, and the checks that come before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kie_ray.config import load_settings
from kie_ray.errors import ConfigError
from kie_ray.models.bundle import Bundle
from kie_ray.models.runtime import Runtime, choose_runtime
from kie_ray.ocr import build_engine
from kie_ray.ocr.engine import check_engine
from kie_ray.ocr.paddleocr_models import chosen_models
from kie_ray.storage.places import local_path, scheme_of
from pipelines.config import ExtractConfig


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


def check_engines(config: ExtractConfig, bundle: Bundle) -> None:
    """Say now, and not in an actor, what is wrong with the models or with what reads the pages.

    Raises:
        ConfigError: the models cannot run as `config` says; a malformed label file, a wrong model directory, a failed
            download.
    """
    device = "cuda" if config.device == "cuda" else "cpu"
    for pool in (config.pools.ser, config.pools.re):
        dtype = "float32" if pool.dtype == "auto" else pool.dtype
        choose_runtime(bundle, config.model.runtime, device=device, dtype=dtype)
    check_engine(config.ocr)
    downloads = config.ocr.engine == "paddleocr" and any(model.folder is None for model in chosen_models(config.ocr))
    if config.ocr.engine == "annotations" or downloads:
        build_engine(config.ocr.model_copy(update={"device": "cpu"}))
