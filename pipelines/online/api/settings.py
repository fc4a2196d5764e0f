"""What the HTTP side is told when it is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kie_ray.limits import Limits
from pipelines.online.api.keys import Keys


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Limits of one request, and who may send one.

    `limits.max_bytes` bounds the file of a request, `limits.max_pages` the pages of given lines. `max_json_bytes`: of a
    JSON body or of the part `annotations`. `max_lines`: text lines of one page (links cost their square).
    `max_bytes_in_flight`: bodies in memory at a time, of all requests of this process together; above it a request is
    told to come back later. `body_seconds`: a body that takes longer to arrive is given up. `proxy_adds_request_id`: a
    server in front adds the header X-Request-ID to requests and answers itself (Ray Serve's proxy does): not twice.
    """

    limits: Limits = field(default_factory=Limits)
    keys: Keys = field(default_factory=Keys)
    cors_origins: Sequence[str] = ()
    max_json_bytes: int = 16 * 2**20
    max_lines: int = 2_000
    max_bytes_in_flight: int = 2**30
    body_seconds: float = 120.0
    proxy_adds_request_id: bool = False
