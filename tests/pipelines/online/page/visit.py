"""One visit to the page by a browser, and what must hold of every visit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_WATCH = """
addEventListener("securitypolicyviolation", (event) => {
  (window.refused ||= []).push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""
_EXPECTED = "Failed to load resource: the server responded with a status of"


class Visit:
    """A tab of its own, with what it said and asked for.

    `statuses`: HTTP errors that the test provokes; the browser writes those to its console, anything else there fails.
    """

    def __init__(self, context: Any, address: str) -> None:
        self.context = context
        self.address = address
        self.statuses: tuple[int, ...] = ()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.refused: list[str] = []
        self.page = context.new_page()
        self.page.add_init_script(_WATCH)
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"uncaught: {error}"))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)

    def send(self, *files: Path, wait: bool = True) -> None:
        """Choose files, and wait until the last one is read or has failed."""
        self.page.set_input_files("#file", [str(file) for file in files])
        if wait:
            self.page.wait_for_selector("#fields tr.row:visible, .card .trouble")

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Keys and values that the table shows."""
        script = """() => [...document.querySelectorAll("#fields tr.row:not([hidden])")].map((row) =>
          [...row.querySelectorAll("[data-part]")].map((cell) => cell.firstChild.textContent))"""
        return [(key, value) for key, value in (row for row in self.page.evaluate(script) if row)]

    def lit(self, kind: str = ".shape") -> list[str]:
        """Text of the boxes that are lit on the page (`kind` .link: key and value line of the arrows)."""
        if kind == ".link":
            script = (
                "() => [...document.querySelectorAll('.link.on')].map((p) => `${p.dataset.key} ${p.dataset.value}`)"
            )
        else:
            script = "() => [...document.querySelectorAll('.shape.on title')].map((t) => t.textContent.split('\\n')[1])"
        found: list[str] = self.page.evaluate(script)
        return sorted(found)

    def row(self, key: str) -> Any:
        """The row of the first field with this key."""
        found = self.page.locator("#fields tr.row", has=self.page.locator("th", has_text=key))
        return found.first

    def clipboard(self) -> str:
        text: str = self.page.evaluate("() => navigator.clipboard.readText()")
        return text

    def download(self, name: str) -> tuple[str, bytes]:
        """File name and content of what the button called `name` saves."""
        with self.page.expect_download() as caught:
            self.page.get_by_role("button", name=name).click()
        return caught.value.suggested_filename, Path(caught.value.path()).read_bytes()

    def named_controls(self) -> list[tuple[str, str]]:
        """(role, name) of every control in the accessibility tree."""
        session = self.context.new_cdp_session(self.page)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        session.detach()
        roles = {
            "button",
            "checkbox",
            "combobox",
            "slider",
            "textbox",
            "link",
            "grid",
            "dialog",
            "navigation",
            "region",
        }
        roles |= {"columnheader", "rowheader", "image", "img", "group", "progressbar", "main", "banner"}
        return [
            (node["role"]["value"], node.get("name", {}).get("value", "").strip())
            for node in nodes
            if not node.get("ignored") and node.get("role", {}).get("value") in roles
        ]

    def close(self) -> None:
        self.refused = self.page.evaluate("() => window.refused || []")
        self.context.close()

    def check(self) -> None:
        """Nothing was said, refused, or asked from elsewhere."""
        expected = [f"{_EXPECTED} {status}" for status in self.statuses]
        loud = [text for text in self.said if not any(part in text for part in expected)]
        assert not loud, json.dumps(loud, indent=1)
        assert not self.refused, self.refused
        assert not foreign(self.asked, self.address)


def foreign(urls: Sequence[str], address: str) -> list[str]:
    """Those that do not stay on the server of `address`."""
    home = urlsplit(address).netloc
    return [url for url in urls if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).netloc != home]
