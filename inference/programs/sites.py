"""Is every random site of a program drawn anew for each network, from the law it states, independently of the others?

A site that a handler holds fixed (`substitute`, a `seed` inside the model, `rng_key=`) looks random in the program and
is a constant in the field. Each recorded value is therefore ranked among K fresh draws of its law under the same
parents: if the site is drawn from that law, the rank is uniform on 0..K whatever the law is, independent of the ranks
of all other sites and neurons (S. Talts et al., arXiv:1804.06788). Ties are broken at random.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Int
from scipy import stats

__all__ = ["RANKS", "fresh_keys", "judge_ranks", "ranks", "unmasked"]

RANKS = 15  # K fresh draws beside each recorded value: ranks 0..15
_ALARM = 1e-9  # chance that one test refuses a site that is what it says
_MOST = 64  # places of a site that are correlated with all others
_LEAST = 32  # contexts below which correlations of ranks are not judged


def unmasked(law: Any) -> Any:
    """The law a site is drawn from: masks leave its density out of the joint one, but not its draws.

    >>> type(unmasked(dist.Normal().mask(False).expand([3]).to_event(1)).base_dist).__name__
    'ExpandedDistribution'
    """
    if isinstance(law, dist.MaskedDistribution):
        return unmasked(law.base_dist)
    if isinstance(law, dist.Independent):
        return unmasked(law.base_dist).to_event(law.reinterpreted_batch_ndims)
    if isinstance(law, dist.ExpandedDistribution):
        return unmasked(law.base_dist).expand(law.batch_shape)
    return law


def fresh_keys(contexts: int, sites: int) -> jax.Array:
    """Keys (context, site) of fresh draws, of the generator whose programs compile fastest: many laws, drawn once."""
    data = np.random.default_rng(15_041_978).integers(0, 2**32, (contexts, sites, 4), dtype=np.uint32)
    return jax.random.wrap_key_data(jnp.asarray(data), impl="unsafe_rbg")


def ranks(site: Mapping[str, Any], key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of each recorded number of a site: how many fresh draws of its law lie below it, and how many equal it.

    Both have the shape of the value without its event axes, of which the first entry is taken; a law that does not draw
    values of the recorded shape is not judged: shape (0,).
    """
    law, value = unmasked(site["fn"]), jnp.asarray(site["value"])
    shape = (RANKS, *site["kwargs"].get("sample_shape", ()))
    try:
        fresh = law.sample(key, shape)
    except NotImplementedError:  # Poisson numbers come from one generator only
        fresh = law.sample(jax.random.wrap_key_data(jax.random.key_data(key)[:2], impl="threefry2x32"), shape)
    if fresh.shape[1:] != value.shape:
        return jnp.zeros(0, int), jnp.zeros(0, int)
    first = (..., *[0] * law.event_dim)
    value, fresh = value[first], fresh[first]
    return (fresh < value).sum(axis=0), (fresh == value).sum(axis=0)


def judge_ranks(
    ranked: Mapping[str, tuple[Int[np.ndarray, "context *place"], Int[np.ndarray, "context *place"]]],
    laws: Mapping[str, str],
) -> str:
    """Why the sites are not drawn from their laws, each on its own; empty if nothing speaks against it.

    Args:
        ranked: site -> what `ranks` gives, context first; equal ones are put in order at random.
        laws: site -> the name of its law, for the message.

    >>> even, none = np.random.default_rng(0).integers(0, 16, size=(200, 3)), np.zeros((200, 3), int)
    >>> judge_ranks({"w": (even, none)}, {"w": "Normal"})
    ''
    >>> judge_ranks({"w": (even, none), "c": (even, none)}, {})
    "its sites 'w' and 'c' are not drawn independently: their ranks correlate to 1.00; is one key used at both?"
    """
    rng = np.random.default_rng(15_041_978)
    whole = {n: below + rng.integers(0, equal + 1) for n, (below, equal) in ranked.items() if below.size}
    flat = {n: r.reshape(len(r), -1) for n, r in whole.items()}
    for name, rank in flat.items():
        counts = np.bincount(rank.ravel(), minlength=RANKS + 1)
        if counts.sum() < 5 * (RANKS + 1):
            continue
        value, p = stats.chisquare(counts)
        if p < _ALARM:
            return (
                f"its site {name!r} is not drawn from its law {laws.get(name, '')}".rstrip()
                + f": chi2/dof = {value:.0f}/{RANKS} for ranks among fresh draws, p = {p:.1g}"
            )
    names, columns = [], []
    for name, rank in flat.items():
        kept = np.unique(np.linspace(0, rank.shape[1] - 1, min(_MOST, rank.shape[1])).astype(int))
        columns.append(rank[:, kept])
        names += [name] * len(kept)
    if not columns or len(names) < 2 or len(columns[0]) < _LEAST:
        return ""
    size = np.corrcoef(np.concatenate(columns, axis=1), rowvar=False)
    size[np.tril_indices(len(size))] = 0.0
    worst = np.unravel_index(np.argmax(np.abs(size)), size.shape)
    r, n = float(size[worst]), len(columns[0])
    z = np.arctanh(min(abs(r), 1.0 - 1e-15)) * np.sqrt(n - 3.0)
    if z <= stats.norm.isf(_ALARM / (len(names) * (len(names) - 1))):
        return ""
    one, other = names[worst[0]], names[worst[1]]
    if one == other:
        return f"its site {one!r} is not drawn independently at each neuron: ranks of two of them correlate to {r:.2f}"
    return (
        f"its sites {one!r} and {other!r} are not drawn independently: their ranks correlate to {r:.2f}; is one key "
        "used at both?"
    )
