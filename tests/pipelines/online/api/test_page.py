"""The page is sent whole, and its policy lets in exactly the script and style that it holds."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from pipelines.online.api.page import PAGE_FILE, load_page
from tests.pipelines.online.api.support import Scripted, client


def directives(policy: str) -> dict[str, list[str]]:
    return {name: values for name, *values in (part.split() for part in policy.split(";"))}


def test_the_page_and_its_headers() -> None:
    connection = client(Scripted())
    response = connection.get("/?from=a-bookmark")
    assert response.content == PAGE_FILE.read_bytes()
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = directives(response.headers["content-security-policy"])
    assert policy["default-src"] == ["'none'"]
    assert policy["img-src"] == ["data:", "blob:"]
    assert policy["connect-src"] == ["'self'"]
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == ["'none'"]
    everything = response.headers["content-security-policy"]
    assert "http" not in everything
    assert "unsafe" not in everything
    again = connection.get("/", headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert connection.get("/", headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_policy_names_every_block_of_the_page() -> None:
    text = PAGE_FILE.read_text(encoding="utf-8")
    policy = directives(load_page().policy)
    for tag in ("script", "style"):
        blocks = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", text, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(block.encode()).digest()).decode() for block in blocks]
        assert policy[f"{tag}-src"] == ([f"'sha256-{digest}'" for digest in digests] or ["'none'"])


def test_line_ends_are_hashed_as_browsers_read_them(tmp_path: Path) -> None:
    file = tmp_path / "index.html"
    file.write_bytes(b"<STYLE media='all'>a{}\r\n</style >\r\n<script>\r\nf()\r\n</script><script></script>")
    policy = directives(load_page(file).policy)
    style = base64.b64encode(hashlib.sha256(b"a{}\n").digest()).decode()
    script = base64.b64encode(hashlib.sha256(b"\nf()\n").digest()).decode()
    assert policy["style-src"] == [f"'sha256-{style}'"]
    assert policy["script-src"] == [f"'sha256-{script}'"]
