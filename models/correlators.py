"""The r-point functions of a random field at M points, with their errors and how they were obtained.

One type, three makers: *exact* (from the neuron prior), *measured* (from an ensemble), *predicted* (from an action).
Moments <phi_a1 ... phi_ar> and connected functions (joint cumulants) are kept on the unique sorted tuples a_1 <= ... <=
a_r; the joint covariance over all orders is kept as a factor, rows L with covariance = L^T L, so that the difference
of two independent makers is the stack of their rows, and an exact result simply has none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .arrays import dense, factor_of, on_tuples, split_rows
from .combinatorics import connected_from_moments, cumulant_jacobian, sorted_tuples
from .display import correlators_card, correlators_text
from .distance import Chi2, distance
from .files import load_correlators, save_correlators
from .refusals import is_whole
from .types import ByOrder, Matrix, Points, Tuples, Vector

__all__ = ["Chi2", "Correlators"]

SCRAMBLES_PER_COMPONENT = 5  # behind a covariance that is inverted, or whose norm is subtracted


@dataclass(frozen=True, eq=False)
class Correlators:
    """Moments and connected functions of a field on sorted tuples of M points.

    Attributes:
        points: input points, (point, axis).
        moments: order -> means of phi_{a1}..phi_{ar}, (component,).
        cumulants: order -> connected functions, unbiased where measured, (component,).
        rows: kind -> {order -> (row, component)}; the covariance of the concatenated orders is rows^T rows.
        networks: number of networks averaged over (inf: exact).
        dof: degrees of freedom of the covariance estimate (inf: known).
        maker: "exact", "measured", "predicted" or "difference".
        even: the Z2 symmetry phi -> -phi was used: odd moments are taken out of all even cumulants exactly.
        groups: whether rows are contributions of groups of networks, whose unevenness decides which p-value holds.
        scrambles: number of scrambled point sets behind the covariance (0: independent draws); below five for every
            component a chi^2, eps4 and fits refuse it.
        refused: order -> the reason, with the number that decided, why no value is given.
        flags: order -> a warning attached to a value that is given.
        source: the ensemble or samples it was measured on, for second passes; never saved.
        model: the network it belongs to, where known: its exact kernel is the metric of a fit; never saved.
        about: provenance (name, width, seed, ...).
        sums: of a part of an ensemble, what is needed to add it to the others (`inf.pool`).
        outputs: number D of fields; of more than one, tuples are of places (point, output), number point D + output.
    """

    points: Points
    moments: ByOrder
    cumulants: ByOrder
    rows: Mapping[str, Mapping[int, np.ndarray]] = field(default_factory=dict)
    networks: float = float("inf")
    dof: float = float("inf")
    maker: str = "exact"
    even: bool = False
    groups: bool = False
    scrambles: int = 0
    refused: Mapping[int, str] = field(default_factory=dict)
    flags: Mapping[int, str] = field(default_factory=dict)
    source: Any = None
    model: Any = None
    about: Mapping[str, Any] = field(default_factory=dict)
    sums: Mapping[str, Any] | None = None
    outputs: int = 1

    @property
    def places(self) -> int:
        """How many indices there are, M D: a place is (point, output), number point D + output."""
        return len(self.points) * self.outputs

    @property
    def orders(self) -> tuple[int, ...]:
        """Orders of the connected functions that are given."""
        return tuple(sorted(self.cumulants))

    def tuples(self, order: int) -> Tuples:
        """The sorted index tuples behind the components of one order, (component, order)."""
        return sorted_tuples(self.places, order)

    def connected(self, order: int) -> Vector:
        """Connected r-point function, (component,); a refused order raises ValueError with the reason."""
        return self._value(order, "connected")

    def moment(self, order: int) -> Vector:
        """Full r-point function <phi ... phi>, (component,)."""
        return self._value(order, "moment")

    def _table(self, kind: str) -> ByOrder:
        return self.cumulants if kind == "connected" else self.moments

    def _value(self, order: int, kind: str) -> Vector:
        table, what = self._table(kind), "connected function" if kind == "connected" else kind
        if order in table:
            return np.asarray(table[order])
        if order in self.refused:
            raise ValueError(f"the {what} of order {order} is refused: {self.refused[order]}")
        raise ValueError(
            f"expected an order among {sorted(table)} for the {what}, got {order}; "
            f"try asking for it where the correlators are made (orders=...)"
        )

    def _rows(self, order: int, kind: str) -> np.ndarray:
        return self.rows.get(kind, {}).get(order, np.zeros((0, len(self._value(order, kind)))))

    def covariance(self, order: int, kind: str = "connected") -> Matrix:
        """Covariance matrix of one order over the ensemble of experiments, (component, component)."""
        rows = self._rows(order, kind)
        return rows.T @ rows

    def error(self, order: int, kind: str = "connected") -> Vector:
        """One standard error per component, (component,)."""
        return np.sqrt(np.sum(self._rows(order, kind) ** 2, axis=0))

    def tensor(self, order: int, kind: str = "connected") -> np.ndarray:
        """All (M D)^r components as a dense symmetric tensor; for orders up to 4, and 1e6 entries above order 2."""
        value, count = self._value(order, kind), self.places
        if order > 2 and count**order > 1e6:
            raise ValueError(f"expected at most 1e6 dense entries, got {count}^{order}; try the sorted tuples instead")
        return dense(value, count, order)

    def __sub__(self, other: Correlators) -> Correlators:
        """Difference of two independent makers at the same points; errors add in quadrature."""
        if self.points.shape != other.points.shape or not np.array_equal(self.points, other.points):
            raise ValueError(
                f"expected both correlators at the same points, got {self.points.shape} {self.points.ravel()[:4]}... "
                f"and {other.points.shape} {other.points.ravel()[:4]}...; try measuring and predicting on one array"
            )
        if self.outputs != other.outputs:
            raise ValueError(
                f"expected both correlators of as many outputs, got {self.outputs} and {other.outputs}; try the same "
                "network, or Samples(..., outputs=)"
            )
        rows = {
            kind: _stacked(
                self.rows.get(kind, {}), other.rows.get(kind, {}), {*self._table(kind)} & {*other._table(kind)}
            )
            for kind in ("connected", "moment")
        }
        return Correlators(
            points=self.points,
            moments={r: self.moments[r] - other.moments[r] for r in self.moments if r in other.moments},
            cumulants={r: self.cumulants[r] - other.cumulants[r] for r in self.cumulants if r in other.cumulants},
            rows=rows,
            networks=min(self.networks, other.networks),
            dof=min(self.dof, other.dof),
            maker="difference",
            even=self.even and other.even,
            groups=all(part.groups for part in (self, other) if any(part.rows.values())),
            scrambles=fewest_scrambles(self, other),
            refused={**self.refused, **other.refused},
            flags={**other.flags, **self.flags},
            outputs=self.outputs,
        )

    def chi2(self, *orders: int, kind: str = "connected") -> Chi2:
        """Is this zero? T^2 in the full covariance where that has a law, with the degrees of freedom it kept and why.

        Components are scaled by their errors; directions of the correlation matrix below 1e-10 of the largest are
        dropped as round-off, below 10/n for connected functions (errors are carried to first order), and no more than
        a quarter of the covariance's own degrees of freedom are kept (the leading ones), because an estimated
        covariance has no usable inverse beyond that. The p-value is F where the covariance is estimated. Where groups
        of networks contribute too unevenly for it, each component is judged in units of its own error, and where few
        groups make even the errors p is nan and `why` has the number that decided (`distance.py`). Where the model is
        known `inf.null` gives a p-value that is exact at any n, from fresh ensembles.

        Args:
            orders: orders to test together; default all that are given.
            kind: "connected" or "moment".

        Raises:
            ValueError: nothing here has an error bar, or a component without error differs from zero; a covariance of
                fewer than five scrambles for every component.
        """
        chosen = orders or tuple(sorted(self._table(kind)))
        stacks = self.rows.get(kind, {})
        missing = [r for r in chosen if r not in stacks]
        if missing:
            raise ValueError(
                f"expected errors on order {missing[0]}, got none (both sides exact or given without covariance); "
                "try comparing with a measured result"
            )
        value = np.concatenate([self._value(r, kind) for r in chosen])
        depth = max(len(stacks[r]) for r in chosen)
        rows = np.concatenate([np.pad(stacks[r], ((0, depth - len(stacks[r])), (0, 0))) for r in chosen], axis=1)
        error = np.sqrt(np.sum(rows**2, axis=0))
        if np.any((error == 0.0) & (value != 0.0)):
            raise ValueError("expected an error bar on every non-zero component, got zero; try orders with errors only")
        keep = error > 0.0
        if np.any(keep):
            check_scrambles(self, int(np.sum(keep)), "a chi^2")
        about = {"networks": self.networks, "dof": self.dof, "connected": kind == "connected", "groups": self.groups}
        return distance(value, rows, **about)

    @classmethod
    def from_arrays(
        cls,
        points: Points,
        *,
        moments: Mapping[int, np.ndarray] | None = None,
        connected: Mapping[int, np.ndarray] | None = None,
        covariance: Matrix | None = None,
        networks: float = float("inf"),
        dof: float = float("inf"),
        even: bool | None = None,
        outputs: int = 1,
        about: Mapping[str, Any] | None = None,
    ) -> Correlators:
        """Correlators somebody else made: for people who have correlators rather than samples.

        Args:
            points: (point, axis).
            moments: order -> full functions, as dense tensors (M,)*r or on sorted tuples (component,).
            connected: order -> connected functions instead; exactly one of the two is given.
            covariance: joint covariance of what was given, orders ascending, sorted tuples; None means exact.
            networks: how many networks they stand for.
            dof: degrees of freedom of the covariance, inf if known.
            even: the law has phi -> -phi; default: when no odd order is given.
            outputs: number D of fields; M is then M D places, number point D + output.
            about: provenance, kept as it is.

        Raises:
            ValueError: both or neither given, a shape that fits no order, numbers that are not finite, an asymmetric
                tensor, an asymmetric or indefinite covariance.
        """
        x = check_points(points)
        if (moments is None) == (connected is None):
            raise ValueError("expected either moments= or connected=, got both or neither; try moments={2: ...}")
        given = moments if moments is not None else connected
        assert given is not None
        if not is_whole(outputs, 1):
            raise ValueError(f"expected outputs, the number of fields, to be at least 1, got {outputs!r}; try 2")
        places = len(x) * outputs
        values = {int(r): on_tuples(np.asarray(v, dtype=float), places, int(r)) for r, v in sorted(given.items())}
        even = all(order % 2 == 0 for order in values) if even is None else even
        full, cumulants = ({}, values) if moments is None else (values, _cumulants(values, places, networks, even))
        rows: dict[str, dict[int, np.ndarray]] = {}
        if covariance is not None:
            own = split_rows(factor_of(np.asarray(covariance, float), sum(map(len, values.values()))), values)
            rows["connected" if moments is None else "moment"] = own
            if moments is not None:
                rows["connected"] = cumulant_rows(own, values, places, tuple(cumulants), even=even)
        maker = "measured" if rows else "exact"
        return cls(x, full, cumulants, rows, networks, dof, maker, even, about=about or {}, outputs=outputs)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """One NetCDF file with everything but the networks themselves, written whole or not at all.

        Raises:
            OSError: it cannot be written; a file that was there is as it was.
        """
        return save_correlators(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Correlators:
        """Correlators as they were saved, to the last bit; `source` and `model` are not in the file.

        Raises:
            ValueError: no such file, a truncated one, or one of something else.
        """
        return cls(**load_correlators(path))

    def to_dataset(self) -> xr.Dataset:
        """Labelled copy: `G{r}` and `m{r}` with errors on dims `tuple{r}`, coordinates x1..xr holding point labels.

        Of more than one output coordinates i1..ir beside them hold the number of the output.
        """
        out: dict[str, Any] = {}
        coords: dict[str, Any] = {}
        names = {2: "pair", 4: "quad"}
        for kind, table, letter in (("connected", self.cumulants, "G"), ("moment", self.moments, "m")):
            for order, value in sorted(table.items()):
                dim = names.get(order, f"tuple{order}")
                for k in range(order):
                    label = f"x{k + 1}" if order == 4 else f"{dim}_x{k + 1}"
                    coords[label] = (dim, self.tuples(order)[:, k] // self.outputs)
                    if self.outputs > 1:
                        coords[label.replace("x", "i")] = (dim, self.tuples(order)[:, k] % self.outputs)
                out[f"{letter}{order}"] = (dim, value)
                out[f"{letter}{order}_error"] = (dim, self.error(order, kind))
        attrs = {"maker": self.maker, "networks": float(self.networks), "even": int(self.even)}
        attrs |= {"outputs": self.outputs} if self.outputs > 1 else {}
        attrs |= {f"refused_{r}": why for r, why in self.refused.items()}
        attrs |= {f"flag_{r}": why for r, why in self.flags.items()}
        return xr.Dataset(out, coords=coords, attrs=attrs)

    to_xarray = to_dataset

    def to_dataframe(self, *orders: int, kind: str = "connected") -> pd.DataFrame:
        """One row a component: its `order`, its places `x1`, `x2`, .., blank beyond its order, its `value` and `error`.

        Places are numbers of points, of D outputs point D + output; `orders` are all that are given.
        `kind` is "connected" or "moment".

        Raises ValueError for an order that is not given.

            >>> data = Correlators.from_arrays(np.zeros((1, 1)), connected={2: np.array([2.0])})
            >>> data.to_dataframe().to_dict("list")
            {'order': [2], 'x1': [0], 'x2': [0], 'value': [2.0], 'error': [0.0]}
        """
        chosen, parts = orders or sorted(self._table(kind)), []
        for order in chosen:
            places = {f"x{k + 1}": pd.array(column, "Int64") for k, column in enumerate(self.tuples(order).T)}
            numbers = {"value": self._value(order, kind), "error": self.error(order, kind)}
            parts.append(pd.DataFrame({"order": order, **places, **numbers}))
        names = ["order", *(f"x{k + 1}" for k in range(max(chosen, default=0))), "value", "error"]
        return pd.concat(parts, ignore_index=True).reindex(columns=names) if parts else pd.DataFrame(columns=names)

    def __str__(self) -> str:
        return correlators_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return correlators_card(self)


def check_points(points: Any) -> Points:
    """Points as a float64 (point, axis) array, or a refusal that says what was wrong."""
    try:
        x = np.asarray(points, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"expected points (point, axis) as numbers, got {points!r}; try [[-1.0], [1.0]]") from None
    if x.ndim > 2:
        raise ValueError(
            f"expected points of shape (point, axis), got {x.shape}; try points.reshape(len(points), -1), of images "
            f"with m.FromKey(draw, shape={x.shape[1:]})"
        )
    if x.ndim != 2 or x.size == 0:
        raise ValueError(f"expected points of shape (point, axis), got {x.shape}; try points[:, None] in one dimension")
    if not np.all(np.isfinite(x)):
        where = np.argwhere(~np.isfinite(x))[0]
        raise ValueError(f"expected finite points, got {x[tuple(where)]} at point {where[0]}; try removing that point")
    distinct, first = np.unique(x, axis=0, return_index=True)
    if len(distinct) < len(x):
        twin = sorted(set(range(len(x))) - set(first.tolist()))[0]
        raise ValueError(
            f"expected distinct points, got point {twin} equal to an earlier one, {x[twin]}; "
            "try dropping it, its correlators repeat the earlier ones"
        )
    return x


def check_scrambles(data: Correlators, components: int, what: str) -> None:
    """Refuse a covariance of so many components from too few scrambles: its rank is one less than their number."""
    least = SCRAMBLES_PER_COMPONENT * components
    if 0 < data.scrambles < least:
        raise ValueError(
            f"expected at least {least} scrambles for {what} with {components} components, got {data.scrambles}; try "
            f"sampling=inf.Sobol(scrambles={least}), fewer orders or points, or sampling='random'"
        )


def fewest_scrambles(*data: Correlators) -> int:
    """The fewest scrambles behind the covariance of any of them, 0 where none has any."""
    return min((d.scrambles for d in data if d.scrambles), default=0)


def cumulant_rows(
    moment_rows: Mapping[int, np.ndarray], moments: ByOrder, points: int, orders: tuple[int, ...], *, even: bool
) -> dict[int, np.ndarray]:
    """First-order propagation of moment errors to connected functions: rows times d kappa / d m."""
    out = {}
    for order in orders:
        jacobian = cumulant_jacobian(moments, points, order, even=even)
        out[order] = np.sum([(jacobian[r] @ moment_rows[r].T).T for r in jacobian], axis=0)
    return out


def _cumulants(moments: ByOrder, points: int, networks: float, even: bool) -> dict[int, np.ndarray]:
    """Every connected function whose lower moments are all there."""
    n = None if np.isinf(networks) else int(networks)
    out = {}
    for order in moments:
        needed = range(order, 0, -2) if even and order % 2 == 0 else [order] if even else range(1, order + 1)
        if all(r in moments for r in needed):
            out[order] = connected_from_moments(moments, points, order, n=n, even=even)
    return out


def _stacked(mine: Mapping[int, np.ndarray], theirs: Mapping[int, np.ndarray], orders: set[int]) -> dict[int, Any]:
    """Rows of both sides under each other, zeros where the first has none: the orders of one side stay aligned."""
    depth, out = max(map(len, mine.values()), default=0), {}
    for order in sorted(orders & {*mine, *theirs}):
        first = mine[order] if order in mine else np.zeros((depth, theirs[order].shape[1]))
        padded = np.pad(first, ((0, depth - len(first)), (0, 0)))
        out[order] = np.concatenate([padded, theirs.get(order, first[:0])])
    return out
