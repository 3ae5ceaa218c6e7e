"""Somebody else's lattice: configurations of phi^4 from an independent generator, in a file, give their couplings."""

from functools import cache
from importlib import import_module

import jax
import numpy as np
import pytest
from scipy import stats

from nnft.analysis import cli, load
from nnft.inference import Samples, fit
from nnft.models import LatticePhi4, convert_lattice
from tests.lattice_oracle import Lattice
from tests.statistics import agree, disagree, limit

SHAPE = (8, 8)
NAMES = ("kappa", "m2", "coupling")
FAMILY = 2e-4  # three numbers within 4 sd: one false alarm in 5000 runs
GRID = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0), indexing="ij"), axis=-1).reshape(-1, 2)


@cache
def drawn(coupling, *, kappa=1.0, count=2000, seed=7):
    return Lattice(SHAPE, -4.0, coupling, kappa=kappa).draw(count, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """(coupling, kappa) -> the fit of `nnft fit` to 2000 configurations in a file; NUTS and figures for the first."""
    folder, found = tmp_path_factory.mktemp("lattice"), {}
    np.save(folder / "grid.npy", GRID)
    for coupling, kappa in ((8.0, 1.0), (6.0, 1.0), (6.0, 0.5)):
        file, out = folder / f"{coupling}-{kappa}.npy", folder / f"{coupling}-{kappa}"
        np.save(file, drawn(coupling, kappa=kappa))
        words = f"fit {file} --points {folder / 'grid.npy'} --action lattice_phi4 --set shape=[8,8] -o {out} --quiet"
        with pytest.MonkeyPatch.context() as patch:
            if found:
                words += " --sampler closed"
                patch.setattr(import_module("nnft.analysis.pages.report"), "page", lambda fit, checks: "<p>page</p>")
            assert cli.main(words.split()) == 0
        assert {one.name for one in out.iterdir()} == {"index.html", "summary.json", "fit.nc"}
        found[coupling, kappa] = load(out)
    return found


def numbers(tree):
    """Posterior mean and covariance of kappa, m2, coupling."""
    draws = np.stack([tree["posterior"][name].values.ravel() for name in NAMES])
    return draws.mean(axis=1), np.cov(draws)


def score_matching(configurations):
    """Estimate, sandwich and naive covariance of kappa, m2, coupling with W = 1, in plain NumPy."""
    volume, n = configurations.shape[1], len(configurations)
    phi = configurations.T.reshape(*SHAPE, n)
    laplacian = sum(np.roll(phi, step, axis) for axis in (0, 1) for step in (1, -1)) - 4.0 * phi
    gradient = np.stack([-2.0 * laplacian, 2.0 * phi, 4.0 * phi**3]).reshape(3, volume, n)
    a = np.einsum("kvn,lvn->nkl", gradient, gradient)
    b = np.stack([np.full(n, 8.0 * volume), np.full(n, 2.0 * volume), 12.0 * np.sum(configurations**2, axis=1)], axis=1)
    theta = np.linalg.solve(a.mean(axis=0), b.mean(axis=0))
    inverse = np.linalg.inv(a.mean(axis=0))
    return theta, inverse @ np.cov((a @ theta - b).T) @ inverse / n, inverse / n


@pytest.mark.parametrize("coupling", [8.0, 6.0])
def test_the_couplings_come_back(fitted, coupling):
    mean, covariance = numbers(fitted[coupling, 1.0])
    assert limit(3, family=FAMILY) == pytest.approx(4.0, abs=0.05)
    agree(mean, (1.0, -4.0, coupling), np.sqrt(np.diag(covariance)), family=FAMILY)
    assert np.all(np.sqrt(np.diag(covariance)) < np.array([0.02, 0.1, 0.2]))  # and are known to a few per cent


def test_another_convention_is_seen(fitted):
    """Configurations of 1/2 (d phi)^2 are not those of (d phi)^2, at the same sample size; they are their own."""
    mean, covariance = numbers(fitted[6.0, 0.5])
    error = np.sqrt(np.diag(covariance))
    disagree(mean, (1.0, -4.0, 6.0), error, family=FAMILY)
    agree(mean, (0.5, -4.0, 6.0), error, family=FAMILY)


def test_conventions_and_errors_after_the_fit(fitted):
    """1/2 (d phi)^2 + m2/2 phi^2 + lambda phi^4 and the hopping form, with errors; a wrong reading fails."""
    mean, covariance = numbers(fitted[8.0, 1.0])
    values = dict(zip(NAMES, mean.tolist(), strict=True))
    for name, truth, fault in (
        ("half", (-4.0, 2.0), (-4.0, 8.0)),  # lambda read without the rescaling of the field
        ("hopping", (0.25, 0.5), (0.5, 0.5)),
    ):
        found = convert_lattice(values, "plain", name, covariance=covariance)
        errors = list(found.errors.values())
        agree(list(found.values.values()), truth, errors, family=FAMILY)
        disagree(list(found.values.values()), fault, errors, family=FAMILY)
    draws = np.stack([fitted[8.0, 1.0]["posterior"][name].values.ravel() for name in NAMES], axis=1)
    each = [convert_lattice(dict(zip(NAMES, d.tolist(), strict=True)), "plain", "hopping").values for d in draws[::10]]
    spread = [np.std([one[name] for one in each]) for name in ("kappa", "coupling")]
    known = 1.0 / np.sqrt(2 * len(each))  # how well so many draws know a standard deviation
    agree(np.divide(errors, spread), 1.0, np.full(2, known), family=FAMILY)
    disagree(2.0 * np.divide(errors, spread), 1.0, np.full(2, 2.0 * known), family=FAMILY)


def test_the_fit_is_score_matching_to_the_last_digit(fitted):
    """The estimate behind the posterior is that of ten lines of NumPy; the sandwich too, to its own noise."""
    constants = fitted[6.0, 1.0]["constant_data"]
    factors = constants["factors"].values
    theta, sandwich, _ = score_matching(drawn(6.0))
    np.testing.assert_allclose(constants["estimate"].values / factors, theta, rtol=1e-7)
    np.testing.assert_allclose(constants["sandwich_error"].values / factors, np.sqrt(np.diag(sandwich)), rtol=0.02)


def test_the_sandwich_covers_and_the_naive_error_does_not():
    """40 times 250 configurations: the sum of squared Mahalanobis distances has 1e-6 < p < 1 - 1e-6 if C is right."""
    configurations = drawn(8.0, count=10_000, seed=8).reshape(40, 250, -1)
    distance = {"sandwich": 0.0, "naive": 0.0}
    for part in configurations:
        theta, *covariances = score_matching(part)
        off = theta - (1.0, -4.0, 8.0)
        for name, covariance in zip(distance, covariances, strict=True):
            distance[name] += off @ np.linalg.solve(covariance, off)
    assert 1e-6 < stats.chi2.sf(distance["sandwich"], 120) < 1 - 1e-6
    assert stats.chi2.sf(distance["naive"], 120) < 1e-6


def test_the_shape_must_be_that_of_the_file(tmp_path):
    np.save(tmp_path / "few.npy", drawn(8.0, count=200))
    with pytest.raises(ValueError, match=r"expected 36 points for .*\(6, 6\), got 64"):
        fit(Samples(tmp_path / "few.npy", GRID), LatticePhi4(shape=(6, 6)), key=jax.random.key(0))
