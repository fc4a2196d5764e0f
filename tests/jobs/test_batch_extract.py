"""The batch job as a user runs it: the command, real Ray, real files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from jobs.batch_extract import main
from tests.job_support import LINES, make_bundle, make_pages, rows_without_timings, run_file, run_job, table

PAGES = 12


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    make_bundle(folder / "bundle")
    make_pages(folder, PAGES)
    (folder / "image/notes.json").write_text("{}")
    (folder / "image/torn.png").write_bytes((folder / "image/page_00000.png").read_bytes()[:100])
    return folder


def arguments(place: Path, *more: str) -> list[str]:
    return [
        str(place / "image"),
        "--output",
        str(place / "out"),
        "--model",
        str(place / "bundle"),
        "--ocr",
        "annotations",
        "--annotations",
        str(place / "labels.txt"),
        *more,
    ]


@pytest.fixture(scope="module")
def finished(place: Path) -> Any:
    return run_job(*arguments(place, "--preview", "3", "--max-error-rate", "0.2", "--set", "prices.cpu_hour=0.5"))


def test_the_whole_job(place: Path, finished: Any) -> None:
    assert finished.returncode == 0, finished.stderr
    report = run_file(place / "out")
    assert (report["documents"], report["succeeded"], report["failed"]) == (PAGES + 1, PAGES, 1)
    assert report["pages"] == PAGES
    assert report["skipped_inputs"]["count"] == 1
    assert report["errors"] == {"corrupt": 1}
    assert set(report["stages"]) == {"fetch", "read", "ocr", "ser", "re", "fields"}
    assert sum(report["scores"]["ocr_score"]) == report["entities"] == PAGES * len(LINES)
    last = report["timeline"][-1]
    assert (last["start"], last["rows"], last["pages"], last["failed"]) == (0, PAGES + 1, PAGES, 1)
    assert last["seconds"] <= report["seconds"]
    assert report["cost_per_million_pages"] > report["stages"]["ser"]["cost_per_million_pages"] > 0
    assert report["settings"]["prices.cpu_hour"] == 0.5
    entities = table(place / "out", "entities")
    assert entities.num_rows == PAGES * len(LINES)
    assert set(entities["line_id"].to_pylist()) == {10, 20, 30, 40}
    (error,) = table(place / "out", "errors").to_pylist()
    assert (Path(error["uri"]).name, error["stage"], error["category"]) == ("torn.png", "read", "corrupt")


def test_the_summary_names_busiest_stage_failures_tables_and_what_is_next(place: Path, finished: Any) -> None:
    text = finished.stdout
    for part in (
        "13 documents: 12 succeeded, 1 failed",
        "busiest stage: ",
        "1 corrupt",
        "notes.json",
        "fields/*.parquet",
        " a million pages, at the configured prices",
        f"report: {place}/out/report.html",
    ):
        assert part in text
    assert "out/errors --output" in text.splitlines()[-1]
    page = (place / "out/report.html").read_text(encoding="utf-8")
    for part in (
        "Extraction run",
        "torn.png",
        "the picture is damaged",
        'href="preview/index.html"',
        "prices.cpu_hour",
    ):
        assert part in page, part
    assert "preview/index.html" in text
    assert "documents, " in finished.stderr  # progress lines
    noise = [line for line in finished.stderr.splitlines() if "documents, " not in line]
    assert not noise, "Ray or a library talks on stderr:\n" + "\n".join(noise)


def test_the_preview_shows_pages_and_the_failure(place: Path, finished: Any) -> None:
    index = (place / "out/preview/index.html").read_text(encoding="utf-8")
    assert "page_00000.png" in index
    assert "torn.png" in index
    assert len(list((place / "out/preview/images").iterdir())) == 3


def test_duckdb_and_pandas_read_the_tables_without_our_code(place: Path, finished: Any) -> None:
    import duckdb
    import pandas

    out = place / "out"
    query = f"select count(*), min(len(points)) from '{out}/entities/*.parquet'"
    assert duckdb.sql(query).fetchall() == [(PAGES * len(LINES), 8)]
    pairs = duckdb.sql(f"select key, value from '{out}/fields/*.parquet'").fetchall()
    frame = pandas.read_parquet(out / "fields")
    assert len(pairs) == len(frame) == run_file(out)["fields"]
    assert list(frame.columns) == [
        *("doc_id", "uri", "page", "key", "value", "score", "key_lines", "value_lines", "key_box", "value_box")
    ]


def test_the_same_command_again_adds_nothing_and_is_quick(place: Path, finished: Any) -> None:
    before = rows_without_timings(place / "out")
    stamp = (place / "out/run.json").read_bytes()
    again = run_job(*arguments(place, "--max-error-rate", "0.2"))
    assert again.returncode == 0, again.stderr
    assert "nothing was done" in again.stdout
    assert rows_without_timings(place / "out") == before
    assert (place / "out/run.json").read_bytes() == stamp


def test_a_lost_run_json_is_made_again_without_doing_the_work_twice(place: Path, finished: Any) -> None:
    out = place / "finalized-again"
    shutil.copytree(place / "out", out)
    (out / "run.json").unlink()
    shutil.rmtree(out / "entities")
    again = run_job(
        *[item if item != str(place / "out") else str(out) for item in arguments(place, "--max-error-rate", "1")]
    )
    assert again.returncode == 0, again.stderr
    assert "13 rows were there" in again.stdout
    assert rows_without_timings(out) == rows_without_timings(place / "out")
    assert table(out, "entities").num_rows == PAGES * len(LINES)


def test_too_many_failures_are_status_3(place: Path, finished: Any) -> None:
    result = run_job(*arguments(place, "--max-error-rate", "0.01"))
    assert result.returncode == 3
    assert "7.7%" in result.stderr


def test_another_configuration_is_refused_in_one_line(
    place: Path, finished: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows_without_timings(place / "out")
    for more, named in ((["--set", "pdf_dpi=100"], "the configuration"), (["--limit", "3"], "the inputs")):
        status = main(arguments(place, *more))
        message = capsys.readouterr().err
        assert status == 2
        assert len(message.splitlines()) == 1
        assert named in message
        assert "--restart" in message
    assert rows_without_timings(place / "out") == before


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--limit", "0"], "--limit"),
        (["--max-error-rate", "2"], "2"),
        (["--ocr", "tesseract"], "tesseract"),
        (["--set", "pools.ocr.sise=3"], "did you mean 'size'"),
        (["--config", "/nowhere.yaml"], "/nowhere.yaml"),
        (["--model", "/nowhere"], "/nowhere"),
        (["--annotations", "/nowhere.txt"], "/nowhere.txt"),
        (["/nowhere/scans"], "/nowhere/scans"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(
    place: Path, wrong: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(arguments(place, *wrong))
    except SystemExit as stop:  # argparse
        status = stop.code  # type: ignore[assignment]
    message = capsys.readouterr().err
    assert status == 2, message
    assert len(message.splitlines()) == 1, message
    assert named in message


def test_a_wrong_model_directory_is_told_before_any_actor_starts(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = ["--ocr", "paddleocr", "--set", "ocr.paddleocr.detection_dir=/nowhere"]
    status = main([str(place / "image"), "--output", str(place / "other"), *wrong])
    message = capsys.readouterr().err
    assert status == 2, message
    assert len(message.splitlines()) == 1, message
    assert "/nowhere" in message


def test_no_argument_at_all_is_one_line_too() -> None:
    result = run_job()
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)


def test_an_output_of_something_else_is_not_touched(place: Path, finished: Any) -> None:
    foreign = place / "foreign"
    shutil.copytree(place / "out/fields", foreign / "fields")
    result = run_job(*[item if item != str(place / "out") else str(foreign) for item in arguments(place)])
    assert result.returncode == 2
    assert "fields/" in result.stderr


def test_errors_are_the_input_of_the_next_run_and_restart_starts_over(place: Path, finished: Any) -> None:
    torn = place / "image/torn.png"
    kept = torn.read_bytes()
    replay = [str(place / "out/errors"), *arguments(place)[1:]]
    replay[replay.index("--output") + 1] = str(place / "replay")
    try:
        torn.write_bytes((place / "image/page_00001.png").read_bytes())
        with (place / "labels.txt").open("a", encoding="utf-8") as stream:
            row = (place / "labels.txt").read_text(encoding="utf-8").splitlines()[1]
            stream.write("torn.png\t" + row.split("\t")[1] + "\n")
        result = run_job(*replay)
        assert result.returncode == 0, result.stderr
        assert [Path(uri).name for uri in table(place / "replay", "documents")["uri"].to_pylist()] == ["torn.png"]
        restarted = arguments(place, "--restart", "--limit", "2")
        restarted[restarted.index("--output") + 1] = str(place / "replay")
        result = run_job(*restarted)
        assert result.returncode == 0, result.stderr
        assert table(place / "replay", "documents").num_rows == 2
        assert json.loads((place / "replay/run.json").read_text())["documents"] == 2
    finally:
        torn.write_bytes(kept)


def test_real_ocr_reads_a_drawn_page(place: Path, tmp_path: Path) -> None:
    from tests.job_support import draw_page

    large = draw_page(7).resize((800, 280))
    large.save(tmp_path / "form.png")
    result = run_job(tmp_path / "form.png", "--output", tmp_path / "out", "--model", place / "bundle")
    assert result.returncode == 0, result.stderr
    texts = " ".join(table(tmp_path / "out", "entities")["text"].to_pylist())
    assert "Lovelace" in texts
