"""Start `tier` in a process of its own, and count CPU seconds: what several benchmarks share."""

from __future__ import annotations

import resource

# For `python -c`: the program as its users start it. With arguments of its own, `main` leaves the environment
# alone, and numpy then starts threads that cost CPU seconds.
TIER = "import sys; from tier_cli.app import main; sys.exit(main())"


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its ended children."""
    return _used(resource.RUSAGE_SELF) + cpu_of_children()


def cpu_of_children() -> float:
    """Return the CPU seconds of all ended child processes and of their own waited-for children."""
    return _used(resource.RUSAGE_CHILDREN)


def _used(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime
