from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.job_support import ROOT

CHILD = """
import sys, time
sys.path.insert(0, {root!r})
from pipelines.orphans import die_with_parent
if {protected}:
    die_with_parent()
print("ready", flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def outlives_its_parent(*, protected: bool) -> bool:
    script = PARENT.format(child=CHILD.format(root=str(ROOT), protected=protected))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + (10 if protected else 1)
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    lives = Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split(")")[1][:3]
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    return lives


def test_a_protected_process_dies_with_the_one_that_started_it() -> None:
    assert outlives_its_parent(protected=False)  # the test can fail
    assert not outlives_its_parent(protected=True)
