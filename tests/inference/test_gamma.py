"""The Gamma method: the sums of the paper, an autocorrelation time that is known, and errors that are the scatter."""

import numpy as np
import pytest

from nnft import inference as inf
from tests.statistics import agree, disagree


def autoregression(rho, chains, draws, rng):
    """a' = rho a + noise from its equilibrium, variance one: tau_int = (1 + rho)/(2 (1 - rho))."""
    a = np.empty((chains, draws))
    a[:, 0] = rng.normal(size=chains)
    noise = np.sqrt(1 - rho**2) * rng.normal(size=(chains, draws))
    for t in range(1, draws):
        a[:, t] = rho * a[:, t - 1] + noise[:, t]
    return a


def variance_of_mean(rho, draws):
    """Exactly, of one chain: (1/n) [1 + 2 sum_t (1 - t/n) rho^t]."""
    t = np.arange(1, draws)
    return (1 + 2 * np.sum((1 - t / draws) * rho**t)) / draws


def test_the_sums_are_those_of_the_paper():
    """Written down once more, chain by chain and lag by lag."""
    a = autoregression(0.7, 3, 200, np.random.default_rng(0))
    found = inf.gamma_method(a)
    chains, draws = a.shape
    total, delta = a.size, a - a.mean()
    gamma = [
        sum(delta[r, i] * delta[r, i + t] for r in range(chains) for i in range(draws - t)) / (total - chains * t)
        for t in range(100)
    ]
    for window in range(1, 100):
        tau = 0.5 + sum(gamma[1 : window + 1]) / gamma[0]
        decay = 1.5 / np.log((2 * tau + 1) / (2 * tau - 1))
        if np.exp(-window / decay) - decay / np.sqrt(window * total) < 0:
            break
    gamma = np.array(gamma) + (gamma[0] + 2 * sum(gamma[1 : window + 1])) / total
    both = gamma[0] + 2 * gamma[1 : window + 1].sum()
    assert found.window == window
    np.testing.assert_allclose(found.mean, a.mean(), rtol=1e-13)
    np.testing.assert_allclose(found.error, np.sqrt(both / total), rtol=1e-12)
    np.testing.assert_allclose(found.tau, both / (2 * gamma[0]), rtol=1e-12)
    np.testing.assert_allclose(found.tau_error, 2 * found.tau * np.sqrt((window + 0.5 - found.tau) / total), rtol=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_autocorrelation_times_and_errors_are_known(rho):
    chains, draws = 200, 1000
    found = inf.gamma_method(autoregression(rho, chains, draws, np.random.default_rng(1)))
    tau, error = (1 + rho) / (2 * (1 - rho)), np.sqrt(variance_of_mean(rho, draws) / chains)
    agree(found.tau, tau, max(found.tau_error, 1e-3), family=1e-5)
    agree(found.error, error, 1.5 * found.error_of_error, family=1e-5)
    agree(found.mean, 0.0, found.error)
    if rho:  # the planted fault: draws counted as independent
        disagree(1 / np.sqrt(chains * draws), error, found.error_of_error)


def test_errors_cover():
    """400 short runs of 4 chains: z has mean square 1, of which 400 Gaussian ones miss by sqrt(2/400)."""
    runs = autoregression(0.6, 1600, 250, np.random.default_rng(2)).reshape(400, 4, 250)
    found = [inf.gamma_method(run) for run in runs]
    z = np.array([one.mean / one.error for one in found])
    agree(np.mean(z**2), 1.0, np.sqrt(2 / 400) * 1.2)
    naive = runs.mean(axis=(1, 2)) / (runs.std(axis=(1, 2)) / np.sqrt(1000))
    disagree(np.mean(naive**2), 1.0, np.sqrt(2 / 400) * 1.2)


def test_functions_of_averages_follow_their_gradient():
    """Of a and b = a + small noise the ratio of means has the error of the noise only."""
    rng = np.random.default_rng(3)
    a = autoregression(0.8, 50, 400, rng) + 10.0
    noise = 0.01 * rng.normal(size=a.shape)
    found = inf.gamma_method(np.stack([a, a + noise], axis=-1), lambda means: means[1] / means[0])
    agree(found.error, 0.01 / 10.0 / np.sqrt(a.size), 5 * found.error_of_error)
    agree(found.tau, 0.5, 0.1)
    square = inf.gamma_method(np.stack([a], axis=-1), lambda means: means[0] ** 2)
    np.testing.assert_allclose(square.error, 2 * abs(a.mean()) * inf.gamma_method(a).error, rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (np.zeros((2, 3)), "at least 8 draws, got shape"),
        (np.zeros((2, 30, 2)), "expected values"),
        (np.ones((2, 30)), "values that vary, got 1"),
        (np.full((2, 30), np.nan), "finite values"),
        (np.repeat(np.arange(10.0)[:, None], 30, axis=1), "twice the window, got 30 draws and tau_int = 15.5"),
    ],
)
def test_what_has_no_error_is_refused(values, complaint):
    with pytest.raises(ValueError, match=complaint):
        inf.gamma_method(values)


def test_it_says_what_it_found():
    said = str(inf.gamma_method(autoregression(0.5, 10, 500, np.random.default_rng(4))))
    assert "tau_int 1.5" in said or "tau_int 1.4" in said or "tau_int 1.6" in said
    assert "independent draws" in said
