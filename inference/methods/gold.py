"""The gold posterior: the priors of every fit, and the likelihood of the fields themselves, by NUTS (recipe B).

log p(theta | fields) = log prior(theta) - n' (theta.Tbar + log Z(theta)), with log Z reweighted from m reference fields
(`reference.py`). Their noise moves the centre by sqrt(n/m) standard deviations, so the likelihood is tempered to
n' = n/(1 + n/m) networks: the width then holds that noise too. The likelihood of one network is available, so models
can be compared by leaving networks out (PSIS-LOO), which no sandwich-calibrated posterior allows.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Float
from numpyro import handlers
from numpyro.infer import MCMC, NUTS

from ...models.runtime import settled
from ...models.types import Matrix, Vector
from ..ensembles.ensemble import Source
from ..ensembles.sums import Statistic, total
from ..equations.from_moments import Frozen
from ..equations.terms import Terms
from ..estimators.tails import Tail
from ..priors.likelihood import Numbers, coupling_model
from .reference import Reference, judge_reference, log_partition, log_ratio, parts_of, weights_at

__all__ = ["Gold", "gold_model", "log_likelihood", "mean_terms", "sample_gold"]

Laws = tuple[tuple[str, dist.Distribution], ...]
Names = tuple[tuple[str, int], ...]


class Likelihood(NamedTuple):
    """The numbers of the likelihood: averages of T, tempered number of networks, theta = solver (design theta), and
    `reference.parts_of`.
    """

    tbar: Any
    networks: Any
    solver: Any
    parts: tuple[Any, ...]


class Gold(NamedTuple):
    """Draws of the gold posterior.

    posterior: sites and couplings, and the scaled theta, each (chain, draw, ...); stats: of NUTS, (chain, draw);
    effective, khat: what the reference is worth at the posterior mean; verdict: of `judge_reference` there.
    """

    posterior: dict[str, np.ndarray]
    stats: dict[str, np.ndarray]
    effective: float
    khat: float
    verdict: Tail


def mean_terms(source: Source, terms: Terms, *, progress: bool = False) -> tuple[Vector, float]:
    """Average of the scaled terms over the networks of a source, (term,), and how many networks it is worth.

    Example:
        >>> from nnft.inference.ensembles.samples import Samples
        >>> from nnft.inference.equations.terms import terms_of
        >>> from nnft.models.actions.rungs import Local
        >>> two = Samples(np.array([[1.0], [2.0]]), np.zeros((1, 1)))
        >>> mean_terms(two, terms_of(Local(), np.eye(1), np.ones(1)))
        (array([2.5, 8.5]), 2.0)
    """
    weight, (values, square) = total(source, _term_sums(Frozen(terms)), progress=progress, what="terms")
    return values / weight, float(weight**2 / square)


@lru_cache(maxsize=8)
def _term_sums(frozen: Frozen[Terms]) -> Statistic:
    return lambda fields, weights: (weights @ frozen.tree.values(fields), weights @ weights)


def gold_model(names: Names, laws: Laws = ()) -> Callable[..., None]:
    """The NumPyro model (numbers, likelihood) -> None: the priors of `coupling_model`, the density of the fields.

    The numbers are those of `gold_equations`; their Gaussian likelihood is left out. Sites are those of
    `coupling_model`, and the scaled `theta`.
    """
    program = coupling_model(names, dict(laws))

    def model(given: Numbers, fields: Likelihood) -> None:
        with handlers.block(hide=["equations"]), handlers.trace() as seen:
            program(given)
        theta = numpyro.deterministic("theta", fields.solver @ seen["equations"]["fn"].mean)
        shift = (theta - fields.parts[0]) @ fields.tbar + log_ratio(theta, *fields.parts)
        numpyro.factor("fields", -fields.networks * shift)

    return model


def sample_gold(
    key: jax.Array,
    names: Names,
    laws: Laws,
    given: Numbers,
    reference: Reference,
    tbar: Vector,
    networks: float,
    *,
    chains: int = 4,
    warmup: int = 500,
    draws: int = 1000,
) -> Gold:
    """Draw the couplings given the fields, by NUTS in coordinates where the Fisher step makes a unit normal.

    Args:
        key: `jax.random.key(seed)`.
        names: couplings of the interaction, (name, how many), as for `coupling_model`.
        laws: priors that replace the default, (site, distribution).
        given: `likelihood.numbers` of `gold_equations` with this reference.
        reference: from `draw_reference` or `settled_reference`.
        tbar: average of the scaled terms over the networks, (term,).
        networks: n.
        chains: chains run at once, begun twice as wide as the posterior, for R-hat.
        warmup: steps to find the step size, thrown away.
        draws: steps kept of each chain.

    Raises:
        ValueError: a reference whose weights at the posterior mean do not converge (Pareto k-hat above 0.7).
    """
    tempered = networks / (1.0 + networks / reference.effective)
    with settled():
        model = gold_model(names, laws)
        numbers = Likelihood(tbar, np.float64(tempered), np.linalg.inv(given.design), parts_of(reference))
        arguments = jax.tree.map(jnp.asarray, (given, numbers))
        sites, centre, covariance = _coordinates(model, arguments)
        start_key, run_key = jax.random.split(key)
        unit = jax.random.normal(start_key, (chains, len(centre)))
        flat = centre + 2.0 * unit @ np.linalg.cholesky(covariance).T
        start = dict(zip(sites, jnp.split(flat, np.cumsum(list(sites.values()))[:-1], axis=1), strict=True))
        kernel = NUTS(
            model,
            dense_mass=True,
            inverse_mass_matrix=jnp.asarray(covariance),
            adapt_mass_matrix=False,
        )
        mcmc = MCMC(
            kernel,
            num_warmup=warmup,
            num_samples=draws,
            num_chains=chains,
            chain_method="vectorized",
            progress_bar=False,
            jit_model_args=True,
        )
        fields = ("diverging", "energy", "num_steps", "accept_prob", "potential_energy")
        mcmc.run(run_key, *arguments, init_params=start, extra_fields=fields)
        posterior = {name: np.asarray(v) for name, v in mcmc.get_samples(group_by_chain=True).items()}
        extra = {name: np.asarray(v) for name, v in mcmc.get_extra_fields(group_by_chain=True).items()}
    stats = {
        "diverging": extra["diverging"],
        "energy": extra["energy"],
        "n_steps": extra["num_steps"],
        "acceptance_rate": extra["accept_prob"],
        "lp": -extra["potential_energy"],
    }
    middle = posterior["theta"].mean(axis=(0, 1))
    verdict = judge_reference(reference, networks, middle)
    if verdict.verdict == "refused":
        raise ValueError(f"expected a reference that reaches the posterior, got: {verdict.why}")
    return Gold(posterior, stats, *weights_at(reference, middle), verdict)


def log_likelihood(
    terms: Terms, fields: Float[np.ndarray, "network point"], theta: Matrix, reference: Reference
) -> Float[np.ndarray, "draw network"]:
    """Log p(phi | theta) of single networks, up to the reference's log Z(pilot), for PSIS-LOO.

    Args:
        terms: terms of the action.
        fields: a thinned set of networks, (network, point): a few thousand.
        theta: a thinned set of scaled draws, (draw, term).
        reference: the one the draws were made with.

    Example, S = phi^2/2 at its own pilot, where log Z is the reference's:
        >>> from nnft.inference.equations.terms import terms_of
        >>> from nnft.models.actions.rungs import Local
        >>> terms = terms_of(Local(), np.eye(1), np.ones(1))
        >>> pilot = np.array([0.5, 0.0])
        >>> kept = np.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
        >>> ref = Reference(pilot, np.ones(2), np.eye(2), kept, 4, 4.0, "rejection", 1.0)
        >>> log_likelihood(terms, np.array([[2.0]]), pilot[None], ref).tolist()
        [[-2.0]]
    """
    with settled():
        action = jax.jit(jax.vmap(terms.action, in_axes=(None, 0)))(jnp.asarray(fields), jnp.asarray(theta))
        shift = jax.lax.map(log_partition(reference), jnp.asarray(theta))
        return np.asarray(-action - shift[:, None])


def _coordinates(model: Callable[..., None], arguments: tuple[Any, ...]) -> tuple[dict[str, int], Vector, Matrix]:
    """Sizes of the latent sites, and mean and covariance of the posterior where the Fisher step is exact.

    Theta is affine in the sites, theta = theta_0 + L sites, so mean and covariance follow from L, the prior of standard
    normal sites (a vague one where a prior was replaced) and the equations.
    """
    given = arguments[0]
    trace = handlers.trace(handlers.seed(model, jax.random.key(0))).get_trace(*arguments)
    latent = {k: s for k, s in sorted(trace.items()) if s["type"] == "sample" and not s["is_observed"]}
    sites = {name: int(np.prod(site["value"].shape)) for name, site in latent.items()}  # in the kernel's order
    edges = np.cumsum([0, *sites.values()])

    def theta(flat: jax.Array) -> jax.Array:
        values = {k: flat[a:b] for k, a, b in zip(sites, edges[:-1], edges[1:], strict=True)}
        with handlers.block():
            return handlers.trace(handlers.substitute(model, data=values)).get_trace(*arguments)["theta"]["value"]

    zero = jnp.zeros(edges[-1])
    offset, linear = np.asarray(theta(zero)), np.asarray(jax.jacfwd(theta)(zero))
    design = np.asarray(given.design) @ linear
    white = np.concatenate([np.full(n, float(name.endswith("_white"))) for name, n in sites.items()])
    covariance = np.linalg.inv(np.diag(white) + design.T @ design)
    centre = covariance @ design.T @ (np.asarray(given.observed) - np.asarray(given.design) @ offset)
    return sites, centre, 0.5 * (covariance + covariance.T)
