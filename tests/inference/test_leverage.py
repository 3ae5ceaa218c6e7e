"""Networks without a voice in their own equations: the jackknife done by hand, network after network."""

import jax
import numpy as np
import pytest

from nnft import inference as inf
from nnft import models as m
from nnft.inference.equations import from_moments as score
from nnft.inference.equations.from_moments import equations
from nnft.inference.equations.terms import embed, terms_of
from nnft.models.combinatorics import sorted_tuples
from tests.oracles import planted

NETWORKS, POINTS = 60, 2


@pytest.fixture(scope="module")
def fields():
    return planted("lat", 0.1, POINTS).draw(NETWORKS, np.random.default_rng(3))


def _psi(fields, terms, theta):
    with jax.enable_x64(True):
        return np.asarray(terms.residuals(fields, theta))


def _equations(fields, action, rich=None):
    """A, b, B of these networks in a metric that does not depend on them."""
    metric = planted("lat", 0.1, POINTS).covariance
    terms = terms_of(action, metric, np.ones(POINTS))
    wide = None if rich is None else terms_of(rich, metric, np.ones(POINTS))
    samples = inf.Samples(fields, np.arange(float(POINTS))[:, None], independent=True)
    tables = {r: sorted_tuples(POINTS, r) for r in (2, 4, 6)}
    moments = {r: np.mean(np.prod(fields[:, table], axis=-1), axis=0) for r, table in tables.items()}
    data = m.Correlators(samples.points, moments, {}, networks=float(len(fields)), source=samples)
    size = terms.size
    return (
        terms,
        wide,
        equations(data, terms, pilot_precision=np.zeros((size, size)), pilot_centre=np.zeros(size), full=wide),
    )


def _by_hand(fields, terms):
    """Estimates without each network, from A and b of the others: (network, term)."""
    zero = np.zeros(terms.size)
    minus_b = _psi(fields, terms, zero)
    columns = np.stack([_psi(fields, terms, e) - minus_b for e in np.eye(terms.size)], axis=-1)
    whole, vector = columns.sum(axis=0), -minus_b.sum(axis=0)
    return (
        np.array([np.linalg.solve(whole - a, vector + b) for a, b in zip(columns, minus_b, strict=True)]),
        columns,
        minus_b,
    )


def test_the_sandwich_of_few_networks_is_the_jackknife(fields, monkeypatch):
    """Exact: the equations are linear. Without it (fault) the errors are too small together."""
    terms, _, (found, _) = _equations(fields, m.Bilocal())
    alone, _, _ = _by_hand(fields, terms)
    off = alone - alone.mean(axis=0)
    # sum over i, times the n/(n-1) of a covariance; psi left out are n A delta
    jackknife = off.T @ off * NETWORKS / (NETWORKS - 1)
    np.testing.assert_allclose(found.sandwich, jackknife, rtol=1e-8, atol=1e-12 * np.abs(jackknife).max())
    monkeypatch.setattr(score, "matters", lambda *_: False)
    _, _, (plain, _) = _equations(fields, m.Bilocal())
    volumes = [np.linalg.slogdet(c)[1] for c in (plain.sandwich, jackknife)]
    assert volumes[0] < volumes[1] - 1.0  # of the ellipsoid of all couplings, squared: smaller by a factor e at least


def test_so_are_the_equations_of_terms_that_the_action_does_not_hold(fields):
    terms, wide, (found, rich) = _equations(fields, m.Local(), m.FullQuartic())
    up = embed(terms, wide)
    alone, _, _ = _by_hand(fields, terms)
    _, columns, minus_b = _by_hand(fields, wide)
    whole = columns.sum(axis=0), minus_b.sum(axis=0)
    left = [
        ((whole[0] - a) @ (up.T @ theta) + whole[1] - b) / (NETWORKS - 1)
        for a, b, theta in zip(columns, minus_b, alone, strict=True)
    ]
    outside = np.linalg.svd(up)[2][terms.size :]
    r = np.array(left) @ outside.T
    off = r - r.mean(axis=0)
    project = outside @ (np.eye(wide.size) - rich.matrix @ up.T @ np.linalg.inv(found.matrix) @ up)
    covariance = project @ rich.noise @ project.T / NETWORKS
    np.testing.assert_allclose(covariance, off.T @ off * (NETWORKS - 1) ** 2 / NETWORKS / (NETWORKS - 1), rtol=1e-6)


def test_networks_of_weight_zero_change_nothing():
    """Padding of the last group: 60 networks in a piece of 60, and 61 in pieces that do not divide."""
    fields = planted("lat", 0.1, POINTS).draw(61, np.random.default_rng(5))
    terms, _, (found, _) = _equations(fields, m.Constant())
    alone, _, _ = _by_hand(fields, terms)
    off = alone - alone.mean(axis=0)
    np.testing.assert_allclose(found.sandwich, off.T @ off * 61 / 60, rtol=1e-8)
