"""The web page at `/`: one file, sent with a policy that lets only its own script and style run."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

PAGE_FILE = Path(__file__).with_name("page") / "index.html"

_BLOCK = r"<{tag}\b[^>]*>(.*?)</{tag}\s*>"


@dataclass(frozen=True, slots=True)
class WebPage:
    """Content and headers of the page."""

    content: bytes
    policy: str
    etag: str

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the page's answer; `Cache-Control` makes browsers ask whether it has changed."""
        return {"Content-Security-Policy": self.policy, "ETag": self.etag, "Cache-Control": "no-cache"}


def load_page(file: Path = PAGE_FILE) -> WebPage:
    """Read the page and work out its Content-Security-Policy from the inline scripts and styles that it has."""
    content = file.read_bytes()
    text = content.decode("utf-8")
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_sources(text, 'script')}",
            f"style-src {_sources(text, 'style')}",
            "img-src data: blob:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
    return WebPage(content, policy, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _sources(text: str, tag: str) -> str:
    blocks = re.findall(_BLOCK.format(tag=tag), text, re.DOTALL | re.IGNORECASE)
    # A browser hashes the text after its line ends are made "\n".
    return " ".join(_hash(block.replace("\r\n", "\n").replace("\r", "\n")) for block in blocks if block) or "'none'"


def _hash(block: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()}'"
