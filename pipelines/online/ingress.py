"""The deployment that speaks HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ray.serve.handle import DeploymentHandle

from pipelines.online.api.keys import Keys, load_keys
from pipelines.online.api.settings import ApiSettings
from pipelines.online.config import OnlineConfig
from pipelines.online.logs import log_failures
from pipelines.online.metrics import LoadMetrics, ServeMetrics
from pipelines.online.serve_backend import ServeBackend, ServedBundle
from pipelines.online.stage_calls import StageCalls
from pipelines.orphans import die_with_parent

if TYPE_CHECKING:
    from fastapi import FastAPI


class Ingress:
    """Takes requests, hands documents to OCR and models, and repeats what a dying replica leaves undone.

    It imports neither torch nor an OCR engine. `keys`: what opens the API, as found where the application was built.
    """

    def __init__(
        self,
        config: OnlineConfig,
        bundles: Sequence[ServedBundle],
        keys: Keys,
        ocr: DeploymentHandle,
        models: DeploymentHandle,
    ) -> None:
        die_with_parent()
        log_failures()
        # A replica's own environment may hold keys that the machine on which the application was built does not know.
        security = config.security
        keys = keys if keys.required else load_keys(None, security.api_keys_env)
        self._settings = ApiSettings(
            limits=config.limits,
            keys=keys,
            cors_origins=security.cors_origins,
            max_bytes_in_flight=config.max_bytes_in_flight,
            proxy_adds_request_id=True,
        )
        load = LoadMetrics()
        ocr_calls, model_calls = (
            StageCalls(handle, name, attempts=config.attempts, retry_after=config.retry_after_seconds, load=load)
            for handle, name in ((ocr, "ocr"), (models, "models"))
        )
        self._backend = ServeBackend(bundles, ocr_calls, model_calls, load, config.request_seconds)

    def __serve_build_asgi_app__(self) -> FastAPI:
        from pipelines.online.api.app import build_api

        return build_api(self._backend, self._settings, ServeMetrics())
