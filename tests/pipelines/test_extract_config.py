from __future__ import annotations

import io
from pathlib import Path

import pytest

from kie_ray.config import load_settings
from kie_ray.durations import duration
from kie_ray.errors import ConfigError
from pipelines.cluster import plan_pools
from pipelines.config import ExtractConfig
from pipelines.counters import Counts
from pipelines.dataset import Steps, steps_of
from pipelines.extract import ExtractOptions, load_config
from pipelines.fingerprint import RunIdentity, digest
from pipelines.progress import ProgressDisplay, progress_line

YAML = Path(__file__).resolve().parents[2] / "kie_ray/configs/extract.yaml"


def test_the_example_shows_every_key_with_its_default() -> None:
    import yaml

    assert load_settings(ExtractConfig, YAML) == ExtractConfig()

    def keys(tree: object) -> object:
        return {name: keys(value) for name, value in tree.items()} if isinstance(tree, dict) else None

    assert keys(yaml.safe_load(YAML.read_text())) == keys(ExtractConfig().model_dump())


def test_only_what_changes_results_is_in_the_fingerprint() -> None:
    def of(*overrides: str) -> str:
        return digest(load_settings(ExtractConfig, None, overrides).results_part())

    for same in ("pools.ocr.size=3", "fetch.threads=2", "splitting.rows_per_block=5", "ocr.threads=4", "device=cpu"):
        assert of(same) == of(), same
    for other in (
        "pdf_dpi=100",
        "limits.max_pages=3",
        "ocr.min_score=0.5",
        "splitting.pages_per_row=9",
        "model.re_threshold=0.1",
    ):
        assert of(other) != of(), other


def test_one_key_of_a_pool_leaves_its_other_defaults() -> None:
    pools = load_settings(ExtractConfig, None, ["pools.ocr.size=3", "pools.ser.threads=2"]).pools
    assert (pools.ocr.batch_size, pools.ser.batch_size, pools.re.batch_size) == (2, 8, 8)


def test_what_differs_is_named() -> None:
    one = RunIdentity("i", "b", "c", "a", "1")
    other = RunIdentity("i", "B", "C", "a", "1")
    assert one.fingerprint != other.fingerprint
    assert other.differences(vars(one)) == ["the model", "the configuration"]


def test_flags_win_over_the_file_and_must_fit_together() -> None:
    config = load_config(ExtractOptions(["x"], "out", annotations="labels.txt"))
    assert config.ocr.engine == "annotations"
    assert Path(config.ocr.annotations or "").is_absolute()
    with pytest.raises(ConfigError, match="--annotations is for"):
        load_config(ExtractOptions(["x"], "out", ocr="rapidocr", annotations="labels.txt"))
    with pytest.raises(ConfigError, match="needs --annotations"):
        load_config(ExtractOptions(["x"], "out", ocr="annotations"))
    with pytest.raises(ConfigError, match="did you mean 'pools'"):
        load_config(ExtractOptions(["x"], "out", overrides=["pool.ocr.size=2"]))
    with pytest.raises(ConfigError, match="either size"):
        load_config(ExtractOptions(["x"], "out", overrides=["pools.ocr.size=2", "pools.ocr.min_size=1"]))


@pytest.mark.parametrize("cpus", [2, 3, 4, 16, 64])
@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("separate_re", [False, True])
def test_pools_leave_room_for_the_checkpoint_filter_and_small_tasks(cpus: int, local: bool, separate_re: bool) -> None:
    declared = cpus + 2 if local else cpus
    plan = plan_pools(ExtractConfig(), {"CPU": declared}, cpus if local else None, separate_re=separate_re)
    assert list(plan.pools) == ["ocr", "ser", *(["re"] if separate_re else [])]
    assert sum(pool.max_size * pool.num_cpus for pool in plan.pools.values()) <= declared - 1.5 + 1e-6
    assert plan.ocr.max_size == cpus
    assert all(pool.num_gpus == 0 for pool in plan.pools.values())


def test_gpus_go_to_the_models_and_impossible_wishes_are_refused() -> None:
    plan = plan_pools(ExtractConfig(), {"CPU": 16, "GPU": 2})
    assert (plan.ser.min_size, plan.ser.max_size) == (2, 2)
    assert plan.ser.num_gpus == 0.5
    both = plan_pools(ExtractConfig(), {"CPU": 16, "GPU": 2}, separate_re=True)
    assert both.re is not None
    assert both.ser.num_gpus + both.re.num_gpus == 0.5
    assert plan_pools(load_settings(ExtractConfig, None, ["device=cpu"]), {"CPU": 16, "GPU": 2}).ser.num_gpus == 0
    with pytest.raises(ConfigError, match="at least 2"):
        plan_pools(ExtractConfig(), {"CPU": 1})
    with pytest.raises(ConfigError, match="reserve 8"):
        plan_pools(load_settings(ExtractConfig, None, ["pools.ocr.size=4", "pools.ocr.num_cpus=2"]), {"CPU": 4})
    with pytest.raises(ConfigError, match="GPUs"):
        plan_pools(load_settings(ExtractConfig, None, ["pools.ser.num_gpus=1"]), {"CPU": 4})


def test_progress_lines_say_what_a_person_wants_to_know() -> None:
    counts = Counts(rows=16, pages=20, failed=1)
    line = progress_line(10, 50, counts, 10.0)
    assert line == " 52% 26/50 documents, 20 pages, 2.00 pages/s, 1 failed, 15 s left"
    assert progress_line(10, 50, counts, 10.0, bar=True).startswith("[##########----------]  52%")
    assert progress_line(0, 50, Counts(), 0.0).endswith("starting")
    assert [duration(value) for value in (0.26, 42.4, 185, 7800)] == ["0.3 s", "42 s", "3 min 05 s", "2 h 10 min"]


def test_the_display_prints_lines_where_no_terminal_is_and_survives_a_broken_poll() -> None:
    stream = io.StringIO()
    ticks: list[Counts] = []
    answers = iter([RuntimeError("gone")])

    def poll() -> Counts:
        for error in answers:
            raise error
        return Counts(rows=4 if ended else 1, pages=1)

    import time

    ended = False
    with ProgressDisplay(4, 0, poll, seconds=0.05, stream=stream, on_tick=ticks.append):
        deadline = time.monotonic() + 20
        while not ticks and time.monotonic() < deadline:
            time.sleep(0.02)
        ended = True
    assert ticks[0].rows == 1
    assert ticks[-1].rows == 4  # the end is a tick too
    assert "25% 1/4 documents" in stream.getvalue()
    assert "\r" not in stream.getvalue()


def test_the_wider_stage_has_the_more_actors() -> None:
    with_ocr = plan_pools(ExtractConfig(), {"CPU": 8})
    assert (with_ocr.ocr.max_size, with_ocr.ser.max_size) == (8, 4)
    annotated = plan_pools(load_settings(ExtractConfig, None, ["ocr.engine=annotations"]), {"CPU": 8})
    assert (annotated.ocr.max_size, annotated.ser.max_size) == (4, 8)


def test_steps_grow_with_the_run_and_shrink_with_the_documents() -> None:
    plan = plan_pools(ExtractConfig(), {"CPU": 2})
    assert steps_of(ExtractConfig(), 10, 400_000, plan) == Steps(1, 1)
    assert steps_of(ExtractConfig(), 640, 400_000, plan) == Steps(10, 13)
    assert steps_of(ExtractConfig(), 10**7, 400_000, plan) == Steps(16, 1000)
    assert steps_of(ExtractConfig(), 10**7, None, plan) == Steps(16, 1000)
    assert steps_of(ExtractConfig(), 10**7, 2_000, plan) == Steps(256, 16_000)
    assert steps_of(ExtractConfig(), 640, 2_000, plan) == Steps(10, 13)
    hundred = plan_pools(ExtractConfig(), {"CPU": 100})
    assert steps_of(ExtractConfig(), 10**7, 400_000, hundred) == Steps(16, 10_000)
    said = load_settings(ExtractConfig, None, ["splitting.rows_per_block=3", "splitting.rows_per_file=7"])
    assert steps_of(said, 10**7, 2_000, hundred) == Steps(3, 7)
