"""What the structure of a model allows: are its neurons independent, is its field Gaussian given the hidden layer?

Both are read from runs of the NumPyro program, never from a declaration. Neurons are independent and identical when
every random site lies in one plate, the law of each neuron does not depend on the others or on its place, and the field
is a sum over the plate of equal shares: k neurons of one kind and N - k of another give a field straight in k. Further
plates may lie inside or around it, as that of the inputs of a neuron. The field is Gaussian given the rest when it is
linear in sites drawn from N(0, s^2) that nothing else depends on; then Sigma = J diag(s^2) J^T with J = d phi/d W. Each
identity is tested at up to 256 draws of all sites, which finds a branch that one network in a hundred takes but is no
proof. Sites must differ from network to network and follow their own laws (`sites.py`). A `numpyro.factor` deforms the
density: draws of the program are then not draws of the theory.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers

from ...models.runtime import settled
from ..ensembles.ensemble import Materialise, is_plain
from .sites import RANKS, fresh_keys, judge_ranks, ranks, unmasked

__all__ = ["Structure", "gaussian", "read_structure", "run"]

_CONTEXTS = 256  # independent draws of all sites at which every identity must hold, fewer for large networks:
_NUMBERS = 2**18  # random numbers of all of them
_LEAST = 8
# Factors of two draws: the first three are f(0), f(a) and f(b); large ones see a field that saturates.
_COMBINATIONS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.7, -1.9), (-1.3, 0.4), (90.0, -37.0), (-55.0, 80.0))
_EXACT = 1e-8  # relative round-off allowed in an identity, in double precision

Values = dict[str, Any]


class Structure(NamedTuple):
    """What runs of a model show.

    plate: (name, size) of the plate of independent identical neurons, or None.
    outside: sites outside that plate, all linear, Gaussian and independent of it: an output bias.
    linear: Gaussian sites the field is linear in, nothing else depending on them: the readout.
    factors: observed sites and `numpyro.factor`s, which deform the density.
    why: space -> the reason why it is not allowed.
    """

    plate: tuple[str, int] | None
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
    law = _innermost(unmasked(law))
    return law if type(law) is dist.Normal else None  # a subclass may have another density


def _innermost(law: Any) -> Any:
    while isinstance(law, dist.Independent | dist.ExpandedDistribution):
        law = law.base_dist
    return law


def read_structure(model: Callable[..., Any], points: Any, site: str = "phi") -> Structure:
    """The structure of a NumPyro model at these points, from runs in double precision."""
    reading = _Reading(model, np.asarray(points, dtype=float), site)
    with settled():
        return reading.structure()


class _Site(NamedTuple):
    """A random site as its program shows it: its plates by name, its law, and how many numbers it holds."""

    plates: dict[str, Any]
    event_dim: int
    size: int
    normal: bool
    law: str


class _Reading:
    """The model as a function of the values of its sites: its field, and the log density of each site's law.

    Values, fields and densities carry the contexts in front; all of them run at once.
    """

    def __init__(self, model: Callable[..., Any], points: np.ndarray, site: str) -> None:
        self.model, self.points, self.site = model, points, site
        key = jax.random.key(20_080_860)
        first, second = (self._sites(key) for _ in range(2))
        self.stable = first[0].keys() == second[0].keys()
        (self.random, self.factors), self.frozen = first, dict[str, Any]()
        count = int(np.clip(_NUMBERS // max(sum(s.size for s in self.random.values()), 1), _LEAST, _CONTEXTS))
        self.own = is_plain(model)  # the package's own models are what they say: no need to ask their sites
        self.keys = jax.random.split(key, count)
        self.contexts: Values = {}
        self.unlike = "" if self.factors or not self.random or not self.stable else self.draw()
        self.compiled = jax.jit(jax.vmap(self._all))

    def places(self) -> jax.Array:
        """The points in the present precision; a copy, since JAX remembers the precision an array was first used in."""
        return jnp.asarray(self.points.copy())

    def _sites(self, key: jax.Array) -> tuple[dict[str, "_Site"], tuple[str, ...]]:
        """The random sites of the program and its factors, from its shapes alone."""
        random: dict[str, _Site] = {}
        factors: list[str] = []

        def look(key: jax.Array) -> None:
            for name, site in run(self.model, self.places(), key).items():
                if site["type"] == "sample" and site["is_observed"]:
                    factors.append(name)
                elif site["type"] == "sample":
                    law, plates = unmasked(site["fn"]), {f.name: f for f in site["cond_indep_stack"]}
                    normal, kind = gaussian(law) is not None, type(_innermost(law)).__name__
                    random[name] = _Site(plates, law.event_dim, int(np.size(site["value"])), normal, kind)

        jax.eval_shape(look, key)
        return random, tuple(factors)

    def _all(self, key: jax.Array, values: Values, reference: Values) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """Field, log density of the reference under the laws these values give, and the means of Gaussian laws."""
        sites = run(self.model, self.places(), key, values)
        laws = {n: unmasked(sites[n]["fn"]) for n in self.random}
        density = {n: law.log_prob(reference[n]) for n, law in laws.items()}
        means = {n: gaussian(law).loc for n, law in laws.items() if gaussian(law) is not None}
        return sites[self.site]["value"], density, means

    def read(self, values: Values, reference: Values | None = None, turn: int = 0) -> tuple[Any, Any, Any]:
        """At all contexts; the keys behind what is no site may be those of other contexts, `turn` places on."""
        keys = jnp.roll(self.keys, turn)
        return jax.tree.map(np.asarray, self.compiled(keys, values, values if reference is None else reference))

    def field(self, values: Values) -> np.ndarray:
        return self.read(values)[0]

    def draw(self) -> str:
        """Draw the contexts, set apart the sites that never move; why the others are not what they say, or ""."""
        asked = {} if self.own else self.random

        def one(key: jax.Array, other: jax.Array) -> tuple[Values, dict[str, Any]]:
            sites = run(self.model, self.places(), key)
            beside = {n: ranks(sites[n], other[k]) for k, n in enumerate(asked)}
            return {n: sites[n]["value"] for n in self.random}, beside

        # In the precision of the session, as networks are drawn; not as one program: samplers are shared by all models.
        fresh = fresh_keys(len(self.keys), len(self.random))
        values, beside = jax.tree.map(_wide, jax.vmap(one)(self.keys, fresh))
        held = {n: v for n, v in values.items() if v.size and np.all(v == v[:1])}
        # A law without spread, a Delta, has no draw that differs either.
        self.frozen = {n: v for n, v in held.items() if n in beside and np.any(beside[n][1] < RANKS)}
        self.random = {n: s for n, s in self.random.items() if n not in self.frozen}
        self.contexts = {n: v for n, v in values.items() if n in self.random}
        ranked = {n: pair for n, pair in beside.items() if n in self.random}
        return judge_ranks(ranked, {n: s.law for n, s in self.random.items()})

    def hidden(self) -> str:
        """Why the values of the sites do not decide the field, empty if they do."""
        field = self.field(self.contexts)
        if not _same(field, self.read(self.contexts, turn=1)[0]):
            return "it draws random numbers that are no site of it"
        again = run(self.model, self.places(), self.keys[0], {n: jnp.asarray(v[0]) for n, v in self.contexts.items()})
        if not _same(field[:1], np.asarray(again[self.site]["value"])[None]):
            return "equal sites give two different fields: it draws random numbers outside NumPyro"
        return ""

    def structure(self) -> Structure:
        if self.factors:
            return _nothing(
                f"its site {self.factors[0]!r} deforms the density, which couples all parameters", self.factors
            )
        if not self.random:
            return _nothing("it has no random site of NumPyro")
        if not self.stable:
            return _nothing("it does not draw the same random sites in every run")
        if self.unlike:
            return _nothing(self.unlike)
        if not self.random:
            return _nothing(f"its site {next(iter(self.frozen))!r} and all others are the same for every key")
        if reason := self.hidden():
            return _nothing(reason)
        why: dict[str, str] = {}
        linear = self.linear()
        if not linear:
            why["readout"] = "its field is linear in no Gaussian site of mean zero that nothing else depends on"
        elif np.any(self.field(self.contexts | {n: np.zeros_like(self.contexts[n]) for n in linear})):
            why["readout"] = f"its field does not vanish with its Gaussian sites {', '.join(linear)}"
        plate, outside, reason = self.plate(linear)
        if plate is None:
            why["neuron"] = reason
        return Structure(plate, outside, linear, (), why)

    def linear(self) -> tuple[str, ...]:
        """Gaussian sites that can be integrated out together, the largest first."""
        names: tuple[str, ...] = ()
        for name in sorted(self.random, key=lambda n: -self.contexts[n].size):
            if self.random[name].normal and self.is_linear((*names, name)):
                names = (*names, name)
        return names

    def is_linear(self, names: tuple[str, ...]) -> bool:
        """f(u a + v b) = u f(a) + v f(b) + (1 - u - v) f(0) for u, v of both signs and sizes, in every context.

        And no law of a site moves with them: the same log density of the same values; and their means are zero.
        """
        context, other = self.contexts, _turned(self.contexts)
        runs = {}
        for u, v in _COMBINATIONS:
            mixed = {n: u * context[n] + v * other[n] for n in names}
            runs[u, v] = self.read(context | mixed, context)
            zero = runs[0.0, 0.0]
            field, density, means = runs[u, v]
            if any(n in names and np.any(m) for n, m in means.items()):
                return False
            if not all(_same(density[n], zero[1][n]) for n in density):
                return False
            if len(runs) < 3:
                continue
            a, b = runs[1.0, 0.0][0], runs[0.0, 1.0][0]
            size = 1.0 + abs(u) + abs(v)
            if not _same(field / size, (u * a + v * b + (1 - u - v) * zero[0]) / size):
                return False
        return True

    def plate(self, linear: tuple[str, ...]) -> tuple[tuple[str, int] | None, tuple[str, ...], str]:
        """The plate of independent identical neurons, the sites outside it, or the reason why there is none."""
        frames = {n: s.plates for n, s in self.random.items()}
        sizes = {name: frame.size for stack in frames.values() for name, frame in stack.items()}
        if self.frozen:
            held = next(iter(self.frozen))
            return None, (), f"its site {held!r} is the same in every network: it is not drawn anew for each neuron"
        if not sizes:
            return None, (), "it has no plate of neurons, expected one"
        # The plate of the neurons holds most sites; that of their inputs lies inside or around it.
        held = {name: sum(name in stack for stack in frames.values()) for name in sizes}
        reason = ""
        for name in sorted(sizes, key=lambda n: (-held[n], -sizes[n])):
            outside, why = self._one_plate(name, sizes[name], frames, linear)
            if not why:
                return (name, sizes[name]), outside, ""
            reason = reason or why
        return None, (), reason

    def _one_plate(
        self, name: str, size: int, frames: dict[str, dict[str, Any]], linear: tuple[str, ...]
    ) -> tuple[tuple[str, ...], str]:
        """Sites outside this plate, and the reason why it is not one of independent identical neurons, or ""."""
        outside = tuple(n for n, stack in frames.items() if name not in stack)
        inside = {n: stack[name].dim for n, stack in frames.items() if name in stack}
        shared = [n for n in outside if n not in linear]
        if shared:
            return (), f"its site {shared[0]!r} lies outside the plate {name!r} and is shared by all neurons"
        axes = {n: dim - self.random[n].event_dim for n, dim in inside.items()}
        a, b = self.contexts, _turned(self.contexts)
        reason = self._one_sum(name, size, axes, a, b) or self._one_law(name, size, inside, axes, outside, a, b)
        if reason:
            return (), reason
        other, inner = ({n: b[n] for n in names} for names in (outside, inside))
        shift = self.field(a) - self.field(a | other)
        if outside and not _same(shift, self.field(a | inner) - self.field(a | inner | other)):
            return (), f"its site {outside[0]!r}, outside the plate {name!r}, multiplies the neurons"
        return outside, ""

    def _one_sum(self, name: str, size: int, axes: Mapping[str, int], a: Values, b: Values) -> str:
        """Why the field is no sum over the plate of equal shares, empty if it is one."""
        low = {n: _first(a[n], b[n], size // 2, axis) for n, axis in axes.items()}
        high = {n: _first(b[n], a[n], size // 2, axis) for n, axis in axes.items()}
        theirs = {n: b[n] for n in axes}
        whole = self.field(a) + self.field(a | theirs)
        message = f"its field is not a sum over the plate {name!r}"
        if not _same(whole, self.field(a | low) + self.field(a | high)):
            return message
        turned = {n: np.roll(a[n], 1, axis) for n, axis in axes.items()}
        if not _same(self.field(a), self.field(a | turned)):
            return f"its field changes when the neurons of the plate {name!r} are exchanged"
        # k neurons equal to one and N - k to another: straight in k, also where all of them pull together.
        one, another = ({n: _equal(v[n], axis) for n, axis in axes.items()} for v in (a, b))
        ends = self.field(a | another), self.field(a | one)
        for k in {1, size // 2, size - 1}:
            mixed = {n: _first(one[n], another[n], k, axis) for n, axis in axes.items()}
            if not _same(self.field(a | mixed), ends[0] + (ends[1] - ends[0]) * k / size):
                return message
        return ""

    def _one_law(
        self,
        name: str,
        size: int,
        dims: Mapping[str, int],
        axes: Mapping[str, int],
        outside: tuple[str, ...],
        a: Values,
        b: Values,
    ) -> str:
        """Why the neurons are not drawn independently from one law, empty if they are."""
        equal = a | {n: _equal(a[n], axis) for n, axis in axes.items()}
        density = self.read(equal)[1]
        for n, dim in dims.items():
            if not _same(density[n], np.roll(density[n], 1, dim)):
                return f"the law of {n!r} changes along the plate {name!r}"
        before = self.read(a)[1]
        for j in {0, size - 1} if size > 1 else ():
            swapped = {n: _with(a[n], b[n], j, axis) for n, axis in axes.items()}
            after = self.read(a | swapped, a)[1]
            for n, dim in dims.items():
                if not _same(*(np.delete(d[n], j, dim) for d in (before, after))):
                    return f"the law of {n!r} at one neuron of the plate {name!r} depends on the others"
            moved = [n for n in outside if not _same(before[n], after[n])]
            if moved:
                return f"the law of its site {moved[0]!r} depends on the neurons of the plate {name!r}"
        return ""


def _wide(leaf: jax.Array) -> np.ndarray:
    plain = np.asarray(leaf)
    return plain.astype(float) if np.issubdtype(plain.dtype, np.floating) else plain


def _nothing(reason: str, factors: tuple[str, ...] = ()) -> Structure:
    return Structure(None, (), (), factors, {"neuron": reason, "readout": reason})


def _turned(values: Values) -> Values:
    """Every context with the values of the next."""
    return {n: np.roll(v, -1, 0) for n, v in values.items()}


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
    """Equal but for round-off of the largest number of each context, the first axis, or of half of the contexts.

    Not of its own context alone: a sum of discrete terms may be zero but for round-off.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.size == 0:
        return True
    each = tuple(range(1, a.ndim))
    size = np.maximum(np.abs(a).max(axis=each, keepdims=True), np.abs(b).max(axis=each, keepdims=True))
    return bool(np.all(np.abs(a - b) <= _EXACT * np.maximum(size, max(float(np.median(size)), 1e-30))))
