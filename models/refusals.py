"""How things say no: the nearest known word, and what is asked of something that does not know it."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["NotKnown", "nearest"]


class NotKnown(ValueError):
    """A neuron, a law or a latent was asked for something that it does not bring; the message names the method.

    Whoever can do without the answer catches it: a verdict that is not known is no verdict.
    """


def nearest(word: str, known: Iterable[str]) -> str:
    """The closest known name, for an error message that helps.

    >>> nearest("gausian", ["uniform", "gaussian"])
    'gaussian'
    """
    names = list(known)
    match = get_close_matches(str(word), names, n=1, cutoff=0.0)
    return match[0] if match else names[0]
