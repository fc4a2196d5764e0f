"""Where a replica tells what failed."""

from __future__ import annotations

import logging
import sys

_SERVE = "ray.serve"
_OURS = ("pipelines", "kie_ray")


def log_failures() -> None:
    """Our warnings and errors go to the replica's file of Serve's logs, and to the terminal of `serve run`.

    Left alone they would be lost: Serve takes a replica's stderr for lines of level INFO, and drops those.
    """
    handlers = list(logging.getLogger(_SERVE).handlers)
    if not any(type(handler) is logging.StreamHandler for handler in handlers):
        shown = logging.StreamHandler(sys.__stderr__)
        shown.setFormatter(logging.Formatter("%(levelname)s %(asctime)s %(name)s: %(message)s"))
        handlers.append(shown)
    for name in _OURS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        logger.handlers = handlers
