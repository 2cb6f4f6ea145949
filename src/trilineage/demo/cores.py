"""How many cores there are to share."""

import os


def n_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of_a_lineage() -> int:
    """Return the threads of each of the two lineages that run side by side."""
    return max(1, n_cores() // 2)
