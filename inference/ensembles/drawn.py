"""Networks that have been drawn are kept for the next pass over the same ensemble, up to 256 MB in all.

A fit passes over its ensemble twice, for the moments and for the covariance of the score equations. Drawing is nine
tenths of a pass, while the field of a network at a few points is a few numbers: a million networks at four points are
16 MB. Where the memory does not suffice, what fits is kept and the rest is drawn again, to the same bits.
"""

from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np

__all__ = ["DRAWN", "Drawn"]


class Drawn:
    """Calls of the drawing programs by ensemble and place, at most `most` bytes and one call beyond.

    An ensemble that nothing else holds any more takes its networks with it. For a newer ensemble the oldest ones give
    way; the ensemble that is being read never displaces its own networks, because the next pass begins at its first.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._kept: WeakKeyDictionary[Any, dict[Any, np.ndarray]] = WeakKeyDictionary()
        self._bytes: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        self._last: tuple[Any, Any, np.ndarray] | None = None  # consecutive reads end and begin in the same call
        self._lock = Lock()

    @property
    def size(self) -> int:
        """Bytes kept."""
        with self._lock:
            return sum(self._bytes.values())

    def get(self, ensemble: Any, place: Any) -> np.ndarray | None:
        """What one call drew, or None."""
        with self._lock:
            kept = self._kept.get(ensemble, {}).get(place)
            if kept is None and self._last is not None and self._last[0]() is ensemble and self._last[1] == place:
                return self._last[2]
            return kept

    def keep(self, ensemble: Any, place: Any, part: np.ndarray) -> np.ndarray:
        """Keep it if it fits, and give it back, read-only."""
        part.flags.writeable = False
        with self._lock:
            self._last = (ref(ensemble), place, part)
            size = sum(self._bytes.values()) + part.nbytes
            for older in [held for held in self._kept if held is not ensemble]:
                if size <= self.most:
                    break
                size -= self._bytes.pop(older)
                del self._kept[older]
            mine = self._kept.setdefault(ensemble, {})
            if size <= self.most and place not in mine:
                mine[place] = part
                self._bytes[ensemble] = self._bytes.get(ensemble, 0) + part.nbytes
        return part

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self._bytes.clear()
            self._last = None


DRAWN = Drawn(most=2**28)
