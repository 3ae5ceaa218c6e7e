"""An action of one's own from fit to page: phi^4 at each point and the squares of neighbours on a line, two couplings.

Planted by rejection from the free theory, which is exact: z of each coupling below 5, missed by one seed in 10^6; the
twin with the other sign of v is seen at more than 5.
"""

import jax
import numpy as np
import pytest

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m

POINTS = np.arange(4.0)[:, None]
TRUTH = np.array([0.15, 0.25])


class Neighbours(m.AbstractAction):
    """S = 1/2 phi K^-1 phi + g sum_a phi_a^4 + v sum_a phi_a^2 phi_{a+1}^2."""

    name = "action of neighbouring squares"
    formula = (
        r"S = \sum_{a\le b} q_{ab}\varphi_a\varphi_b + \sum_a [\,g\,\varphi_a^4 + \nu\,\varphi_a^2\varphi_{a+1}^2\,]"
    )
    meaning = r"The same $\nu$ couples the squares of every two neighbours."
    symbols = m.AbstractAction.symbols | {"v": m.Symbol(r"\nu", plain="nu")}

    def blocks(self, points):
        return {"g": np.zeros((1, 0), dtype=int), "v": np.zeros((1, 0), dtype=int)}

    def interaction(self, points, weights):
        a, b = np.arange(points), np.arange(points - 1)
        tuples = np.concatenate([np.stack([a, a, a, a], axis=1), np.stack([b, b, b + 1, b + 1], axis=1)])
        term = np.repeat([0, 1], [points, points - 1])
        return (m.Monomials(term, tuples, np.ones(len(term)), 2),)


def fields(count, theta):
    rng, kept = np.random.default_rng(1), []
    root = np.linalg.cholesky(np.exp(-np.abs(POINTS - POINTS.T)))
    while sum(map(len, kept)) < count:
        phi = rng.normal(size=(count, 4)) @ root.T
        action = theta[0] * np.sum(phi**4, axis=1) + theta[1] * np.sum(phi[:, 1:] ** 2 * phi[:, :-1] ** 2, axis=1)
        kept.append(phi[rng.random(count) < np.exp(-action)])
    return np.concatenate(kept)[:count]


@pytest.fixture(scope="module")
def fit():
    samples = inf.Samples(fields(20_000, TRUTH), POINTS)
    return inf.fit(samples, Neighbours(), key=jax.random.key(2), sampler="closed")


def distance(fit, truth):
    draws = np.concatenate([fit["posterior"][name].values for name in ("g", "v")], axis=-1).reshape(-1, 2)
    return np.abs(draws.mean(axis=0) - truth) / draws.std(axis=0)


def test_it_is_fitted(fit):
    assert np.all(distance(fit, TRUTH) < 5.0)
    assert distance(fit, TRUTH * [1.0, -1.0])[1] > 5.0


def test_it_has_checks_and_a_page_in_its_own_words(fit, tmp_path):
    checks = {check.name: check for check in an.diagnose(fit)}
    assert checks["draws unbounded below"].verdict == "pass"
    assert not [check for check in checks.values() if check.verdict == "fail"]
    page = an.report(fit, tmp_path / "out").read_text(encoding="utf-8")
    assert "Action of neighbouring squares of networks" in page
    assert "<mi>&#x003BD;</mi>" in page  # nu, in the formula and in the table
    assert "couples the squares of every two neighbours" in page
    assert "inf.fit(data, Neighbours(), key=jax.random.key(2)" in page
    assert "nu " in an.summary(an.load(tmp_path / "out"))


@pytest.mark.parametrize("forgotten", ["name", "formula", "blocks", "interaction"])
def test_what_is_forgotten_is_named(forgotten):
    rest = {
        name: value for name, value in vars(Neighbours).items() if name in ("name", "formula", "blocks", "interaction")
    }
    del rest[forgotten]
    with pytest.raises(TypeError, match=rf"Can't instantiate abstract class Half .*'{forgotten}'"):
        type("Half", (m.AbstractAction,), rest)()


def test_a_fit_of_a_class_that_is_not_here_says_so(fit, tmp_path):
    kept = fit.copy(deep=True)
    kept.attrs["action_home"] = "elsewhere:Neighbours"
    with pytest.raises(
        ValueError, match=r"expected the class of the action .*Neighbours of elsewhere, got none .*; try"
    ):
        an.summary(kept)


def test_options_that_no_file_can_hold_are_refused_before_any_work():
    class Shaped(Neighbours):
        law: object = None

    with pytest.raises(ValueError, match=r"expected options of Shaped that a file can hold, got .*; try"):
        inf.fit(inf.Samples(fields(1000, TRUTH), POINTS), Shaped(law=np.exp), key=jax.random.key(0))
