"""No worker of ours outlives the Ray node that started it."""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends; does nothing where there is no Linux.

    Ray 2.60 now and then dead-locks in a worker that is told to exit (a publisher of its core is destroyed after the
    event loop that it posts to), and that process then stays for ever, with its models, after the node is gone.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
