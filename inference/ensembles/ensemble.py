"""An ensemble is a recipe, not a block of memory: a random field, its points, a number of networks and a key.

Network i is drawn with the key threefry(key, i) whatever block, call or device it falls on, so the same recipe is the
same ensemble everywhere: i has 64 bits, for a given key threefry is one to one, and below 2^32 it is JAX's `fold_in`.
Drawing is jitted in cache-sized blocks, in the precision the recipe names whatever that of the
session (another precision draws other random numbers), and sharded over all devices JAX has, always a whole call of
blocks at a time: what has been drawn is kept for the next pass up to a stated memory (`drawn.py`), which does not grow
with the number of networks. Where a model deforms its density with `numpyro.factor`, every network carries the weight
exp(factor).
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache, partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry_2x32
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpyro import handlers
from numpyro.primitives import Messenger

from ...models.correlators import check_points
from ...models.multiplets.placed import Output, Placed, at_places
from ...models.networks.independent import Independent
from ...models.networks.model import as_model, check_takes_points
from ...models.runtime import settled
from ...models.theories.recipes import described
from ...models.types import Matrix, Points
from .drawn import DRAWN
from .source import Source, two_point

__all__ = ["ByContent", "Ensemble", "Materialise", "check_key", "device_mesh", "is_plain", "side_key", "sites_of"]

_BLOCK_FLOATS = 80_000  # random numbers per block: fits a core's cache (measured best between 5e4 and 2e5)
_LEVEL = 4096  # networks whose mean weight sets the scale of weights
_BLOCKS = 4  # blocks one device draws per call: few enough for a read of ten networks, enough to hide the call
_TRIAL = 15_041_978  # side key of the fields that a model is tried with
_PILOT = 4096  # networks that fix a two-point function
_MOST = 2**63  # networks of an ensemble; side keys have indices beyond
_LONG = 8  # times as many where an ensemble is twelve such calls or more (measured: 12 to 20 % less, to the same bits)


class Materialise(Messenger):
    """Keep every random number in memory once, instead of letting XLA redraw it in each consumer it is fused into.

    Measured on CPU with erf, tanh and 6 points: 110k networks per second without, 345k with.
    """

    def postprocess_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and not msg.get("is_observed", False):
            msg["value"] = jax.lax.optimization_barrier(msg["value"])


@dataclass(frozen=True, eq=False)  # compared as an object: an array of points has no single truth value
class Ensemble[Model: Callable[..., Any]](Source):
    """n independent networks of a NumPyro model at M points, drawn when needed.

    Args:
        model: any NumPyro callable of the points with a site holding the field; `Network` is one.
        points: input points, (point, axis).
        site: name of that site, of shape (point,), or (point, output) of several fields.
        n: number of networks.
        key: `jax.random.key(seed)`, of JAX's default generator.
        dtype: precision of the networks and their random numbers, float32 or float64: another one, other networks.
        complex_parts: the field is complex, and its real and imaginary part count as two outputs.

    Attributes:
        outputs: number of fields D, from the shape of the site.

    Raises:
        ValueError: points that are not finite and distinct, n < 1, something that is no key, no such site, a field of
            the wrong shape.

    Example:
        >>> import jax, numpy as np
        >>> from nnft.models import Cos, Network
        >>> ens = Ensemble(Network(Cos(), width=5), points=np.array([[0.0], [1.0]]), n=3, key=jax.random.key(0))
        >>> ens.read(0, 3).shape
        (3, 2)
    """

    model: Model = field()
    points: Points = field(kw_only=True)
    n: int = field(kw_only=True)
    key: jax.Array = field(kw_only=True, repr=False)
    site: str = field(default="phi", kw_only=True)
    dtype: Any = field(default=np.float32, kw_only=True, repr=False)
    complex_parts: bool = field(default=False, kw_only=True, repr=False)
    outputs: int = field(default=1, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.dtype not in (np.float32, np.float64, "float32", "float64"):
            raise ValueError(f"expected dtype float32 or float64, got {self.dtype!r}; try leaving it out, float32")
        object.__setattr__(self, "dtype", np.dtype(self.dtype))
        object.__setattr__(self, "points", check_points(self.points))
        whole = isinstance(self.n, (int, np.integer, float)) and not isinstance(self.n, bool) and self.n % 1 == 0
        if not whole or not 1 <= self.n <= _MOST:
            raise ValueError(
                f"expected n, the number of networks, to be an integer in [1, 2^63], got {self.n!r}; try n=100_000"
            )
        object.__setattr__(self, "n", int(self.n))
        check_key(self.key)
        if not callable(self.model):
            raise ValueError(
                f"expected a NumPyro model (a callable of the points), got {self.model!r}; try Network(...)"
            )
        check_takes_points(self.model)
        with _precision(self.dtype):
            sites = jax.eval_shape(lambda key: _sites(self.model, key, self.points), self.key)
        if self.site not in sites:
            raise ValueError(
                f"expected the model to have a site {self.site!r}, got {sorted(sites)}; "
                "try numpyro.deterministic('phi', ...) or site="
            )
        drawn, count = sites[self.site], len(self.points)
        if drawn.shape[:1] != (count,) or len(drawn.shape) > 2 or 0 in drawn.shape:
            raise ValueError(
                f"expected site {self.site!r} of shape (point,) = ({count},), got {drawn.shape}; try "
                "numpyro.deterministic('phi', ...) of one number per point, or (point, output) of several fields"
            )
        split = bool(np.issubdtype(drawn.dtype, np.complexfloating))
        if split != bool(self.complex_parts):
            wanted, got = ("real", "complex") if split else ("complex", "real")
            advice = "complex_parts=True, its two parts as two outputs" if split else "leaving complex_parts out"
            raise ValueError(f"expected a {wanted} field at site {self.site!r}, got a {got} one; try {advice}")
        object.__setattr__(self, "outputs", int(np.prod(drawn.shape[1:])) * (2 if split else 1))
        with _precision(self.dtype):
            as_model(self.model).check(self.points, side_key(self.key, _TRIAL))

    def __getstate__(self) -> dict[str, Any]:
        """The recipe without the programs compiled for it, which belong to one process."""
        return {part.name: getattr(self, part.name) for part in fields(self)}

    @property
    def even(self) -> bool:
        """Whether phi -> -phi is known to be a symmetry: the readout laws of a network are symmetric."""
        return as_model(self.model).even and self.site == as_model(self.model).field_site

    @cached_property
    def weighted(self) -> bool:
        """Whether the model holds factors (or observed sites), so that its draws carry weights."""
        with _precision(self.dtype):
            return bool(jax.eval_shape(lambda key: _log_weight(self.model, key, self.points)[1], self.key))

    @cached_property
    def level(self) -> float:
        """Log of the mean weight of networks beyond the ensemble: weights are divided by it, which changes no ratio."""
        logs = self.read_weighted(self.n, _LEVEL)[1]
        return float(logs.max() + np.log(np.mean(np.exp(logs - logs.max()))))

    @cached_property
    def numbers(self) -> int:
        """Random and deterministic numbers one network holds: what decides the block."""
        with _precision(self.dtype):
            sites = jax.eval_shape(lambda key: _sites(self.model, key, self.points), self.key)
            beside = as_model(self.model).beside(self.points)
        return max(1, beside, sum(int(np.prod(s.shape)) for s in sites.values()))

    @cached_property
    def block(self) -> int:
        """Networks drawn at a time by one device; another size may change the last bit of a field, no more."""
        return int(2 ** np.clip(np.round(np.log2(_budget() / self.numbers)), 0, 14))

    @cached_property
    def _draw(self) -> Callable[[jax.Array, np.ndarray], jax.Array]:
        """(key, words of indices (block, network, 2)) -> fields (block, network, point), blocks split over devices."""
        recipe = (
            self.model,
            ByContent(self.points),
            self.site,
            self.weighted,
            len(jax.local_devices()),
            self.dtype == np.float64,
        )
        # One compiled program serves every key and number of networks, if nothing outside the recipe can change it.
        with _precision(self.dtype):
            return (_drawing if is_plain(self.model) else _drawing.__wrapped__)(*recipe)

    @property
    def remedy(self) -> str:
        return as_model(self.model).remedy

    @property
    def neurons(self) -> Independent | None:
        return as_model(self.model).as_sum if self.site == as_model(self.model).field_site else None

    @property
    def program(self) -> "Ensemble[Model]":
        return self

    def in_places(self) -> Source:
        if self.outputs == 1:
            return self
        model, points = Placed(self.model, self.outputs, self.site), at_places(self.points, self.outputs)
        return Ensemble(model, points=points, n=self.n, key=self.key, site=model.field_site, dtype=self.dtype)

    def output(self, which: int) -> "Ensemble[Any]":
        """One of its fields: the same networks, seen in one output."""
        model: Any = Output(self.model, which)
        return Ensemble(model, points=self.points, n=self.n, key=self.key, site=model.field_site, dtype=self.dtype)

    def pilot(self, share: float) -> tuple[Matrix, str, Source | None]:
        """Of networks beyond the ensemble, which are independent of it."""
        return two_point(self.read(self.n, _PILOT)), f"{_PILOT} further networks", None

    def about(self) -> dict[str, Any]:
        key = np.asarray(jax.random.key_data(self.key)).tolist()
        return {"model": repr(self.model), "ensemble_key": key, "dtype": str(self.dtype)}

    def recipe(self) -> dict[str, Any]:
        key = np.asarray(jax.random.key_data(self.key)).tolist()
        return {"kind": "ensemble", "model": described(self.model), "n": self.n, "site": self.site, "key": key}

    def read(self, start: int, count: int) -> np.ndarray:
        """Fields of networks start .. start+count-1, (network, place); indices beyond n are fresh networks.

        Of a model with factors these are draws of the program, whose weights `read_weighted` gives.
        """
        return self._read(start, count)[:, : self.places]

    def read_weighted(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Fields as in `read`, and the log weight of each network, zero without factors, (network,)."""
        both = self._read(start, count)
        fields, logs = both[:, : self.places], both[:, self.places :]
        return fields, logs[:, 0].astype(float) if self.weighted else np.zeros(len(fields))

    def _read(self, start: int, count: int) -> np.ndarray:
        # Whole calls between fixed borders: one compiled program serves every read, passes over the ensemble draw no
        # network twice, and a network takes the same place in the same arithmetic whatever is read with it.
        size = self._call
        calls = range(start // size, -(-(start + count) // size))
        found = {call: DRAWN.get(self, (call, size)) for call in calls}
        drawn = {call: self._start(call) for call in calls if found[call] is None}  # all at once, then waited for
        numbers = self.places + self.weighted
        parts = [np.zeros((0, numbers), dtype=self.dtype)] if not calls else []
        for call in calls:
            part = found[call]
            if part is None:
                made = np.asarray(drawn.pop(call)).reshape(-1, numbers)
                part = DRAWN.keep(self, (call, size), made)
            parts.append(part[max(0, start - call * size) : start + count - call * size])
        return np.concatenate(parts)

    @cached_property
    def _call(self) -> int:
        """Networks drawn by one call of the compiled program, a whole number of blocks on each device."""
        short = max(1, _BLOCKS * _budget() // (self.block * self.numbers)) * len(jax.local_devices()) * self.block
        return _LONG * short if self.n >= 12 * _LONG * short else short

    def _start(self, call: int) -> jax.Array:
        """The networks of one call, being drawn, (block, network, number)."""
        index = np.uint64(call * self._call) + np.arange(self._call, dtype=np.uint64).reshape(-1, self.block)
        words = np.stack([index >> np.uint64(32), index & np.uint64(2**32 - 1)], axis=-1).astype(np.uint32)
        shard = NamedSharding(device_mesh(), PartitionSpec("device"))
        with _plain_threefry(), _precision(self.dtype):
            return self._draw(self.key, jax.device_put(words, shard))


def side_key(key: jax.Array, k: int) -> jax.Array:
    """The k-th key beside an ensemble's networks: its index is beyond any of theirs.

    >>> side_key(jax.random.key(0), 1) == jax.random.fold_in(jax.random.key(0), 1)
    Array(False, dtype=bool)
    """
    return _folded(key, jnp.array([2**32 - 1, k], dtype=jnp.uint32))


def sites_of(ensemble: "Ensemble[Any]", networks: np.ndarray) -> dict[str, np.ndarray]:
    """Values of all sites of networks by their number, one row a network."""
    index = np.asarray(networks, dtype=np.uint64)
    words = np.stack([index >> np.uint64(32), index & np.uint64(2**32 - 1)], axis=-1).astype(np.uint32)

    def one(words: jax.Array) -> dict[str, jax.Array]:
        return _sites(ensemble.model, _folded(ensemble.key, words), jnp.asarray(ensemble.points))

    with _plain_threefry(), _precision(ensemble.dtype):
        return {name: np.asarray(value) for name, value in jax.jit(jax.vmap(one))(words).items()}


def _folded(key: jax.Array, words: jax.Array) -> jax.Array:
    """The key of an index of two words, high and low; with a high word of zero `jax.random.fold_in` of the low one."""
    return jax.random.wrap_key_data(threefry_2x32(jax.random.key_data(key), words), impl="threefry2x32")


def is_plain(model: Any) -> bool:
    """Whether a model is made of numbers, words and this package's own classes: equal ones then draw the same."""
    if model is None or isinstance(model, bool | int | float | str):
        return True
    if isinstance(model, tuple):
        return all(map(is_plain, model))
    ours = type(model).__module__.startswith(f"{__name__.partition('.')[0]}.")
    return ours and isinstance(model, eqx.Module) and all(is_plain(getattr(model, f.name)) for f in fields(model))


class ByContent:
    """An array compared by content."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.content = (values.shape, values.tobytes())

    def __hash__(self) -> int:
        return hash(self.content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByContent) and self.content == other.content


@lru_cache(maxsize=64)
def _drawing(
    model: Callable[..., Any], places: ByContent, site: str, weighted: bool, devices: int, x64: bool
) -> Callable[[jax.Array, np.ndarray], jax.Array]:
    points = jnp.asarray(places.values)

    def network(key: jax.Array, words: jax.Array) -> jax.Array:
        mine = _folded(key, words)
        if not weighted:
            return _row(_sites(model, mine, points)[site])
        log, _, sites = _log_weight(model, mine, points)
        return jnp.append(_row(sites[site]), log)

    def device(key: jax.Array, words: jax.Array) -> jax.Array:
        return jax.lax.map(lambda block: jax.vmap(partial(network, key))(block), words)

    spec = PartitionSpec("device")
    # Unchecked: the checker would sum derivatives of a network over all devices (Sigma of `estimators/duality.py`).
    return jax.jit(
        jax.shard_map(device, mesh=device_mesh(), in_specs=(PartitionSpec(), spec), out_specs=spec, check_vma=False)
    )


@contextmanager
def _precision(dtype: Any) -> Iterator[None]:
    """The precision of a recipe in place of the session's; numbers a model holds in double precision are rounded."""
    with settled(dtype == np.float64, partitionable=None), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Explicitly requested dtype float64", UserWarning)
        yield


def _budget() -> int:
    return _BLOCK_FLOATS if jax.default_backend() == "cpu" else 200 * _BLOCK_FLOATS


def check_key(key: Any) -> None:
    """Refuse what is no key, and generators (rbg) whose numbers depend on how many networks are drawn together.

    Raises:
        ValueError: not one key of JAX's default generator.
    """
    try:
        kind, shape = str(jax.random.key_impl(key)), jax.random.key_data(key).shape
    except (TypeError, ValueError, AttributeError):
        kind, shape = repr(key), ()
    if shape != (2,) or "threefry" not in kind:
        raise ValueError(f"expected one key of the threefry2x32 generator, got {kind}; try key=jax.random.key(0)")


def _row(field: jax.Array) -> jax.Array:
    """A field as one row of numbers, (place,): point by point, in it output by output, real before imaginary part."""
    if jnp.iscomplexobj(field):
        field = jnp.stack([field.real, field.imag], axis=-1)
    return field if field.ndim == 1 else field.ravel()


def _sites(model: Callable[..., Any], key: jax.Array, points: Any) -> dict[str, jax.Array]:
    """Values of all sites of one run of the model."""
    with handlers.trace() as trace, Materialise(), handlers.seed(rng_seed=key):
        model(points)
    return {name: site["value"] for name, site in trace.items() if site["type"] in ("sample", "deterministic")}


def _log_weight(model: Callable[..., Any], key: jax.Array, points: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Log weight of one run, the shapes of its factors, and the values of its sites."""
    with handlers.trace() as trace, Materialise(), handlers.seed(rng_seed=key):
        model(points)
    factors = {n: s for n, s in trace.items() if s["type"] == "sample" and s["is_observed"]}
    logs = {n: jnp.sum((s["scale"] or 1.0) * s["fn"].log_prob(s["value"])) for n, s in factors.items()}
    sites = {n: s["value"] for n, s in trace.items() if s["type"] in ("sample", "deterministic")}
    return sum(logs.values(), jnp.zeros(())), logs, sites


def _plain_threefry() -> AbstractContextManager[Any]:
    """Two random words a hash instead of one (measured: a third more networks per second).

    JAX's default spends the second word on arrays that are split over devices; here a network is never split.
    """
    setting = getattr(jax, "threefry_partitionable", None)  # gone one day: then the default, and other draws
    return nullcontext() if setting is None else setting(False)


def device_mesh() -> Mesh:
    """All devices of this process in a row."""
    return Mesh(np.array(jax.local_devices()), ("device",))
