"""What is said of one axiom: a verdict, the number behind it, and what it would take to decide."""

from dataclasses import dataclass

__all__ = ["HOLDS", "OPEN", "UNSEEN", "VIOLATED", "Axiom"]

HOLDS, UNSEEN, VIOLATED, OPEN = "holds", "no violation", "violated", "not decidable"


@dataclass(frozen=True)
class Axiom:
    """One of the Osterwalder-Schrader axioms.

    Attributes:
        name: OS0 to OS4.
        words: what it asks for.
        verdict: "holds", where it is proved; "no violation", where the points, times or orders that were looked at show
            none; "violated"; or "not decidable".
        why: the reason, or where it was looked at.
        size: of the violation, nan where there is no number.
        sigmas: how many standard errors it is; inf of exact correlators, nan where there is no number.
        needed: networks that would see it or decide, nan where nobody knows, inf where none would.

    Example:
        >>> print(Axiom("OS3", "symmetry under permutations", HOLDS, "random variables commute"))
        OS3 symmetry under permutations: holds; random variables commute
    """

    name: str
    words: str
    verdict: str
    why: str
    size: float = float("nan")
    sigmas: float = float("nan")
    needed: float = float("nan")

    @property
    def number(self) -> str:
        """The size with its sigmas, empty where there is none."""
        if self.size != self.size:
            return ""
        exact = self.sigmas == float("inf")
        return f"{self.size:.3g}" + ("" if exact else f", {self.sigmas:.1f} sigma")

    def __str__(self) -> str:
        number = f" ({self.number})" if self.number and self.verdict == VIOLATED else ""
        more = ""
        if self.needed == self.needed and self.needed != float("inf"):
            more = f"; {self.needed:,.0f} networks would see it"
        return f"{self.name} {self.words}: {self.verdict}{number}; {self.why}{more}"
