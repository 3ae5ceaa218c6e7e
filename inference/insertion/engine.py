"""An engine finds the averages of a theory in a box; its options are its fields. One interface, and it may refuse."""

from abc import abstractmethod
from collections.abc import Sequence

import equinox as eqx
import jax

from ...models.boxes.theory import BoxTheory
from ..boxes.averages import Averages, apart
from ..ensembles.ensemble import check_key

__all__ = ["AbstractEngine"]


class AbstractEngine(eqx.Module):
    """A way from the free networks of a box to the averages of an interacting field."""

    @abstractmethod
    def run(self, theory: BoxTheory, *, key: jax.Array) -> Averages:
        """The averages of one theory.

        Raises:
            ValueError: what it cannot do, with the number that decides and the engine to try.
        """

    def at_widths(self, theory: BoxTheory, widths: Sequence[int], key: jax.Array) -> list[Averages]:
        """The averages at several widths, their rows on one axis; here of runs that know nothing of each other."""
        keys = jax.random.split(key, len(widths))
        return apart([self.run(theory.wide(width), key=one) for width, one in zip(widths, keys, strict=True)])


def check_theory(theory: object, key: jax.Array) -> None:
    """Refuse what is no theory in a box, and what is no key.

    Raises:
        ValueError: either.
    """
    if not isinstance(theory, BoxTheory):
        raise ValueError(f"expected a BoxTheory, got {theory!r}; try m.BoxTheory(m.Box(10.0, 32), 64, potential)")
    check_key(key)
