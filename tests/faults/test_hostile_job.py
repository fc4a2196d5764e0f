"""A folder with good pages and hostile files: the good ones are extracted, each bad one has a row that says why."""

from __future__ import annotations

from pathlib import Path

from tests.faults.test_hostile_files import HOSTILE
from tests.job_support import make_bundle, make_pages, run_file, run_job, table

NAMES = {
    "empty": "empty.png",
    "truncated jpeg": "truncated.jpg",
    "text named png": "text.png",
    "60000x60000 png": "huge.png",
    "encrypted pdf": "encrypted.pdf",
    "pdf without pages": "no_pages.pdf",
    "pdf with 20000 pages": "endless.pdf",
    "crash": "crash.png",
    "hang": "hang.png",
    "memory bomb": "bomb.tif",
    "truncated tiff": "truncated.tif",
    "docx": "letter.pdf",
}
GOOD = 40


def test_twelve_hostile_files_among_forty_good_ones(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    labels = make_pages(tmp_path, GOOD)
    for name, file in NAMES.items():
        (tmp_path / "image" / file).write_bytes(HOSTILE[name][0])
    decoder = Path(__file__).with_name("bad_decoder.py")
    result = run_job(
        *(tmp_path / "image", "--output", tmp_path / "out", "--model", tmp_path / "bundle", "--annotations", labels),
        *("--set", "limits.max_seconds=3", "--set", "limits.max_memory_bytes=1073741824"),
        KIE_RAY_TEST_DECODER=f"{decoder}:open_bad",
    )
    assert result.returncode == 3, result.stderr  # 12 of 52 failed
    report = run_file(tmp_path / "out")
    assert (report["documents"], report["succeeded"], report["failed"]) == (GOOD + 12, GOOD, 12)
    errors = {Path(row["uri"]).name: row for row in table(tmp_path / "out", "errors").to_pylist()}
    assert {file: errors[file]["category"] for file in NAMES.values()} == {
        file: str(HOSTILE[name][1]) for name, file in NAMES.items()
    }
    for row in errors.values():
        assert row["stage"] == "read"
        assert row["message"].startswith(row["uri"])
    retryable = {file for file, row in errors.items() if row["retryable"]}
    assert retryable == {"crash.png", "hang.png"}
    good = [row for row in table(tmp_path / "out", "documents").to_pylist() if row["status"] == "ok"]
    assert len(good) == GOOD
    assert all(len(row["pages"][0]["lines"]) == 4 for row in good)
