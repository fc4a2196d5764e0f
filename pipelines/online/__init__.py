"""The models behind HTTP, by Ray Serve: `serve run pipelines.online:app`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray import serve


def app(args: Mapping[str, Any]) -> serve.Application:
    """The Serve application.

    Args:
        args: `OnlineConfig` as a tree (`args:` of a Serve configuration file), or as dotted keys with YAML values
            (`serve run pipelines.online:app model.re_threshold=0.6`).

    Raises:
        ConfigError: one line that names the key or value and what would be right.
    """
    from pipelines.online.application import build
    from pipelines.online.config import config_of
    from pipelines.quiet import quiet_ray

    quiet_ray()
    # Serve's own processes tell their files, not the terminal, that they start; what fails is told there all the same.
    os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")
    return build(config_of(args))
