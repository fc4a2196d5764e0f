from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kie_ray.errors import ConfigError
from pipelines.online import app
from pipelines.online import threads as threads_module
from pipelines.online.config import OnlineConfig, WorkerReplicas, config_of
from pipelines.online.model_deployment import Thresholds
from pipelines.online.threads import threads_of


def deployments(application: Any) -> dict[str, Any]:
    """Deployments of a bound application by name."""
    found: dict[str, Any] = {}

    def walk(node: Any) -> None:
        deployment = node._bound_deployment
        found[deployment.name] = deployment
        for argument in deployment.init_args:
            if hasattr(argument, "_bound_deployment"):
                walk(argument)

    walk(application)
    return found


def test_the_defaults_fit_one_core() -> None:
    found = deployments(app({}))
    assert set(found) == {"ingress", "ocr", "models"}
    assert sum(item.ray_actor_options["num_cpus"] for item in found.values()) <= 1
    assert all(item.max_ongoing_requests >= 8 for item in found.values())
    queues = [found[name].max_ongoing_requests + found[name].max_queued_requests for name in ("ocr", "models")]
    assert found["ingress"].max_ongoing_requests > sum(queues)


def test_keys_of_a_command_line_and_of_a_file() -> None:
    dotted = config_of({"limits.max_bytes": "1000", "bundles.forms": "null", "model_replicas.num_gpus": "0.5"})
    tree = config_of({"limits": {"max_bytes": 1000}, "bundles": {"forms": None}, "model_replicas": {"num_gpus": 0.5}})
    assert dotted == tree
    assert (dotted.limits.max_bytes, dotted.default_bundle, dotted.model_replicas.num_gpus) == (1000, "forms", 0.5)
    assert dotted.model_replicas.batch_size == OnlineConfig().model_replicas.batch_size


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"model.re_treshold": "0.5"}, "did you mean 're_threshold'"),
        ({"model.re_threshold": "2"}, "model.re_threshold"),
        ({"bundles": {}}, "name at least one"),
        ({"model_replicas": {"min_replicas": 3, "max_replicas": 2}}, "larger than max_replicas"),
        ({"ocr_replicas": {"batch_size": 99}}, "could never be full"),
        ({"bundles": {"x": "/no/such/bundle"}}, "/no/such/bundle"),
        ({"security": {"api_keys_file": "/no/such/keys"}}, "/no/such/keys"),
        ({"ocr": {"annotations": "labels.txt"}}, "ocr.annotations"),
    ],
)
def test_what_is_wrong_is_told_before_anything_starts(args: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        app(args)
    assert "\n" not in str(caught.value)


def test_scaling_and_gpus() -> None:
    found = deployments(app({"model_replicas": {"max_replicas": 4, "num_gpus": 1, "num_cpus": 2}}))
    scaling = found["models"]._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas) == (1, 4)
    assert found["models"].ray_actor_options == {"num_cpus": 2, "num_gpus": 1}
    assert found["ocr"]._deployment_config.autoscaling_config is None


def test_only_the_user_config_knows_the_thresholds(tmp_path: Path) -> None:
    """Otherwise a new threshold would restart the replicas."""
    one, other = (deployments(app({"model.re_threshold": value})) for value in ("0.2", "0.9"))
    assert one["models"].user_config == {"re_threshold": 0.2}
    assert other["models"].user_config == {"re_threshold": 0.9}
    for name in one:
        assert one[name].init_args[0] == other[name].init_args[0]


def test_thresholds_by_bundle() -> None:
    both = Thresholds(re_threshold={"forms": 0.3})
    assert both.re_threshold_of("forms", 0.5) == 0.3
    assert both.re_threshold_of("invoices", 0.5) == 0.5
    assert Thresholds(re_threshold=0.7).re_threshold_of("invoices", 0.5) == 0.7
    assert Thresholds().re_threshold_of("invoices", 0.5) == 0.5


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_module, "usable_cpus", lambda: 6)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads_of(WorkerReplicas()) == 6
    assert threads_of(WorkerReplicas(max_replicas=3)) == 2
    assert threads_of(WorkerReplicas(max_replicas=30)) == 1
    assert threads_of(WorkerReplicas(num_cpus=4)) == 4
    assert threads_of(WorkerReplicas(num_cpus=4, threads=2)) == 2


def test_keys_of_the_environment_reach_the_ingress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KIE_RAY_API_KEYS", raising=False)
    assert not deployments(app({}))["ingress"].init_args[2].required
    monkeypatch.setenv("KIE_RAY_API_KEYS", "first-key-0123456789, second-key-0123456789")
    keys = deployments(app({}))["ingress"].init_args[2]
    assert keys.required
    assert keys.accept(b"second-key-0123456789")
    assert not keys.accept(b"third-key-0123456789")
