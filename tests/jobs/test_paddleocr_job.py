"""The batch job with PaddleOCR as its engine, on a sample form and the bundled model."""

from __future__ import annotations

from pathlib import Path

from tests.job_support import ROOT, run_file, run_job, table
from tests.paddleocr_support import detection_dir, recognition_dir


def test_fields_come_out_of_a_sample_form(tmp_path: Path) -> None:
    result = run_job(
        ROOT / "kie_ray/samples/zh_health_check.png",
        *("--output", tmp_path / "out", "--ocr", "paddleocr", "--set", "pools.ocr.size=1"),
        *("--set", f"ocr.paddleocr.detection_dir={detection_dir(tmp_path)}"),
        *("--set", f"ocr.paddleocr.recognition_dir={recognition_dir(tmp_path)}"),
    )
    assert result.returncode == 0, result.stderr
    noise = [line for line in result.stderr.splitlines() if "documents, " not in line]
    assert not noise, "PaddleOCR talks on stderr:\n" + "\n".join(noise)
    assert run_file(tmp_path / "out")["ocr"] == "paddleocr"
    found = table(tmp_path / "out", "fields").select(["key", "value"]).to_pylist()
    pairs = {(pair["key"], pair["value"]) for pair in found}
    assert {("姓名", "沈雨桐"), ("年龄", "29"), ("体检日期", "2019年3月27日"), ("过敏史", "青霉素过敏")} <= pairs
