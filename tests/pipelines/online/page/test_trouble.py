"""What people see when something goes wrong, and what text from documents may not do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kie_ray.drawing.palette import Palette
from kie_ray.errors import Category, ErrorItem, Stage
from pipelines.online.api.backend import Busy, ModelInfo
from pipelines.online.api.keys import Keys
from pipelines.online.api.settings import ApiSettings
from tests.pipelines.online.page.conftest import Open, Serve
from tests.pipelines.online.page.probes import SHAPES
from tests.pipelines.online.page.scripted import Pictured, document, table

EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>\"'>"
KEY = "correct-horse-battery"


def one_field() -> Pictured:
    return Pictured(document(table([("Name", "Ada")])))


def test_a_broken_file_is_explained(visit: Open, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7\n" + b"\x00" * 200)
    tab = visit()
    tab.statuses = (400,)
    with tab.page.expect_response("**/v1/extract*") as caught:
        tab.send(broken)
    problem = caught.value.json()
    card = tab.page.locator(".card")
    assert card.get_by_role("alert").locator("h2").inner_text() == "The file is damaged"
    text = card.inner_text()
    for part in (problem["detail"], problem["request_id"], "export it there again", "400"):
        assert part in text
    assert card.get_by_role("button", name="Choose another file").is_visible()
    assert not card.get_by_role("button", name="Try again").count()  # the same bytes would fail again
    assert "damaged" in tab.page.inner_text("#live")


def test_a_server_with_keys_asks_for_one(visit: Open, served: Serve, english: Path) -> None:
    url = served(one_field(), ApiSettings(keys=Keys([KEY])))
    tab = visit(url)
    tab.statuses = (401,)
    dialog = tab.page.get_by_role("dialog", name="API key")
    dialog.wait_for()
    tab.page.keyboard.press("Escape")
    tab.send(english)
    assert tab.page.inner_text(".card h2") == "The server asks for an API key"
    dialog.wait_for()
    tab.page.keyboard.type("not the key")
    tab.page.keyboard.press("Enter")
    assert "without spaces" in dialog.get_by_role("alert").inner_text()
    tab.page.get_by_label("Key", exact=True).fill("wrong-key")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_function("() => document.querySelector('#key-why').textContent.includes('did not accept')")
    tab.page.get_by_label("Key", exact=True).fill(KEY)
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector("#fields tr.row")  # the file that was refused is read now
    assert tab.rows == [("Name", "Ada")]
    assert tab.page.evaluate("() => [sessionStorage.length, localStorage.length]") == [1, 0]
    assert KEY not in tab.page.content()
    tab.page.goto(url)
    tab.page.wait_for_selector("#model option", state="attached")
    assert dialog.is_hidden()
    tab.page.get_by_role("button", name="API key is set").click()
    tab.page.get_by_role("button", name="Forget key").click()
    assert tab.page.evaluate("() => sessionStorage.length") == 0


def test_it_waits_for_a_busy_server(visit: Open, served: Serve, english: Path) -> None:
    backend = one_field()
    backend.failures = [Busy(1.0), Busy(1.0)]
    tab = visit(served(backend))
    tab.statuses = (503,)
    tab.send(english, wait=False)
    tab.page.wait_for_function("() => document.querySelector('#progress-what')?.textContent === 'The server is busy'")
    assert "next try in" in tab.page.inner_text("#progress-more")
    tab.page.wait_for_selector("#fields tr.row")
    assert len(backend.seen) == 3


def test_reading_can_be_cancelled(visit: Open, served: Serve, english: Path) -> None:
    backend = one_field()
    backend.seconds = 30
    tab = visit(served(backend))
    tab.send(english, wait=False)
    tab.page.wait_for_function("() => document.querySelector('#progress-what')?.textContent === 'Reading'")
    assert tab.page.get_by_role("progressbar", name="Reading").is_visible()
    tab.page.get_by_role("button", name="Cancel").click()
    assert tab.page.inner_text(".card h2") == "Cancelled"
    assert tab.page.evaluate("() => document.activeElement.id") == "doc-title"
    backend.seconds = 0
    tab.page.get_by_role("button", name="Read it again").click()
    tab.page.wait_for_selector("#fields tr.row")


def test_the_server_cannot_be_reached(visit: Open, english: Path) -> None:
    tab = visit()
    tab.page.wait_for_selector("#model option", state="attached")
    tab.page.route("**/v1/extract*", lambda route: route.abort())
    tab.send(english)
    assert tab.page.inner_text(".card h2") == "The server did not answer"
    assert tab.said.pop().startswith("error: Failed to load resource")
    tab.page.unroute("**/v1/extract*")
    tab.page.get_by_role("button", name="Try again").click()
    tab.page.wait_for_selector("#fields tr.row")


def test_a_page_that_failed_is_named(visit: Open, served: Serve, english: Path) -> None:
    half = document(table([("Name", "Ada")]), table([("Name", "Eve")], index=2))
    half.error = ErrorItem.of(Stage.READ, Category.CORRUPT, f"stream ends early {EVIL}", page=1)
    tab = visit(served(Pictured(half)))
    tab.send(english)
    assert tab.page.inner_text("#doc-note") == f"Page 2 could not be read: stream ends early {EVIL}"
    assert tab.page.locator("#fields .part").all_inner_texts() == ["Page 1", "Page 3"]
    assert tab.page.inner_text("#page-now") == "Page 1 of 3"


def test_an_answer_that_is_no_record_is_explained(visit: Open, english: Path) -> None:
    tab = visit()
    odd = {"pages": [{"index": 0, "width": 10, "height": 10}], "fields": [{"page": 0, "key": "a", "score": None}]}
    tab.page.route("**/v1/extract*", lambda route: route.fulfill(json=odd))
    tab.send(english)
    assert tab.page.inner_text(".card h2") == "Something went wrong on the server"
    assert tab.said.pop().startswith("error: TypeError")
    proxy = "<html><h1>502 Bad Gateway</h1></html>"
    tab.statuses = (502,)
    tab.page.route("**/v1/extract*", lambda route: route.fulfill(status=502, body=proxy, content_type="text/html"))
    tab.page.get_by_role("button", name="Try again").click()
    tab.page.wait_for_function("() => document.querySelector('.card dl')?.textContent === 'Status502'")
    assert "h1" not in tab.page.inner_text(".card")


def test_text_of_documents_stays_text(visit: Open, served: Serve, tmp_path: Path, english: Path) -> None:
    labels = [EVIL.upper(), "CONSTRUCTOR", "GESAMT", "OTHER"]
    model = ModelInfo(EVIL, "ab" * 32, ["ser", "re"], labels, True, False, EVIL, EVIL)
    page = table([(EVIL, EVIL), ("שם", "رقم الهاتف 12"), ("姓名", "张三")], labels=(labels[0], labels[1]), spare=[EVIL])
    page.lines[-2].label = "NEVER NAMED"
    backend = Pictured(document(page), served=(model,))
    named = tmp_path / "<img src=x onerror=alert(1)>.png"
    named.write_bytes(english.read_bytes())
    tab = visit(served(backend))
    tab.send(named)
    tab.page.get_by_label("Lines without a field").check()
    assert tab.rows[0] == (EVIL, EVIL)
    tab.page.locator("[data-part=value]").first.dblclick()
    tab.page.keyboard.type(EVIL + "!")
    tab.page.keyboard.press("Enter")
    assert tab.rows[0] == (EVIL, EVIL + "!")
    assert tab.page.inner_text("h1:visible") == named.name
    assert tab.page.locator("img:not(.canvas img):not(.thumb img)").count() == 0
    assert tab.page.locator("script").count() == 1
    assert "owned" not in tab.page.title()
    palette = Palette(labels)
    colours = {str(shape["line"]): shape["colour"] for shape in tab.page.evaluate(SHAPES)}
    assert colours == {str(line.id): palette.css(line.label) for line in page.lines}
    # Right-to-left text begins on the right, in a table that does not.
    starts = tab.page.evaluate(
        "() => [...document.querySelectorAll('tr.row [data-part=value]')].map((c) => getComputedStyle(c).direction)"
    )
    assert starts == ["ltr", "rtl", "ltr"]


def test_a_list_of_models_that_comes_late_still_gives_the_colours(visit: Open, served: Serve, english: Path) -> None:
    labels = ["SUM", "GESAMT", "OTHER"]
    model = ModelInfo("late", "ab" * 32, ["ser", "re"], labels, True, False, "", "")
    page = table([("Name", "Ada")], labels=(labels[0], labels[1]))
    tab = visit(served(Pictured(document(page), served=(model,))))
    held: list[Any] = []
    tab.page.route("**/v1/models", lambda route: held.append(route))
    tab.page.reload()
    with tab.page.expect_response("**/v1/extract*"):
        tab.send(english, wait=False)
    held.pop().continue_()
    tab.page.wait_for_selector("#fields tr.row")
    colours = {shape["line"]: shape["colour"] for shape in tab.page.evaluate(SHAPES)}
    assert colours == {line.id: Palette(labels).css(line.label) for line in page.lines}
