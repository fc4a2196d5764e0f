"""Quarantine of documents that kill the process that works on them.

Ray restarts a dead actor and repeats its task without limit, so one such document would hold up the job for ever. Each
document in work leaves a small file on the node's disk; what is found there after a restart has killed an actor.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path


class AttemptLedger:
    """Counts, on this node and for one invocation of the job, how often work on a row was begun and not ended.

    Documents that share a call with a killer are counted with it; a caller therefore repeats suspects (`is_suspect`)
    one by one, which clears the innocent ones.
    """

    def __init__(self, invocation: str, stage: str, max_attempts: int) -> None:
        self._folder = ledger_folder(invocation) / stage
        self._folder.mkdir(parents=True, exist_ok=True)
        self._max_attempts = max_attempts

    def is_suspect(self, row_id: str) -> bool:
        return self._count(row_id) > 0

    def is_killer(self, row_id: str) -> bool:
        """True where the row has used up its attempts and must not be tried again."""
        return self._count(row_id) >= self._max_attempts

    def begin(self, row_ids: Sequence[str]) -> None:
        for row_id in dict.fromkeys(row_ids):
            (self._folder / row_id).write_text(str(self._count(row_id) + 1))

    def end(self, row_ids: Sequence[str]) -> None:
        for row_id in row_ids:
            (self._folder / row_id).unlink(missing_ok=True)

    def _count(self, row_id: str) -> int:
        try:
            return int((self._folder / row_id).read_text() or 1)
        except FileNotFoundError:
            return 0


def ledger_folder(invocation: str) -> Path:
    return Path(tempfile.gettempdir()) / f"kie_ray-{invocation}"


def remove_ledger(invocation: str) -> None:
    shutil.rmtree(ledger_folder(invocation), ignore_errors=True)
