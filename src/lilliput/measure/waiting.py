"""How long a thread stood ready while its core ran something else."""

from pathlib import Path

__all__ = ["waited_ns"]

_FILE = Path("/proc/thread-self/schedstat")


def waited_ns() -> int:
    """Nanoseconds that this thread has waited for a core so far; 0 where nobody counts them.

    Source: Linux, Documentation/scheduler/sched-stats.rst, second field of `schedstat`.
    """
    try:
        return int(_FILE.read_bytes().split()[1])
    except (OSError, IndexError):
        return 0
