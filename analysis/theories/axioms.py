"""Which theory keeps which of the Osterwalder-Schrader axioms: the table of the site, from exact correlators.

A network is a quantum field where its correlators keep them all. That of infinitely many neurons is decided by its
kernel, since a Gaussian field is reflection positive where its two-point function is; at finite width, orders 4 and 6
have their say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...inference.axioms.axiom import VIOLATED
from ...inference.axioms.verdicts import Axioms, axioms
from ...inference.ensembles.ensemble import Ensemble
from ...inference.reflections.times import check_times, default_times, few_times, reflected_points, shown
from ...models.files import fill_between
from ...models.networks.latents import GammaScale
from ...models.networks.network import Network
from ...models.networks.readouts import Readout
from ...models.networks.scalar import ScalarMode
from ...models.neurons.base import AbstractNeuron
from ...models.neurons.cos import Cos
from ...models.neurons.gauss import Gauss
from ...models.neurons.relu import ReLU
from ...models.neurons.smooth import Erf
from ...models.quantum.oscillator import Oscillator
from ...models.spectral.path import Path as PathTheory
from ...models.theories.chain import Chain
from ...models.theories.recipes import code, described
from ..studies.study import Study

__all__ = ["AxiomTable", "axiom_table", "axioms_of", "known_theories", "update"]

_WIDTH = 50
_DRAWN = (0.2, 0.5, 1.0, 1.5)  # times at which networks are drawn


@dataclass(frozen=True)
class AxiomTable:
    """The axioms of several theories; printed, a Markdown table with one line a theory, and the times below it."""

    rows: tuple[Axioms, ...]

    def __getitem__(self, theory: str) -> Axioms:
        for row in self.rows:
            if row.theory == theory:
                return row
        known = [row.theory for row in self.rows]
        raise ValueError(f"expected a theory among {known}, got {theory!r}; try {known[0]!r}")

    def __str__(self) -> str:
        lines = [
            "| theory | moments (OS0) | Euclidean (OS1) | positive (OS2), order 2 | 4 | 6 | clusters (OS4) |",
            "|---" * 7 + "|",
        ]
        return "\n".join([*lines, *map(line, self.rows)])


def line(row: Axioms) -> str:
    """One line of the table.

    >>> line(axioms(Network(Cos(), 10), [0.5, 1.0], name="cos"))
    '| cos | (n!)^0.51 | holds | **-0.0151** | no violation | **-0.0538** | **0.2** |'
    """
    growth = row["OS0"].why.partition("grows like ")[2].partition(" up to")[0].partition(",")[0]
    cells = [f"**{row['OS0'].why.split(',')[0]}**" if row["OS0"].verdict == VIOLATED else growth or row["OS0"].verdict]
    one = row["OS1"]
    cells.append(f"**by {one.size:.2g}**" if one.verdict == VIOLATED else one.verdict)
    for order in (2, 4, 6):
        found = row.positivity.get(order)
        if found is None:
            cells.append("")
        else:
            cells.append(f"**{found.smallest:.3g}**" if found.violated else "no violation")
    last = row["OS4"]
    cells.append(f"**{last.size:.3g}**" if last.verdict == VIOLATED else last.verdict)
    return f"| {row.theory} | " + " | ".join(cells) + " |"


def known_theories() -> dict[str, Any]:
    """The theories of the table: name -> what `inf.axioms` is asked of.

    >>> list(known_theories())[0]
    'cos, N = 50'
    """

    def net(neuron: AbstractNeuron, readout: Readout = "gaussian", width: int = _WIDTH) -> Network:
        return Network(neuron, width, readout)

    line = ScalarMode(cutoff=float("inf"))
    out: dict[str, Any] = {
        "cos, N = 50": net(Cos()),
        "cos, ±1 readout, N = 50": net(Cos(), "rademacher"),
        "gauss, N = 50": net(Gauss(bias_scale=0.3)),
        "erf, N = 50": net(Erf()),
        "relu, N = 50": net(ReLU()),
        "scalar without a cutoff, N = 50": net(line),
        "scalar without a cutoff, ±1, N = 50": net(line, "rademacher"),
    }
    for alpha in (0.0, -1.0):
        for regulator, cutoffs in {"hard": (6.0, 20.0, 50.0), "gaussian": (6.0, 20.0)}.items():
            for cutoff in cutoffs:
                neuron = ScalarMode(cutoff=cutoff, alpha=alpha, regulator=regulator)
                out[f"scalar α = {alpha:g}, {regulator} Λ = {cutoff:g}, ±1, N = 50"] = net(neuron, "rademacher")
    box = ScalarMode(regulator="box", length=10.0, modes=32)
    return out | {
        "scalar in a box, L = 10, K = 32, ±1, N = 50": net(box, "rademacher"),
        "scalar without a cutoff, shared Γ scale, N = 50": Network(line, _WIDTH, shared_scale=GammaScale(0.2)),
        "cos on one path, N = 10": PathTheory(net(Cos(), width=10)),
        "Ornstein-Uhlenbeck process": Oscillator(mass2=1.0),
        "φ⁴ in one dimension, λ = 6": Oscillator(quartic=6.0),
        "φ⁴ chain, m² = 1, λ = 1, M = 16": Chain(1.0, 1.0),
    }


def axiom_table(theories: Mapping[str, Any] | None = None) -> AxiomTable:
    """The axioms of theories, exact.

    Args:
        theories: name -> a network, an oscillator or a chain; default `known_theories()`.

    Example:
        >>> table = axiom_table({"free": Oscillator(mass2=1.0)})
        >>> table["free"].violated
        ()
    """
    chosen = known_theories() if theories is None else theories
    return AxiomTable(tuple(axioms(theory, name=name) for name, theory in chosen.items()))


def axioms_of(study: Study, times: Sequence[float] | None = None, *, name: str, drawn: bool = False) -> Axioms:
    """The axioms of the network of a study: exact where that is known, else of its networks, drawn at t and -t.

    Args:
        study: whose network, points and seed count.
        times: positive ones.
        name: what it is called.
        drawn: whether n networks are asked though exact correlators are known.

    Raises:
        ValueError: times that are not positive, repeated, or none of a lattice.
    """
    network, dimension = study.network(), study.ensemble().points.shape[1]
    if network.orders and not drawn:
        return axioms(network, times, dimension=dimension, name=f"{name}, {code(described(network))}")
    chosen = check_times(_DRAWN if times is None else times)
    points = np.zeros((2 * len(chosen), dimension))
    points[:, :1] = reflected_points(chosen)
    made = study.ensemble()
    source = Ensemble(network, points=points, n=made.n, key=made.key)
    return axioms(source, name=f"{name}, {made.n:,} networks")


def update(file: str | Path) -> None:
    """Put the table, computed afresh, between the marks of a Markdown file.

    Raises:
        ValueError: a file without the two marks.
    """
    said = f"In units of the correlation time, order 2 is asked at {shown(default_times())}, order 4 at "
    said += f"{shown(few_times())} and order 6 at its first four; the chain at its sites."
    fill_between(file, "axioms", f"{axiom_table()}\n\n{said}")
