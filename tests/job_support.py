"""What the tests of the batch job share: a tiny random bundle, drawn pages with labels, and the command itself."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import torch
from PIL import Image, ImageDraw, ImageFont

from kie_ray.encoding.train_tokenizer import train_tokenizer
from kie_ray.models.bundle_info import BundleInfo
from kie_ray.models.bundle_models import save_bundle
from kie_ray.models.kie_model import KieModel
from kie_ray.models.layoutlmv2 import (
    LayoutLMv2Config,
    LayoutLMv2ForKie,
    LayoutLMv2ForRe,
    LayoutLMv2ForSer,
)

ROOT = Path(__file__).resolve().parents[1]
COMMAND = ROOT / "jobs/batch_extract.py"
LINES = (
    ("Name", (10, 10, 70, 26)),
    ("Ada Lovelace", (80, 10, 190, 26)),
    ("Date", (10, 40, 70, 56)),
    ("1843", (80, 40, 120, 56)),
)


def make_bundle(folder: Path, *, two_models: bool = False) -> Path:
    """A joint SER and RE model of a few thousand random weights; what it says means nothing, but always the same.

    `two_models`: the same weights as a SER and an RE model of their own.
    """
    torch.manual_seed(7)
    tokenizer = train_tokenizer([text for text, _ in LINES] * 3, 400)
    info = BundleInfo(
        name="tiny-random",
        tasks=["ser", "re"],
        labels=["OTHER", "QUESTION", "ANSWER", "HEADER"],
        max_tokens=64,
        overlap_tokens=16,
        re_threshold=0.0,
    )
    config = LayoutLMv2Config(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        coordinate_size=5,
        shape_size=6,
        num_labels=7,
    )
    models: dict[str, KieModel] = {"kie": LayoutLMv2ForKie(config)}
    if two_models:
        weights = models.pop("kie").state_dict()
        models = {"ser": LayoutLMv2ForSer(config), "re": LayoutLMv2ForRe(config)}
        for model in models.values():
            model.load_state_dict({name: weights[name] for name in model.state_dict()})
    save_bundle(folder, info, tokenizer, models, "Random weights for tests.")
    return folder


def draw_page(number: int, size: tuple[int, int] = (200, 70)) -> Image.Image:
    """A small form; `number` is on it, so that no two pages are alike."""
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    for text, box in LINES:
        pen.text(box[:2], text, fill="black", font=ImageFont.load_default(13))
    pen.text((130, 40), str(number), fill="black")
    return image


def make_pages(folder: Path, count: int, first: int = 0) -> Path:
    """`count` PNG pages in `folder`/image and their labels in `folder`/labels.txt, which is returned."""
    (folder / "image").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(first, first + count):
        name = f"page_{number:05d}.png"
        draw_page(number).save(folder / "image" / name)
        rows.append(label_row(name, number))
    labels = folder / "labels.txt"
    with labels.open("a", encoding="utf-8") as stream:
        stream.write("".join(rows))
    return labels


def label_row(name: str, number: int) -> str:
    lines = []
    for index, (text, (x0, y0, x1, y1)) in enumerate(LINES):
        lines.append(
            {
                "transcription": text if index != 3 else str(number),
                "points": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]],
                "label": "question" if index % 2 == 0 else "answer",
                "id": 10 * (index + 1),
                "linking": [],
            }
        )
    return f"{name}\t{json.dumps(lines)}\n"


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, str(COMMAND), *map(str, arguments)]


def environment(**extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_") and name != "PYTHONPATH"}
    return {**kept, "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0", **extra}


def run_job(*arguments: str | Path, timeout: float = 240, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run jobs/batch_extract.py to its end, from another directory than the checkout's, as a user might."""
    return subprocess.run(
        command(*arguments),
        env=environment(**extra),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@contextlib.contextmanager
def started_job(*arguments: str | Path, log: Path, **extra: str) -> Iterator[subprocess.Popen[bytes]]:
    """The job in a process group of its own; whatever of it is left at the end is killed."""
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command(*arguments), env=environment(**extra), cwd="/", stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        yield process
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[Any]) -> None:
    """SIGKILL to the driver, to everything in its session, and to the Ray processes that it has started."""
    family = descendants(process.pid)
    for pid in [process.pid, *family]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(30)
    deadline = time.monotonic() + 20
    while any(map(_alive, family)) and time.monotonic() < deadline:
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    """All children of `pid`, their children and so on, and what shares its session."""
    parents: dict[int, int] = {}
    same_session = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(after_name[1])
                if int(after_name[3]) == pid:
                    same_session.add(int(entry.name))
    found = same_session - {pid}
    grew = True
    while grew:
        more = {child for child, parent in parents.items() if parent in found | {pid}} - found - {pid}
        found |= more
        grew = bool(more)
    return sorted(found)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def table(output: Path | str, name: str) -> pa.Table:
    return pads.dataset(f"{output}/{name}", format="parquet").to_table()


def rows_without_timings(output: Path) -> list[str]:
    """Every row of documents/ as text, sorted; what must be the same whenever and however often a job was killed."""
    rows = []
    for row in table(output, "documents").to_pylist():
        row.pop("timings")
        rows.append(json.dumps(row, sort_keys=True, ensure_ascii=False))
    return sorted(rows)


def run_file(output: Path) -> dict[str, Any]:
    content = json.loads((output / "run.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def noise_page(seed: int, size: tuple[int, int]) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    return Image.fromarray(pixels)
