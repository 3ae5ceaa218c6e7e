"""What the structure of a model allows: are its neurons independent, is its field Gaussian given the hidden layer?

Both are read from one run of the NumPyro program, never from a declaration. Neurons are independent and identical when
every random site lies in one plate, its law does not change along the plate, and the field is a sum over the plate,
phi(A) + phi(B) = phi(A on half the plate, B on the rest) + phi(the converse), whatever the order of the neurons. The
field is Gaussian given the rest when it is linear in sites drawn from N(0, s^2) that nothing else depends on; then
Sigma = J diag(s^2) J^T with J = d phi/d W. A `numpyro.factor` deforms the density: draws of the program are then not
draws of the theory.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers

from .ensembles import Materialise

__all__ = ["Structure", "read_structure", "run"]

_EXACT = 1e-8  # relative round-off allowed in an identity, in double precision

Values = Mapping[str, Any]


class Structure(NamedTuple):
    """What one run of a model shows.

    plate: (name, size, axis counted from the right) of the plate of independent identical neurons, or None.
    outside: sites outside that plate, all linear, Gaussian and independent of it: an output bias.
    linear: Gaussian sites the field is linear in, nothing else depending on them: the readout.
    factors: observed sites and `numpyro.factor`s, which deform the density.
    why: space -> the reason why it is not allowed.
    """

    plate: tuple[str, int, int] | None
    outside: tuple[str, ...]
    linear: tuple[str, ...]
    factors: tuple[str, ...]
    why: dict[str, str]


def run(model: Callable[..., Any], points: Any, key: jax.Array, values: Values | None = None) -> dict[str, Any]:
    """All sites of one run, those in `values` held fixed: name -> NumPyro's record of the site."""
    fixed = handlers.substitute(data=dict(values or {}))
    with handlers.block(), handlers.trace() as trace, Materialise(), handlers.seed(rng_seed=key), fixed:
        model(points)
    return dict(trace)


def gaussian(law: Any) -> Any:
    """The `Normal` a law is made of, or None."""
    while isinstance(law, dist.Independent | dist.ExpandedDistribution):
        law = law.base_dist
    return law if type(law) is dist.Normal else None


def read_structure(model: Callable[..., Any], points: Any, site: str = "phi") -> Structure:
    """The structure of a NumPyro model at these points, from a few runs in double precision."""
    with jax.enable_x64(True):
        return _Reading(model, jnp.asarray(np.asarray(points, dtype=float)), site).structure()


class _Reading:
    """Two independent runs of the model, and the field as a function of the values of its sites."""

    def __init__(self, model: Callable[..., Any], points: jax.Array, site: str) -> None:
        self.model, self.points, self.site = model, points, site
        self.key = jax.random.key(20_080_860)
        first, second = (run(model, points, jax.random.fold_in(self.key, k)) for k in (0, 1))
        self.factors = tuple(n for n, s in first.items() if s["type"] == "sample" and s["is_observed"])
        self.random = {n: s for n, s in first.items() if s["type"] == "sample" and not s["is_observed"]}
        self.first = {n: s["value"] for n, s in self.random.items()}
        self.second = {n: second[n]["value"] for n in self.random if n in second}

    def sites(self, values: Values) -> dict[str, Any]:
        return run(self.model, self.points, self.key, values)

    def field(self, values: Values) -> np.ndarray:
        return np.asarray(self.sites(values)[self.site]["value"])

    def structure(self) -> Structure:
        why: dict[str, str] = {}
        if self.factors:
            reason = f"its site {self.factors[0]!r} deforms the density, which couples all parameters"
            return Structure(None, (), (), self.factors, {"neuron": reason, "readout": reason})
        if set(self.first) != set(self.second) or not self.first:
            reason = "it does not draw the same random sites in every run" if self.first else "it draws nothing"
            return Structure(None, (), (), (), {"neuron": reason, "readout": reason})
        linear = self.linear()
        if not linear:
            why["readout"] = "its field is linear in no Gaussian site of mean zero that nothing else depends on"
        elif np.any(self.field({n: np.zeros_like(v) if n in linear else v for n, v in self.first.items()})):
            why["readout"] = f"its field does not vanish with its Gaussian sites {', '.join(linear)}"
        plate, outside, reason = self.plate(linear)
        if plate is None:
            why["neuron"] = reason
        return Structure(plate, outside, linear, (), why)

    def linear(self) -> tuple[str, ...]:
        """Gaussian sites that can be integrated out together, the largest first."""
        found: tuple[str, ...] = ()
        for name in sorted(self.first, key=lambda n: -self.first[n].size):
            law = gaussian(self.random[name]["fn"])
            if law is not None and not np.any(np.asarray(law.loc)) and self.is_linear((*found, name)):
                found = (*found, name)
        return found

    def is_linear(self, names: tuple[str, ...]) -> bool:
        """f(u a + v b) = u f(a) + v f(b) + (1 - u - v) f(0) for both signs of u and v, and no law of a site moves."""
        a, b = ({n: values[n] for n in names} for values in (self.first, self.second))

        def at(u: float, v: float) -> dict[str, Any]:
            return self.sites({**self.first, **{n: u * a[n] + v * b[n] for n in names}})

        runs = {(u, v): at(u, v) for u, v in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.7, -1.9), (-1.3, 0.4))}
        field = {place: np.asarray(sites[self.site]["value"]) for place, sites in runs.items()}
        if not all(
            _same(f, u * field[1.0, 0.0] + v * field[0.0, 1.0] + (1 - u - v) * field[0.0, 0.0])
            for (u, v), f in field.items()
        ):
            return False
        laws = [jax.tree.leaves([sites[n]["fn"] for n in self.random]) for sites in runs.values()]
        return all(all(np.array_equal(leaf[0], other) for other in leaf[1:]) for leaf in zip(*laws, strict=True))

    def plate(self, linear: tuple[str, ...]) -> tuple[tuple[str, int, int] | None, tuple[str, ...], str]:
        """The plate of independent identical neurons, the sites outside it, or the reason why there is none."""
        frames = {n: s["cond_indep_stack"] for n, s in self.random.items()}
        names = {f.name for stack in frames.values() for f in stack}
        if len(names) != 1:
            what = f"has {len(names)} plates: {', '.join(sorted(names))}" if names else "has no plate of neurons"
            return None, (), f"it {what}, expected one"
        frame = next(f for stack in frames.values() for f in stack)
        outside = tuple(n for n, stack in frames.items() if not stack)
        inside = [n for n in frames if n not in outside]
        shared = [n for n in outside if n not in linear]
        if shared:
            return (
                None,
                (),
                f"its site {shared[0]!r} lies outside the plate {frame.name!r} and is shared by all neurons",
            )

        def axis(name: str) -> int:
            return self.first[name].ndim + frame.dim - self.random[name]["fn"].event_dim

        a, b = ({n: values[n] for n in inside} for values in (self.first, self.second))
        rest = {n: self.first[n] for n in outside}
        low = {n: _half(axis(n), a[n], b[n]) for n in inside}
        high = {n: _half(axis(n), b[n], a[n]) for n in inside}
        turned = {n: np.roll(a[n], 1, axis(n)) for n in inside}
        whole = self.field(a | rest) + self.field(b | rest)
        if not _same(whole, self.field(low | rest) + self.field(high | rest)):
            return None, (), f"its field is not a sum over the plate {frame.name!r}"
        if not _same(self.field(a | rest), self.field(turned | rest)):
            return None, (), f"its field changes when the neurons of the plate {frame.name!r} are exchanged"
        equal = {n: np.repeat(np.take(a[n], [0], axis(n)), frame.size, axis(n)) for n in inside}
        sites = self.sites(equal | rest)
        for n in inside:
            density = np.asarray(sites[n]["fn"].log_prob(equal[n]))
            if not _same(density, np.roll(density, 1, frame.dim)):
                return None, (), f"the law of {n!r} changes along the plate {frame.name!r}"
        other = {n: self.second[n] for n in outside}
        shift = self.field(a | rest) - self.field(a | other)
        if outside and not _same(shift, self.field(b | rest) - self.field(b | other)):
            return None, (), f"its site {outside[0]!r}, outside the plate {frame.name!r}, multiplies the neurons"
        return (frame.name, frame.size, frame.dim), outside, ""


def _half(axis: int, a: Any, b: Any) -> np.ndarray:
    """A on the first half along an axis, b on the rest."""
    cut = a.shape[axis] // 2
    return np.concatenate([np.take(a, range(cut), axis), np.take(b, range(cut, b.shape[axis]), axis)], axis)


def _same(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return bool(np.all(np.abs(a - b) <= _EXACT * max(1e-30, float(np.max(np.abs(a))), float(np.max(np.abs(b))))))
