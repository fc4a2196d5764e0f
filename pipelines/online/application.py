"""From the configuration to a Serve application: three deployments, each scaled by itself."""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve.config import AutoscalingConfig, BackpressureConfig
from ray.serve.schema import LoggingConfig

from kie_ray.models.bundle import Bundle
from kie_ray.models.runtime import choose_runtime
from kie_ray.ocr.engine import check_engine
from pipelines.online.api.backend import ModelInfo
from pipelines.online.api.keys import load_keys
from pipelines.online.config import OnlineConfig, ReplicaSettings
from pipelines.online.ingress import Ingress
from pipelines.online.model_deployment import ModelDeployment, Thresholds
from pipelines.online.ocr_deployment import OcrDeployment
from pipelines.online.serve_backend import ServedBundle

_HEALTH_PERIOD_SECONDS = 5.0
_HEALTH_TIMEOUT_SECONDS = 60.0
_DRAIN_MARGIN_SECONDS = 10.0


def build(config: OnlineConfig) -> serve.Application:
    """The application, ready for `serve.run`. Bundles are opened and checked here, models are not loaded.

    Raises:
        ConfigError: a bundle, a key file or the OCR settings cannot be used; the message names them.
    """
    check_engine(config.ocr)
    security = config.security
    keys = load_keys(security.api_keys_file, security.api_keys_env)
    bundles = [_served(name, path, config) for name, path in config.bundles.items()]
    thresholds = Thresholds(re_threshold=config.model.re_threshold)
    # Not in the replicas' arguments: a change of those restarts them.
    told = config.model_copy(update={"model": config.model.model_copy(update={"re_threshold": None})})
    models = _deployment(ModelDeployment, "models", config.model_replicas, config, user_config=thresholds.model_dump())
    ocr = _deployment(OcrDeployment, "ocr", config.ocr_replicas, config)
    ingress = _deployment(serve.ingress()(Ingress), "ingress", config.ingress, config)
    return ingress.bind(told, bundles, keys, ocr.bind(told), models.bind(told))


def _served(name: str, path: str | None, config: OnlineConfig) -> ServedBundle:
    bundle = Bundle.load(path)
    device = "cuda" if config.device == "cuda" else "cpu"
    choose_runtime(bundle, config.model.runtime, device=device)
    info = ModelInfo(
        name,
        bundle.fingerprint,
        list(bundle.info.tasks),
        list(bundle.info.labels),
        name == config.default_bundle,
        bundle.info.image != "none",
        config.ocr.engine,
        bundle.info.name,
    )
    return ServedBundle(info, bundle.info.image)


def _deployment(
    kind: type, name: str, replicas: ReplicaSettings, config: OnlineConfig, **options: Any
) -> serve.Deployment:
    options |= {
        "name": name,
        "ray_actor_options": {"num_cpus": replicas.num_cpus, "num_gpus": replicas.num_gpus},
        "max_ongoing_requests": replicas.max_ongoing_requests,
        "max_queued_requests": replicas.max_queued_requests,
        "backpressure_config": BackpressureConfig(status_code=503, retry_after_s=config.retry_after_seconds),
        "health_check_period_s": _HEALTH_PERIOD_SECONDS,
        "health_check_timeout_s": _HEALTH_TIMEOUT_SECONDS,
        "graceful_shutdown_timeout_s": config.request_seconds + _DRAIN_MARGIN_SECONDS,
        "logging_config": LoggingConfig(log_level="WARNING", enable_access_log=False),
    }
    if replicas.max_replicas == replicas.min_replicas:
        options["num_replicas"] = replicas.min_replicas
    else:
        options["autoscaling_config"] = AutoscalingConfig(
            min_replicas=replicas.min_replicas,
            max_replicas=replicas.max_replicas,
            target_ongoing_requests=max(1, replicas.max_ongoing_requests // 2),
        )
    return serve.deployment(**options)(kind)
