"""What Prometheus reads of the endpoint, on the metrics port of every Ray node, as `ray_kie_ray_...`."""

from __future__ import annotations

from ray.serve.metrics import Counter, Gauge, Histogram

from pipelines.online.api.metrics import RequestSummary

_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120]
_SIZES = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]


class ServeMetrics:
    """Implements `pipelines.online.api.metrics.Metrics` in the ingress."""

    def __init__(self) -> None:
        self._requests = _counter("kie_ray_requests", "Finished HTTP requests", "route", "method", "status")
        self._errors = _counter(
            "kie_ray_errors", "Requests that ended with an error, whole or in part", "route", "category"
        )
        self._seconds = Histogram(
            "kie_ray_request_seconds", "From the request's head to the end of the answer", _SECONDS, tag_keys=("route",)
        )
        self._stage_seconds = Histogram(
            "kie_ray_stage_seconds", "Busy seconds of one stage for one document", _SECONDS, tag_keys=("stage",)
        )
        self._pages = _counter("kie_ray_pages", "Pages in the records that were returned")
        self._bytes = _counter("kie_ray_body_bytes", "Bytes of the bodies of requests")

    def record(self, request: RequestSummary) -> None:
        """Take one finished request into account."""
        route = {"route": request.route}
        self._requests.inc(tags={**route, "method": request.method, "status": str(request.status)})
        self._seconds.observe(request.seconds, tags=route)
        if request.category is not None:
            self._errors.inc(tags={**route, "category": request.category})
        for stage, seconds in request.stage_seconds.items():
            if seconds:
                self._stage_seconds.observe(seconds, tags={"stage": stage})
        if request.pages:
            self._pages.inc(request.pages)
        if request.body_bytes:
            self._bytes.inc(request.body_bytes)


class LoadMetrics:
    """Documents that the ingress has accepted and not yet answered, and what it refused or repeated."""

    def __init__(self) -> None:
        self._count = 0
        self._ongoing = Gauge("kie_ray_documents_ongoing", "Documents accepted and not yet answered")
        self._refused = _counter("kie_ray_documents_refused", "Documents refused because a queue was full", "stage")
        self._repeated = _counter("kie_ray_stage_repeats", "Calls repeated because a replica died under them", "stage")

    def begin(self) -> None:
        """A document is accepted."""
        self._change(1)

    def end(self) -> None:
        """It is answered, or given up."""
        self._change(-1)

    def refused(self, stage: str) -> None:
        """The queue of `stage` had no room."""
        self._refused.inc(tags={"stage": stage})

    def repeated(self, stage: str) -> None:
        """A replica of `stage` died, and the document goes to another one."""
        self._repeated.inc(tags={"stage": stage})

    def _change(self, step: int) -> None:
        self._count += step
        self._ongoing.set(self._count)


class BatchMetrics:
    """Calls of the engine or model of one replica; Serve adds the labels `deployment` and `replica`."""

    def __init__(self) -> None:
        self._pages = Histogram("kie_ray_batch_pages", "Pages in one call of the engine or model", _SIZES)
        self._seconds = Histogram("kie_ray_batch_seconds", "Seconds of one call of the engine or model", _SECONDS)

    def observe(self, pages: int, seconds: float) -> None:
        """One call is over."""
        self._pages.observe(pages)
        self._seconds.observe(seconds)


def _counter(name: str, description: str, *labels: str) -> Counter:
    return Counter(name, description, tag_keys=labels)  # type: ignore[arg-type]  # Ray's annotation allows one only
