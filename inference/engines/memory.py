"""Memory is counted before it is taken: what a step expects is said beyond half of what is free, refused beyond all.

Sizes are products of a few numbers and never lists. Free is what the system could give without swapping, and no more
than a container or a batch job may have.
"""

import logging
import os
from pathlib import Path

__all__ = ["expect_memory", "free_memory"]

_GROUPS = Path("/sys/fs/cgroup")


def free_memory() -> float:
    """Bytes that can be taken now; infinitely many where the system does not say.

    >>> free_memory() > 0
    True
    """
    return min(_available(), _allowed())


def expect_memory(size: float, what: str, advice: str) -> None:
    """Say on the log of `nnft` that so many bytes are coming where that is more than half of what is free.

    Raises:
        ValueError: more than is free.

    >>> expect_memory(1e3, "a few sums", "fewer")
    """
    free = free_memory()
    if size > free:
        raise ValueError(
            f"expected {what} in {_read(free)} of free memory, got {_read(size)} that they need; try {advice}"
        )
    if size > 0.5 * free:
        logging.getLogger("nnft").warning(
            "nnft: expected memory %s for %s, of %s that are free", _read(size), what, _read(free)
        )


def _read(size: float) -> str:
    """1.5e9 as 1.5 GB."""
    return f"{size / 1e9:.3g} GB"


def _available() -> float:
    """What the system has: Linux counts what caches would give back."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * float(line.split()[1])
    except OSError:
        pass
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):  # macOS and Windows do not say
        return float("inf")


def _allowed() -> float:
    """What the control group of this process may still take, as a batch system or a container sets it."""
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="ascii").rpartition("::")[2].strip().lstrip("/")
        place = _GROUPS / own
        limit = (place / "memory.max").read_text(encoding="ascii").strip()
        used = float((place / "memory.current").read_text(encoding="ascii"))
        cached = [line.split() for line in (place / "memory.stat").read_text(encoding="ascii").splitlines()]
        back = sum(float(value) for name, value in cached if name == "inactive_file")
        return float("inf") if limit == "max" else float(limit) - used + back
    except (OSError, ValueError):
        return float("inf")
