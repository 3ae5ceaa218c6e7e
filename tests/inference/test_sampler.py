"""The closed draws against the NumPyro program they stand for, site by site."""

import jax
import numpy as np

from nnft import models as m
from nnft.inference import Samples
from nnft.inference.methods.problem import prepare
from nnft.inference.posterior.fit import _numbers
from nnft.inference.posterior.sampler import (
    coordinates,
    default_sites,
    sample_closed,
    sample_prior,
    sites_at,
    turned_model,
)
from tests.oracles import planted
from tests.statistics import agree, disagree


def _given():
    fields = planted("lat", 0.1, 2).draw(2000, np.random.default_rng(1))
    problem = prepare(Samples(fields, np.arange(2.0)[:, None]), m.Bilocal(), metric=np.eye(2))
    return problem.names, _numbers(problem, problem.equations)


def test_sites_are_those_of_the_program():
    names, given = _given()
    origin, axes = coordinates(given, {})
    unit = np.random.default_rng(2).standard_normal(len(origin))
    with jax.enable_x64(True):
        expected = sites_at(turned_model(names, ()), jax.numpy.asarray(unit), given, origin, axes)
    made = default_sites((origin + axes @ unit)[None, None], names, given)
    assert list(made) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(made[name][0, 0], value, rtol=1e-10, atol=1e-12)


def test_draws_have_the_moments_of_their_laws():
    """40,000 draws: mean and variance of every coupling; a prior taken for the posterior (fault) is seen."""
    names, given = _given()
    origin, axes = coordinates(given, {})
    posterior, stats = sample_closed(jax.random.key(3), names, given, chains=4, draws=10_000)
    before = sample_prior(jax.random.key(4), names, (), given, draws=40_000)
    white = np.concatenate([posterior["quadratic_white"], posterior["quartic_white"]], axis=-1).reshape(-1, len(origin))
    covariance = axes @ axes.T
    agree(white.mean(axis=0), origin, np.sqrt(np.diag(covariance) / len(white)))
    agree(white.var(axis=0), np.diag(covariance), np.diag(covariance) * np.sqrt(2.0 / len(white)))
    first = np.concatenate([before["quadratic_white"], before["quartic_white"]], axis=-1)[0]
    agree(first.var(axis=0), 1.0, np.sqrt(2.0 / len(first)))
    disagree(first.var(axis=0), np.diag(covariance), np.sqrt(2.0 / len(first)))
    assert stats["lp"].shape == (4, 10_000)
