"""The networks of the suite by name: their defaults make a fit of couplings sensible, and what is said is so."""

import numpy as np
import pytest

from nnft.models import Network, exact, non_gaussianity
from nnft.models.analytic.exact import known_orders
from nnft.models.theories.registry import THEORIES, theory_named


def measured(theory):
    """Condition of the Gram matrix in the units of its diagonal, and eps4, at the defaults."""
    found = exact(theory.network(), theory.grid(), orders=(2, 4))
    kernel = found.tensor(2)
    scale = np.sqrt(np.diag(kernel))
    condition = np.linalg.cond(kernel / np.outer(scale, scale))
    return condition, non_gaussianity(found.connected(4), None, kernel)[0]


@pytest.mark.parametrize("name", THEORIES)
def test_defaults_are_a_theory_one_can_expand_around(name):
    """A Gram matrix that can be inverted in the units of its diagonal, and eps4 below the limit of `diagnose`."""
    condition, eps4 = measured(THEORIES[name])
    assert condition < 1e3
    assert eps4 < 0.3
    assert {2, 4} <= set(THEORIES[name].orders)


@pytest.mark.parametrize("name", THEORIES)
def test_what_the_file_says_is_what_the_network_is(name):
    """To the digits that are printed; only what is known in closed form has no error of quadrature."""
    theory = THEORIES[name]
    condition, eps4 = measured(theory)
    assert (theory.condition, theory.eps4) == (float(f"{condition:.3g}"), float(f"{eps4:.2f}"))
    assert theory.orders == known_orders(theory.network())
    about = exact(theory.network(), theory.grid(), orders=theory.orders).about
    assert theory.known.startswith("in closed form") == (about["rule"] == "closed form")
    assert max(about["relative_accuracy"].values()) < 1e-9
    assert name in (type(theory.neuron).__name__.lower(), "scalar")


def test_published_points_would_not_be():
    """The twin: the reasons given for the choices are true."""
    erf = exact(THEORIES["erf"].network(), np.linspace(-1, 1, 6)[:, None], orders=(2,)).tensor(2)
    scale = np.sqrt(np.diag(erf))
    assert np.linalg.cond(erf / np.outer(scale, scale)) > 5e3
    relu = exact(THEORIES["relu"].network(), THEORIES["cos"].grid(), orders=(2,)).tensor(2)
    assert np.linalg.matrix_rank(relu, hermitian=True) == 2
    near = exact(THEORIES["cos"].network(), np.linspace(-1.5, 1.5, 4)[:, None], orders=(2, 4))
    assert non_gaussianity(near.connected(4), None, near.tensor(2))[0] > 0.5


@pytest.mark.parametrize("name", THEORIES)
def test_everything_can_be_changed(name):
    theory = THEORIES[name]
    changed = theory.network(
        width=3, readout="uniform", output_scale=2.0, output_bias=0.1, scales=dict.fromkeys(theory.scales, 0.7)
    )
    neuron = type(theory.neuron)(**dict.fromkeys(theory.scales, 0.7))
    assert changed == Network(neuron, 3, "uniform", 2.0, 0.1)
    assert theory.network() == Network(theory.neuron, theory.width)


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"expected a network among cos, erf.*got 'gaus'; try 'gauss'"):
        theory_named("gaus")
    with pytest.raises(ValueError, match="expected a parameter of the cos neuron, weight_scale, got bias_scale; try"):
        theory_named("cos").network(scales={"bias_scale": 1.0})
