"""Model replicas: pages with lines in, pages with labels, links and fields out."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field
from ray import serve

from kie_ray.config import Settings
from kie_ray.errors import ErrorItem, Stage
from kie_ray.records import Line, Page
from pipelines.config import ExtractConfig, ModelSettings
from pipelines.isolation import call_isolated
from pipelines.kie_stage import MODEL_STAGES, load_annotator
from pipelines.online.batches import Batches
from pipelines.online.config import OnlineConfig
from pipelines.online.health import Pulse
from pipelines.online.logs import log_failures
from pipelines.online.messages import AnnotateResult
from pipelines.online.metrics import BatchMetrics
from pipelines.online.threads import threads_of
from pipelines.orphans import die_with_parent
from pipelines.tables import assigned_device

if TYPE_CHECKING:
    from kie_ray.annotator import Annotator

_Timings = dict[str, float]
_Annotated = tuple[Page, _Timings]


class Thresholds(Settings):
    """`user_config` of the deployment: a change of it reaches running replicas."""

    re_threshold: float | dict[str, float] | None = Field(
        None, description="probability that a link needs: of all bundles, or by bundle name; empty: the bundle's own"
    )

    def re_threshold_of(self, bundle: str, own: float) -> float:
        """The threshold of `bundle`, whose own is `own`."""
        if isinstance(self.re_threshold, dict):
            return self.re_threshold.get(bundle, own)
        return own if self.re_threshold is None else self.re_threshold


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A bundle's models; `re_threshold` is what its `bundle.json` says."""

    name: str
    annotator: Annotator
    re_threshold: float


class ModelDeployment:
    """Holds the models of a few bundles and runs them over pages of many requests at a time, in one thread.

    The default bundle is loaded before the replica is ready. A call that fails is repeated page by page, so that a page
    costs nobody but itself.
    """

    def __init__(self, config: OnlineConfig) -> None:
        import torch

        die_with_parent()
        log_failures()
        torch.set_num_threads(threads_of(config.model_replicas))
        self._config = config
        self._device = assigned_device(config.device)
        self._thresholds = Thresholds()
        self._latest: _Loaded | None = None
        self._size = config.model_replicas.batch_size
        self._batches: Batches[_Loaded, Page, _Annotated | ErrorItem] = Batches(
            self._annotate,
            self._size,
            config.model_replicas.batch_wait_seconds,
            name="models",
            observe=BatchMetrics().observe,
        )
        self._pulse = Pulse(self._batches, self._probe, config.stuck_seconds)

        # A closure, because the number of models is a setting and the decorator of a method knows none.
        async def load(name: str) -> _Loaded:
            self._latest = await asyncio.to_thread(self._load, name)
            return self._latest

        self._bundle: Any = serve.multiplexed(load, max_num_models_per_replica=config.max_bundles_per_replica)

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take `Thresholds` over without a restart. Raises ValidationError for what they do not know."""
        self._thresholds = Thresholds.model_validate(user_config or {})

    async def annotate(self, pages: Sequence[Page], bundle: str) -> AnnotateResult:
        """SER, RE and fields by the models of `bundle`. A page that fails is left out, and `error` names it."""
        loaded = await self._bundle(bundle)
        result = AnnotateResult(timings=defaultdict(float))
        for start in range(0, len(pages), self._size):  # in parts, so that a long document does not hold up all others
            part = pages[start : start + self._size]
            for found in await asyncio.gather(*(self._batches.submit(loaded, page) for page in part)):
                if isinstance(found, ErrorItem):
                    result.error = result.error or found
                    continue
                page, timings = found
                result.pages.append(page)
                for stage, seconds in timings.items():
                    result.timings[stage] += seconds
        result.timings = dict(result.timings)
        return result

    async def alive(self) -> bool:
        """True; whoever gets it knows that a replica takes requests."""
        return True

    async def check_health(self) -> None:
        """Raises where a model fails on a small page, or hangs: Serve then replaces this replica.

        Serve asks once before the replica is ready: then the default bundle is loaded, however long that takes.
        """
        if self._latest is None:
            await self._bundle(self._config.default_bundle)
        await self._pulse.check()

    async def _probe(self) -> None:
        loaded = self._latest
        assert loaded is not None
        found = await self._batches.submit(loaded, _small_page(loaded))
        if isinstance(found, ErrorItem):
            raise RuntimeError(f"bundle {loaded.name} cannot annotate a small page: {found.message}")

    def _load(self, name: str) -> _Loaded:
        settings = ExtractConfig(device=self._config.device, model=ModelSettings(runtime=self._config.model.runtime))
        annotator = cast("Annotator", load_annotator(self._config.bundles[name], settings, self._device))
        return _Loaded(name, annotator, annotator.info.re_threshold)

    def _annotate(self, loaded: _Loaded, pages: Sequence[Page]) -> list[_Annotated | ErrorItem]:
        """Runs in the models' thread; timings are each page's share of the call."""
        annotator = loaded.annotator
        wanted = self._thresholds.re_threshold_of(loaded.name, loaded.re_threshold)
        if annotator.info.re_threshold != wanted:
            annotator.info = annotator.info.model_copy(update={"re_threshold": wanted})
        before = dict(annotator.timings)

        def annotate(some: Sequence[Page]) -> Sequence[Page]:
            for page in some:  # a call that failed half-way may have left some
                page.links, page.fields = [], []
            annotator.annotate(some)
            return some

        results = call_isolated(annotate, pages, stage=Stage.SER, place=lambda page: (page.source, page.index))
        timings = {
            stage: (annotator.timings.get(stage, 0.0) - before.get(stage, 0.0)) / len(pages) for stage in MODEL_STAGES
        }
        for page in pages:
            page.pixels = None  # it need not travel back
        return [found if isinstance(found, ErrorItem) else (found, timings) for found in results]


def _small_page(loaded: _Loaded) -> Page:
    import numpy as np

    from kie_ray.encoding.page_image import IMAGE_SHAPE

    pixels = None if loaded.annotator.info.image == "none" else np.full(IMAGE_SHAPE, 255, np.uint8)
    lines = [Line(0, "Name", (10, 10, 50, 10, 50, 20, 10, 20)), Line(1, "Ada", (60, 10, 90, 10, 90, 20, 60, 20))]
    return Page(0, 100, 30, lines, source="health check", pixels=pixels)
