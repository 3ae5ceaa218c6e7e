"""What the structure of a model allows: are its neurons independent, is its field Gaussian given the hidden layer?

Both are read from runs of the NumPyro program, never from a declaration. Neurons are independent and identical when
every random site lies in one plate, the law of each neuron does not depend on the others or on its place, and the field
is a sum over the plate of equal shares: k neurons of one kind and N - k of another give a field straight in k. The
field is Gaussian given the rest when it is linear in sites drawn from N(0, s^2) that nothing else depends on; then
Sigma = J diag(s^2) J^T with J = d phi/d W. Each identity is asked for at several draws: a proof it is not. A
`numpyro.factor` deforms the density: draws of the program are then not draws of the theory.
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

_CONTEXTS = 6  # independent draws of all sites at which every identity must hold
# Factors of two draws: the first three are f(0), f(a) and f(b); large ones see a field that saturates.
_COMBINATIONS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.7, -1.9), (-1.3, 0.4), (90.0, -37.0), (-55.0, 80.0))
_EXACT = 1e-8  # relative round-off allowed in an identity, in double precision

Values = dict[str, Any]


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
    """The model as a function of the values of its sites: its field, and the log density of each site's law."""

    def __init__(self, model: Callable[..., Any], points: jax.Array, site: str) -> None:
        self.model, self.points, self.site = model, points, site
        self.keys = list(jax.random.split(jax.random.key(20_080_860), _CONTEXTS))
        first = run(model, points, self.keys[0])
        self.factors = tuple(n for n, s in first.items() if s["type"] == "sample" and s["is_observed"])
        self.random = {n: s for n, s in first.items() if s["type"] == "sample" and not s["is_observed"]}
        self.contexts = []
        for key in self.keys:
            sites = run(model, points, key)
            self.contexts.append({n: np.asarray(s["value"]) for n, s in sites.items() if n in self.random})
        self.compiled = jax.jit(self._all)

    def _all(self, key: jax.Array, values: Values, reference: Values) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """Field, log density of the reference under the laws these values give, and the means of Gaussian laws."""
        sites = run(self.model, self.points, key, values)
        laws = {n: sites[n]["fn"] for n in self.random}
        density = {n: law.log_prob(reference[n]) for n, law in laws.items()}
        means = {n: gaussian(law).loc for n, law in laws.items() if gaussian(law) is not None}
        return sites[self.site]["value"], density, means

    def read(self, values: Values, reference: Values | None = None, key: int = 0) -> tuple[Any, Any, Any]:
        return jax.tree.map(
            np.asarray, self.compiled(self.keys[key], values, values if reference is None else reference)
        )

    def field(self, values: Values) -> np.ndarray:
        return self.read(values)[0]

    def structure(self) -> Structure:
        if self.factors:
            return _nothing(
                f"its site {self.factors[0]!r} deforms the density, which couples all parameters", self.factors
            )
        if not self.random:
            return _nothing("it draws nothing")
        if any(set(values) != set(self.random) for values in self.contexts):
            return _nothing("it does not draw the same random sites in every run")
        if not _same(self.field(self.contexts[0]), self.read(self.contexts[0], key=1)[0]):
            return _nothing("it draws random numbers that are no site of it")
        why: dict[str, str] = {}
        linear = self.linear()
        if not linear:
            why["readout"] = "its field is linear in no Gaussian site of mean zero that nothing else depends on"
        elif any(np.any(self.field(c | {n: np.zeros_like(c[n]) for n in linear})) for c in self.contexts):
            why["readout"] = f"its field does not vanish with its Gaussian sites {', '.join(linear)}"
        plate, outside, reason = self.plate(linear)
        if plate is None:
            why["neuron"] = reason
        return Structure(plate, outside, linear, (), why)

    def linear(self) -> tuple[str, ...]:
        """Gaussian sites that can be integrated out together, the largest first."""
        found: tuple[str, ...] = ()
        for name in sorted(self.random, key=lambda n: -self.contexts[0][n].size):
            if gaussian(self.random[name]["fn"]) is not None and self.is_linear((*found, name)):
                found = (*found, name)
        return found

    def is_linear(self, names: tuple[str, ...]) -> bool:
        """f(u a + v b) = u f(a) + v f(b) + (1 - u - v) f(0) for u, v of both signs and sizes, in every context.

        And no law of a site moves with them: the same log density of the same values; and their means are zero.
        """
        for context, other in zip(self.contexts, self.contexts[1:] + self.contexts[:1], strict=True):
            runs = {}
            for u, v in _COMBINATIONS:
                mixed = {n: u * context[n] + v * other[n] for n in names}
                runs[u, v] = self.read(context | mixed, context)
            zero, a, b = (runs[place][0] for place in _COMBINATIONS[:3])
            for (u, v), (field, density, means) in runs.items():
                size = 1.0 + abs(u) + abs(v)
                straight = _same(field / size, (u * a + v * b + (1 - u - v) * zero) / size)
                fixed = all(_same(density[n], runs[0.0, 0.0][1][n]) for n in density)
                if not straight or not fixed or any(n in names and np.any(m) for n, m in means.items()):
                    return False
        return True

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
        axes = {n: self.contexts[0][n].ndim + frame.dim - self.random[n]["fn"].event_dim for n in inside}
        for a, b in zip(self.contexts, self.contexts[1:] + self.contexts[:1], strict=True):
            reason = self._one_sum(frame, axes, a, b) or self._one_law(frame, axes, outside, a, b)
            if reason:
                return None, (), reason
            other = {n: b[n] for n in outside}
            inner = {n: b[n] for n in inside}
            shift = self.field(a) - self.field(a | other)
            if outside and not _same(shift, self.field(a | inner) - self.field(a | inner | other)):
                return None, (), f"its site {outside[0]!r}, outside the plate {frame.name!r}, multiplies the neurons"
        return (frame.name, frame.size, frame.dim), outside, ""

    def _one_sum(self, frame: Any, axes: Mapping[str, int], a: Values, b: Values) -> str:
        """Why the field is no sum over the plate of equal shares, empty if it is one."""
        low = {n: _first(a[n], b[n], frame.size // 2, axis) for n, axis in axes.items()}
        high = {n: _first(b[n], a[n], frame.size // 2, axis) for n, axis in axes.items()}
        mine, theirs = ({n: values[n] for n in axes} for values in (a, b))
        whole = self.field(a | mine) + self.field(a | theirs)
        message = f"its field is not a sum over the plate {frame.name!r}"
        if not _same(whole, self.field(a | low) + self.field(a | high)):
            return message
        turned = {n: np.roll(a[n], 1, axis) for n, axis in axes.items()}
        if not _same(self.field(a), self.field(a | turned)):
            return f"its field changes when the neurons of the plate {frame.name!r} are exchanged"
        # k neurons equal to one and N - k to another: straight in k, also where all of them pull together.
        one, another = ({n: _equal(v[n], axis) for n, axis in axes.items()} for v in (a, b))
        ends = self.field(a | another), self.field(a | one)
        for k in {1, frame.size // 2, frame.size - 1}:
            mixed = {n: _first(one[n], another[n], k, axis) for n, axis in axes.items()}
            if not _same(self.field(a | mixed), ends[0] + (ends[1] - ends[0]) * k / frame.size):
                return message
        return ""

    def _one_law(self, frame: Any, axes: Mapping[str, int], outside: tuple[str, ...], a: Values, b: Values) -> str:
        """Why the neurons are not drawn independently from one law, empty if they are."""
        equal = a | {n: _equal(a[n], axis) for n, axis in axes.items()}
        density = self.read(equal)[1]
        for n in axes:
            if not _same(density[n], np.roll(density[n], 1, frame.dim)):
                return f"the law of {n!r} changes along the plate {frame.name!r}"
        before = self.read(a)[1]
        for j in {0, frame.size - 1} if frame.size > 1 else ():
            swapped = {n: _with(a[n], b[n], j, axis) for n, axis in axes.items()}
            after = self.read(a | swapped, a)[1]
            for n in axes:
                if not _same(*(np.delete(d[n], j, frame.dim) for d in (before, after))):
                    return f"the law of {n!r} at one neuron of the plate {frame.name!r} depends on the others"
            moved = [n for n in outside if not _same(before[n], after[n])]
            if moved:
                return f"the law of its site {moved[0]!r} depends on the neurons of the plate {frame.name!r}"
        return ""


def _nothing(reason: str, factors: tuple[str, ...] = ()) -> Structure:
    return Structure(None, (), (), factors, {"neuron": reason, "readout": reason})


def _first(a: Any, b: Any, count: int, axis: int) -> np.ndarray:
    """A on the first `count` places of an axis, b on the rest."""
    return np.concatenate([np.take(a, range(count), axis), np.take(b, range(count, b.shape[axis]), axis)], axis)


def _equal(a: Any, axis: int) -> np.ndarray:
    """The first entry of an axis at all its places."""
    return np.repeat(np.take(a, [0], axis), a.shape[axis], axis)


def _with(a: Any, b: Any, place: int, axis: int) -> np.ndarray:
    """A with b's entry at one place of an axis."""
    out = np.moveaxis(np.array(a), axis, 0)
    out[place] = np.moveaxis(np.asarray(b), axis, 0)[place]
    return np.moveaxis(out, 0, axis)


def _same(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return bool(np.all(np.abs(a - b) <= _EXACT * max(1e-30, float(np.max(np.abs(a))), float(np.max(np.abs(b))))))
