"""The batch job against the two ways in which forms are read today, over the same real pages, in one run.

    python benchmarks/throughput.py --data DATA [--pages N] [--contestants NAME...] [--json FILE] [--quick]

DATA holds `xfund_zh/`. The pages are those of zh val, repeated as files of their own until there are N (100; `--quick`:
6). The same bundled model everywhere; what differs is the order of work:

loop      page by page: RapidOCR with its defaults, then our extraction of that page (ONNX models as the job has them).
paddle    PaddleOCR's KIE as its tools run it: RapidOCR with its defaults, the page padded to 512 tokens, SER, then RE
          which encodes the padded page again; torch, one page a call.
pipeline  `jobs/batch_extract.py` with its defaults.
float32   the same with `--set ocr.dtype=float32`. The default contestants are the first three.

Every contestant is a process of its own, timed from its start to its end. Text: the character error rate of
`benchmarks/ocr.py`. Fields: hmean of key and value texts, protocol `fields`. The last line is the smallest ratio of
pages/s, job over loop.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.job_runs import run_job, spread_pages  # noqa: E402
from benchmarks.ocr import CharacterErrors  # noqa: E402
from kie_ray.datasets.paddleocr import read_labels  # noqa: E402
from kie_ray.decoding.fields import build_fields  # noqa: E402
from kie_ray.metrics.fields import field_scores  # noqa: E402
from kie_ray.models.bundle import Bundle  # noqa: E402
from kie_ray.records import Document, Line, Page  # noqa: E402
from kie_ray.schemas import document_to_row, row_to_document  # noqa: E402

_LOOPS = ("loop", "paddle")
_JOBS = {"pipeline": (), "float32": ("--set", "ocr.dtype=float32")}


def page_by_page(folder: Path, target: Path, *, paddle: bool) -> None:
    """Read, recognise and annotate every file of `folder` one after the other; rows as JSON lines into `target`."""
    import logging

    import cv2
    from rapidocr import RapidOCR

    from kie_ray.loading import load_annotator

    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    engine = RapidOCR()
    bundle = Bundle.load()
    if paddle:
        annotators = [load_annotator(bundle, tasks=(task,), runtime="torch") for task in ("ser", "re")]
        for annotator, model in zip(annotators, (annotators[0].models.ser, annotators[1].models.re), strict=True):
            _pad_to(model, annotator.info.max_tokens, annotator.encoder.tokenizer.pad_id)
    else:
        annotators = [load_annotator(bundle)]
    with target.open("w", encoding="utf-8") as stream:
        for file in sorted(folder.iterdir()):
            image = cv2.imread(str(file))
            found = engine(image)
            page = Page(0, image.shape[1], image.shape[0], source=str(file))
            boxes = [] if found.boxes is None else found.boxes
            for number, (box, text, score) in enumerate(zip(boxes, found.txts or (), found.scores or (), strict=True)):
                page.lines.append(Line(number, text, tuple(map(float, box.reshape(-1))), float(score)))
            if paddle:
                annotators[0].label([page])
                annotators[1].relate([page])
            else:
                annotators[0].annotate([page])
            row = document_to_row(Document(file.name, str(file), [page]), {"doc_id": file.name, "uri": str(file)})
            stream.write(json.dumps(row) + "\n")


def _pad_to(model: Any, tokens: int, pad_id: int) -> None:
    """Let `model.encode` see every window padded to `tokens`, as PaddleOCR's data loader does."""
    from torch.nn.functional import pad

    encode = model.encode

    def padded(input_ids: Any, bbox: Any, attention_mask: Any, **rest: Any) -> Any:
        length = input_ids.shape[1]
        more = tokens - length
        hidden = encode(
            pad(input_ids, (0, more), value=pad_id), pad(bbox, (0, 0, 0, more)), pad(attention_mask, (0, more)), **rest
        )
        return hidden[:, :length]

    model.encode = padded


def timed(folder: Path, target: Path, name: str) -> float:
    started = time.monotonic()
    script = [sys.executable, __file__, "--contestant", name, str(folder), str(target)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.monotonic() - started


def quality(rows: Sequence[Mapping[str, Any]], gold: Mapping[str, Page], names: Mapping[str, str]) -> dict[str, float]:
    """`names`: of the gold page by the file's name. Each page counts once, however often it was repeated."""
    seen = {names[Path(row["uri"]).name]: row_to_document(row).pages[0] for row in rows}
    pages = [gold[name] for name in seen]
    pairs = Bundle.load().info.relation_pairs
    score = field_scores(
        [build_fields(page, relation_pairs=pairs) for page in pages], [page.fields for page in seen.values()]
    )
    errors = CharacterErrors()
    for page, read in zip(pages, seen.values(), strict=True):
        errors.add(page, read.lines)
    return {"cer": errors.rate, "fields_hmean": score.hmean}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DATA")
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--contestants", nargs="+", choices=(*_LOOPS, *_JOBS), default=[*_LOOPS, "pipeline"])
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="6 pages")
    parser.add_argument("--contestant", nargs=3, metavar=("NAME", "FOLDER", "TARGET"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        name, folder, target = options.contestant
        page_by_page(Path(folder), Path(target), paddle=name == "paddle")
        return 0
    if options.data is None:
        parser.error("--data is missing")
    val = options.data / "xfund_zh" / "zh_val"
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        count = spread_pages(val / "image", place / "pages", 6 if options.quick else options.pages)
        originals = sorted(path.name for path in (val / "image").iterdir())
        names = {file.name: originals[int(file.stem) % len(originals)] for file in (place / "pages").iterdir()}
        gold = {Path(page.source).name: page for page in read_labels(val / "val.json")}
        seconds, rows = {}, {}
        for name in options.contestants:
            if name in _LOOPS:
                seconds[name] = timed(place / "pages", place / f"{name}.jsonl", name)
                rows[name] = [json.loads(line) for line in (place / f"{name}.jsonl").read_text("utf-8").splitlines()]
            else:
                seconds[name] = run_job(place / "pages", place / name, None, _JOBS[name])["seconds"]
                rows[name] = pads.dataset(place / name / "documents").to_table().to_pylist()
        results = {
            name: {"pages_per_second": count / seconds[name], **quality(rows[name], gold, names)} for name in seconds
        }
    rates = {name: result["pages_per_second"] for name, result in results.items()}
    ratios = {
        f"{job} over {loop}": rates[job] / rates[loop] for job in _JOBS for loop in _LOOPS if {job, loop} <= {*rates}
    }
    if options.json:
        options.json.write_text(json.dumps({"pages": count, "results": results, "ratios": ratios}, indent=2) + "\n")
    for name, result in results.items():
        print(
            f"{name:9} {result['pages_per_second']:.3f} pages/s, character errors {result['cer']:.4f}, "
            f"fields hmean {result['fields_hmean']:.4f}"
        )
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f}")
    if ratios:
        print(f"ratio: {min(ratios.values()):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
