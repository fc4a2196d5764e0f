"""How many threads the models of a replica use."""

from __future__ import annotations

import math

from pipelines.cluster import usable_cpus
from pipelines.online.config import WorkerReplicas

MOST_THREADS = 8
"""More gain nothing with models of this size."""


def threads_of(replicas: WorkerReplicas) -> int:
    """The setting; else the CPUs reserved for a replica, where it is at least one; else this machine's cores, shared by
    as many replicas as there may be.

    Ray sets OMP_NUM_THREADS to a replica's CPUs, which would be 1 for the fractions that the defaults reserve.
    """
    if replicas.threads is not None:
        return replicas.threads
    if replicas.num_cpus >= 1:
        return math.floor(replicas.num_cpus)
    return max(1, min(MOST_THREADS, usable_cpus() // replicas.max_replicas))
