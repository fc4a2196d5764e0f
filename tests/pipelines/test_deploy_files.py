"""The files that clusters are made from: Ray's own schema, the fields KubeRay knows, our own parsers, no secret."""

from __future__ import annotations

import copy
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.serve.schema import ServeDeploySchema

from jobs.batch_extract import parse
from kie_ray.config import load_settings
from pipelines.cluster import plan_pools, smallest_run
from pipelines.config import ExtractConfig
from tests.job_support import ROOT
from tests.kie_ray.s3_server import environment as s3_environment
from tests.kie_ray.s3_server import running_s3_server

DEPLOY = ROOT / "deploy"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
# The API of KubeRay 1.6, as far as our manifests use it or may come to.
JOB = {
    *("entrypoint", "runtimeEnvYAML", "jobId", "submissionMode", "submitterConfig", "submitterPodTemplate"),
    *("backoffLimit", "activeDeadlineSeconds", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "suspend"),
    *("rayClusterSpec", "clusterSelector", "deletionStrategy", "metadata", "entrypointNumCpus", "managedBy"),
}
SERVICE = {"serveConfigV2", "rayClusterConfig", "upgradeStrategy", "excludeHeadPodFromServeSvc", "serveService"}
CLUSTER = {
    *("rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec"),
    *("workerGroupSpecs", "gcsFaultToleranceOptions", "headServiceAnnotations", "suspend", "managedBy"),
}
AUTOSCALER = {"idleTimeoutSeconds", "upscalingMode", "resources", "image", "imagePullPolicy", "version", "env"}
HEAD = {"template", "rayStartParams", "serviceType", "headService", "enableIngress"}
WORKERS = {
    *("groupName", "replicas", "minReplicas", "maxReplicas", "idleTimeoutSeconds", "numOfHosts", "rayStartParams"),
    *("template", "scaleStrategy", "suspend"),
}


@pytest.fixture
def launcher() -> dict[str, Any]:
    content = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    assert isinstance(content, dict)
    return content


def manifest(name: str) -> dict[str, Any]:
    content = yaml.safe_load((DEPLOY / name).read_text())
    assert isinstance(content, dict)
    return content


def cluster_of(name: str) -> dict[str, Any]:
    spec = manifest(name)["spec"]
    cluster = spec["rayClusterSpec" if name == "rayjob.yaml" else "rayClusterConfig"]
    assert isinstance(cluster, dict)
    return cluster


def containers(name: str) -> Iterator[dict[str, Any]]:
    cluster = cluster_of(name)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        yield from group["template"]["spec"]["containers"]
    if "submitterPodTemplate" in manifest(name)["spec"]:
        yield from manifest(name)["spec"]["submitterPodTemplate"]["spec"]["containers"]


def test_ray_accepts_the_cluster_launcher_file(launcher: dict[str, Any]) -> None:
    prepared = prepare_config(copy.deepcopy(launcher))
    validate_config(prepared)
    assert prepared["setup_commands"] == prepared["head_setup_commands"] == prepared["worker_setup_commands"] == []
    with pytest.raises(jsonschema.ValidationError, match="idle_timeout"):
        validate_config(prepare_config({**launcher, "idle_timeout": 5}))


def test_ray_up_on_a_pretended_aws_keeps_our_group_and_makes_no_role(
    launcher: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `ray up` asks of AWS before the first machine, against a server of moto's."""
    import boto3
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    region = launcher["provider"]["region"]
    with running_s3_server() as endpoint:
        for name, value in {**s3_environment(endpoint), "AWS_DEFAULT_REGION": region, "HOME": str(tmp_path)}.items():
            monkeypatch.setenv(name, value)
        ec2 = boto3.client("ec2", region_name=region)
        (network,) = ec2.describe_vpcs()["Vpcs"]
        name = launcher["provider"]["security_group"]["GroupName"]
        group = ec2.create_security_group(GroupName=name, Description=name, VpcId=network["VpcId"])["GroupId"]
        ours = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "203.0.113.0/24"}]}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ours])

        filled = AWSNodeProvider.fillout_available_node_types_resources(prepare_config(launcher))
        validate_config(filled)
        types = AWSNodeProvider.bootstrap_config(filled)["available_node_types"]

        rules = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
        assert [rule["IpRanges"] for rule in rules] == [ours["IpRanges"]]
        assert boto3.client("iam", region_name=region).list_roles()["Roles"] == []
    assert all(kind["node_config"]["SecurityGroupIds"] == [group] for kind in types.values())
    assert types["head"]["resources"]["CPU"] == 0
    assert types["gpu"]["resources"]["GPU"] == 1


def test_the_head_works_for_nobody_and_listens_to_nobody_outside(launcher: dict[str, Any]) -> None:
    types = launcher["available_node_types"]
    head = types[launcher["head_node_type"]]
    assert (head["resources"], head["max_workers"]) == ({"CPU": 0}, 0)
    start = shlex.split(next(line for line in launcher["head_start_ray_commands"] if "--head" in line))
    assert {"--num-cpus=0", "--dashboard-host=127.0.0.1"} <= set(start)
    assert "0.0.0.0" not in (ROOT / "cluster.yaml").read_text()
    assert launcher["provider"]["security_group"]["GroupName"]
    assert "-e RAY_AUTH_MODE=token" in launcher["docker"]["run_options"]
    assert launcher["file_mounts"] == {"/home/ray/.ray/auth_token": "~/.ray/auth_token"}


def test_workers_are_spot_machines_that_go_when_idle(launcher: dict[str, Any]) -> None:
    types = launcher["available_node_types"]
    workers = {name: kind for name, kind in types.items() if name != launcher["head_node_type"]}
    assert launcher["idle_timeout_minutes"] <= 10
    assert launcher["provider"]["cache_stopped_nodes"] is False
    assert sum(kind["max_workers"] for kind in workers.values()) <= launcher["max_workers"]
    for kind in workers.values():
        assert kind["min_workers"] == 0
        assert kind["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert any(kind["resources"].get("GPU") for kind in workers.values())
    assert any("GPU" not in kind["resources"] for kind in workers.values())


@pytest.mark.parametrize("path", ["cluster.yaml", *(f"deploy/{name}" for name in ("rayjob.yaml", "rayservice.yaml"))])
def test_no_secret_stands_in_a_file(path: str) -> None:
    text = (ROOT / path).read_text()
    assert not re.search(r"AKIA[0-9A-Z]{16}|PRIVATE KEY|(?i:password|secret_access_key)\s*:\s*\S", text)
    if path != "cluster.yaml":
        for container in containers(Path(path).name):
            for variable in container.get("env", []):
                if re.search("KEY|SECRET|TOKEN", variable["name"]):
                    assert set(variable["valueFrom"]["secretKeyRef"]) == {"name", "key"}


@pytest.mark.parametrize("name", ["rayjob.yaml", "rayservice.yaml"])
def test_kuberay_knows_every_field(name: str) -> None:
    content, cluster = manifest(name), cluster_of(name)
    kind, known = {"rayjob.yaml": ("RayJob", JOB), "rayservice.yaml": ("RayService", SERVICE)}[name]
    assert (content["apiVersion"], content["kind"]) == ("ray.io/v1", kind)
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,45}[a-z0-9])?", content["metadata"]["name"])
    assert set(content["spec"]) <= known
    assert set(cluster) <= CLUSTER
    assert cluster["rayVersion"] == PINS["ray"]
    assert cluster["authOptions"] == {"mode": "token", "secretName": "kie-ray-token"}
    assert set(cluster["autoscalerOptions"]) <= AUTOSCALER
    assert cluster["enableInTreeAutoscaling"] is True
    assert set(cluster["headGroupSpec"]) <= HEAD
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in cluster["workerGroupSpecs"]:
        assert set(group) <= WORKERS
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        # KubeRay hands these on to `ray start` and takes strings alone
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


@pytest.mark.parametrize("name", ["rayjob.yaml", "rayservice.yaml"])
def test_pods_have_bounds_and_no_rights(name: str) -> None:
    for container in containers(name):
        assert container["image"] in images()
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]["cpu"]
        mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
        assert mounted <= {"scratch"}
    cluster = cluster_of(name)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert str(pod["securityContext"]["runAsUser"]) == final_users()["cpu"].partition(":")[0]


def test_the_job_command_is_one_that_the_job_takes() -> None:
    spec = manifest("rayjob.yaml")["spec"]
    python, script, *arguments = shlex.split(spec["entrypoint"])
    assert (python, (ROOT / script).is_file()) == ("python", True)
    options = parse(arguments)
    assert [options.output, *options.inputs] == ["s3://my-bucket/tables/forms", "s3://my-bucket/forms/"]
    config = load_settings(ExtractConfig, None, options.overrides)
    resources = {"CPU": 0.0, "GPU": 0.0}
    for group in spec["rayClusterSpec"]["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        resources["CPU"] += group["minReplicas"] * int(limits["cpu"])
        resources["GPU"] += group["minReplicas"] * int(limits.get("nvidia.com/gpu", 0))
    plan = plan_pools(config, resources)
    assert (plan.ser.min_size, plan.ser.num_gpus) == (1, 1)
    assert plan.ocr.max_size > plan.ocr.min_size
    smallest = smallest_run(config)
    assert sum(piece["CPU"] for piece in smallest if "CPU" in piece) <= resources["CPU"]


def test_a_failed_try_starts_again_and_the_last_one_leaves_nothing() -> None:
    spec = manifest("rayjob.yaml")["spec"]
    assert spec["backoffLimit"] >= 1
    assert spec["shutdownAfterJobFinishes"] is True
    assert 0 < spec["ttlSecondsAfterFinished"] < 3600
    # a job whose id stays the same would be refused by the cluster of the second try
    assert "jobId" not in spec


def test_the_service_runs_what_serve_yaml_says() -> None:
    config = yaml.safe_load(manifest("rayservice.yaml")["spec"]["serveConfigV2"])
    ServeDeploySchema.model_validate(config)
    assert config["applications"]
    assert config == manifest("serve.yaml"), "copy deploy/serve.yaml into serveConfigV2 of deploy/rayservice.yaml"
    # a pod is given longer to end than Serve takes to drain it
    (workers,) = cluster_of("rayservice.yaml")["workerGroupSpecs"]
    (application,) = config["applications"]
    assert workers["template"]["spec"]["terminationGracePeriodSeconds"] > application["args"]["request_seconds"]


def test_the_service_is_probed_and_rolls() -> None:
    spec = manifest("rayservice.yaml")["spec"]
    assert spec["upgradeStrategy"] == {"type": "NewCluster"}
    assert spec["excludeHeadPodFromServeSvc"] is True
    (workers,) = spec["rayClusterConfig"]["workerGroupSpecs"]
    assert workers["minReplicas"] >= 2
    for group in (spec["rayClusterConfig"]["headGroupSpec"], workers):
        container = group["template"]["spec"]["containers"][0]
        ports = {port["containerPort"] for port in container["ports"]} | {52365}
        for probe in ("readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] in ports


def dockerfile() -> dict[str, list[tuple[str, str]]]:
    """Instructions (name, rest) of deploy/Dockerfile by stage; `FROM` is the first of each."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text())
    stages: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            image, _, stage = rest.partition(" AS ")
            stages[stage] = current = []
            rest = image
        current.append((name, rest))
    return stages


def images() -> set[str]:
    return {f"registry.example.com/kie-ray:{VERSION}-{target}" for target in ("cpu", "gpu")}


def final_users() -> dict[str, str]:
    return {target: [rest for name, rest in dockerfile()[target] if name == "USER"][-1] for target in ("cpu", "gpu")}


def test_both_images_end_without_root() -> None:
    assert final_users() == {"cpu": "1000:1000", "gpu": "1000:1000"}
    for target in ("cpu", "gpu"):
        names = [name for name, _ in dockerfile()[target]]
        assert names[-1] == "USER"
    assert images() == set(re.findall(r"-t (\S+)", (DEPLOY / "Dockerfile").read_text()))
    named = set(re.findall(r"registry\.example\.com/\S+", (ROOT / "cluster.yaml").read_text()))
    assert named == images()


def test_every_package_of_the_images_is_pinned() -> None:
    stages = dockerfile()
    assert stages["base"][0][1] == "python:3.11-slim-bookworm"
    for stage in ("packages-cpu", "packages-gpu"):
        (installs,) = [rest for name, rest in stages[stage] if name == "RUN" and "pip install" in rest]
        for command in installs.split("&&"):
            assert "pip install" not in command or "--constraint /constraints.txt" in command
    assert "whl/cpu" in str(stages["packages-cpu"])
    assert "whl/cpu" not in str(stages["packages-gpu"])
    # one name of a package twice in the venv is how the CPU image would grow by gigabytes
    assert PINS["torch"].partition("+")[0] == PINS["torch"]
    for stage in ("cpu", "gpu"):
        assert all("--no-deps" in rest for name, rest in stages[stage] if "pip install" in rest)


def test_the_requirements_of_the_image_are_those_of_the_project(tmp_path: Path) -> None:
    (run,) = [rest for name, rest in dockerfile()["requirements"] if name == "RUN"]
    script = shlex.split(run)
    code = script[script.index("-c") + 1].replace("/src/", f"{ROOT}/")
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split("\n")[:-1] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def test_what_the_image_copies_is_there_and_let_through() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for instructions in dockerfile().values():
        for name, rest in instructions:
            assert name != "ADD"
            if name == "COPY" and "--from=" not in rest:
                copied |= set(rest.split()[:-1])
    assert copied == let_through
    assert all((ROOT / name).exists() for name in copied)
