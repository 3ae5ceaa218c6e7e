"""The free scalar field: its network's moments against closed forms, enumeration and simulation."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from scipy import special

from nnft.models import Network, ScalarMode, ultraviolet
from nnft.models.combinatorics import connected_from_moments, sorted_tuples
from nnft.models.networks.momenta import box_integral, box_momenta, radial_integral
from tests.statistics import agree, disagree

FREE = ScalarMode(1.3, float("inf"))


def box(d, alpha=0.0):
    return ScalarMode(0.8, alpha=alpha, regulator="box", length=5.0, modes=6 if d == 1 else 3)


def lattice(d, alpha=0.0):
    return ScalarMode(0.8, alpha=alpha, regulator="lattice", length=5.0, modes=6 if d == 1 else 3)


def points_in(d, count=3):
    return np.random.default_rng(d).normal(size=(count, d))


# ---- moments --------------------------------------------------------------------------------------------------------


def through_the_neuron(neuron, points, order):
    """<s..s> by a product rule over the neuron's own sites: quantile or mode, direction and phase.

    The phase average of at most six cosines is exact with eight points.
    """
    d = points.shape[1]
    phases = 2 * np.pi * np.arange(8) / 8 - np.pi
    angles = 2 * np.pi * np.arange(72) / 72
    if neuron.length is not None:
        count = len(box_momenta(d, length=neuron.length, modes=neuron.modes))
        index, phase = (a.ravel() for a in np.meshgrid(np.arange(count), phases, indexing="ij"))
        sites, weight = {"momentum_mode": index, "phase": phase}, None
    else:
        x, w = np.polynomial.legendre.leggauss(100 if d < 3 else 24)
        if d == 1:
            direction, solid = np.ones((1, 1)), np.ones(1)
        elif d == 2:
            direction, solid = np.stack([np.cos(angles), np.sin(angles)], axis=1), np.full(72, 1 / 72)
        else:
            z, wz = np.polynomial.legendre.leggauss(36)
            flat = np.sqrt(1 - z[:, None] ** 2)
            vectors = [flat * np.cos(angles), flat * np.sin(angles), z[:, None] * np.ones(72)]
            direction = np.stack([v.ravel() for v in vectors], axis=1)
            solid = np.repeat(wz / 2, 72) / 72
        i, j, k = (
            a.ravel() for a in np.meshgrid(np.arange(len(x)), np.arange(len(solid)), np.arange(8), indexing="ij")
        )
        # The quantile is t^d: in the ball |p| ~ t, and the integrand is smooth in t.
        t = (1 + x) / 2
        weight = (d * t ** (d - 1) * w / 2)[i] * solid[j] / 8
        sites = {"momentum_quantile": (t**d)[i], "phase": phases[k]}
        if d > 1:
            sites["momentum_direction"] = 2.0 * direction[j]
    with jax.enable_x64(True):
        model = numpyro.handlers.substitute(neuron, {k: jnp.asarray(v) for k, v in sites.items()})
        with numpyro.handlers.trace() as trace, numpyro.plate("neuron", len(sites["phase"])):
            s = np.asarray(model(points))
        if weight is None:
            weight = np.exp(np.asarray(trace["momentum_mode"]["fn"].log_prob(sites["momentum_mode"]))) / 8
    return np.array([np.prod(s[:, row], axis=1) @ weight for row in sorted_tuples(len(points), order)])


@pytest.mark.parametrize(
    ("d", "neuron"),
    [
        (1, ScalarMode(1.3, 8.0)),
        (1, ScalarMode(1.3, 8.0, -1.0)),
        (2, ScalarMode(1.3, 6.0)),
        (2, ScalarMode(1.3, 6.0, -1.0)),
        (2, ScalarMode(1.3, 6.0, 0.7)),
        (3, ScalarMode(1.3, 4.0, -1.0)),
        *[(d, box(d, alpha)) for d in (1, 2) for alpha in (0.0, -1.0, 0.7)],
        (3, box(3, 1.0)),
        *[(d, lattice(d, alpha)) for d, alpha in ((1, 0.7), (2, 0.0), (2, -1.0))],
    ],
)
def test_moments_of_the_neuron_without_chance(d, neuron):
    points = 0.5 * points_in(d, 2 if d == 3 else 3)
    for order in (2, 4, 6)[: 2 if d == 3 else 3]:
        truth = through_the_neuron(neuron, points, order)
        value, error = neuron.moments(points, sorted_tuples(len(points), order))
        assert np.allclose(value, truth, rtol=0, atol=1e-9 * np.max(np.abs(truth)))
        assert error < 1e-10 * np.max(np.abs(truth))


@pytest.mark.parametrize("regulator", ["hard", "gaussian", "box"])
@pytest.mark.parametrize("alpha", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_four_point_function_of_the_literature(d, alpha, regulator):
    """G4c = (mu4/2) B - sum_P G2 G2 at N = 1; B = V/(2 pi)^d sum_P H (alpha = -1), G2(0) sum_P G2(q_P) (alpha = 0)."""
    neuron = box(d, alpha) if regulator == "box" else ScalarMode(1.3, 6.0, alpha, regulator=regulator)
    x, mu4 = points_in(d, 4), 9 / 5
    moments = {r: neuron.moments(x, sorted_tuples(4, r))[0] for r in (2, 4)}
    k = np.zeros((4, 4))
    k[tuple(sorted_tuples(4, 2).T)] = moments[2]
    k = np.maximum(k, k.T) + np.minimum(k, k.T) * (1 - np.eye(4))
    q = np.array([x[0] + x[1] - x[2] - x[3], x[0] + x[2] - x[1] - x[3], x[0] + x[3] - x[1] - x[2]])

    def at(power, vectors):
        m = neuron.mass
        if regulator == "box":
            return box_integral(vectors, power, mass=m, length=5.0, modes=neuron.modes)
        r = np.linalg.norm(vectors, axis=1)
        return radial_integral(r, power, d, mass=m, cutoff=neuron.cutoff, damped=regulator == "gaussian")[0]

    origin = np.zeros((1, d))
    b = at(-1.0 - alpha, origin)[0] * np.sum(at(alpha - 1.0, q))
    wick = k[0, 1] * k[2, 3] + k[0, 2] * k[1, 3] + k[0, 3] * k[1, 2]
    cumulant = connected_from_moments({2: moments[2], 4: mu4 * moments[4]}, 4, 4, even=True)
    distinct = [list(t) for t in sorted_tuples(4, 4)].index([0, 1, 2, 3])
    assert cumulant[distinct] == pytest.approx(mu4 / 2 * b - wick, rel=1e-9, abs=1e-12 * k[0, 0] ** 2)
    assert np.allclose(moments[2][0], at(-1.0, origin)[0], rtol=1e-12)


def test_without_a_cutoff_the_line_has_the_ornstein_uhlenbeck_kernel():
    r = np.array([0.0, 1.0, 2.7])
    value, error = FREE.moments(r[:, None], np.array([[0, 0], [0, 1], [0, 2]]))
    assert np.allclose(value, np.exp(-1.3 * r) / 2.6, rtol=1e-14)
    assert error == 0.0


def test_gaussian_regulator_in_the_plane_at_alpha_one():
    """<ssss> = B/2, B = w_1 sum_P (Lambda^2/2 pi) exp(-Lambda^2 q_P^2/2), w_1 = (1 - a e^a E1(a))/4 pi, m = 1."""
    cutoff, x = 5.0, 0.1 * points_in(2, 4)
    a = 1 / (2 * cutoff**2)
    pairings = [x[0] + x[1] - x[2] - x[3], x[0] + x[2] - x[1] - x[3], x[0] + x[3] - x[1] - x[2]]
    total = sum(np.exp(-(cutoff**2) * np.sum(q**2) / 2) for q in pairings) * cutoff**2 / (2 * np.pi)
    found, _ = ScalarMode(1.0, cutoff, 1.0, regulator="gaussian").moments(x, np.array([[0, 1, 2, 3]]))
    assert found[0] == pytest.approx((1 - a * np.exp(a) * special.exp1(a)) / (4 * np.pi) * total / 2, rel=1e-12)


@pytest.mark.parametrize("neuron", [ScalarMode(1.3, 6.0, 0.7), FREE, box(1, -1.0)])
def test_site_moments_are_the_coincident_moments(neuron):
    points = np.array([[0.2], [1.0]])
    for order in (2, 4, 6, 8):
        truth, _ = neuron.moments(points, np.array([[0] * order, [1] * order]))
        assert np.allclose(neuron.site_moment(points, order), truth, rtol=1e-12)
    assert neuron.moments(points, np.array([[0, 0, 1]])) == (np.zeros(1), 0.0)


def test_symmetries_of_the_propagator():
    """Translations, rotations and reflections: a box has the first only up to its own axes."""
    draw = np.random.default_rng(1)
    x = draw.normal(size=(3, 2))
    rotation = np.linalg.qr(draw.normal(size=(2, 2)))[0]
    quads = sorted_tuples(3, 4)
    for neuron in (ScalarMode(1.0, 8.0), ScalarMode(1.0, 8.0, -1.0, regulator="gaussian")):
        kept, error = neuron.moments(x, quads)
        assert np.allclose(neuron.moments(x @ rotation + draw.normal(size=2), quads)[0], kept, atol=2 * error)
    kept, error = box(2).moments(x, quads)
    assert np.allclose(box(2).moments(x + np.array([5.0, 0.3]), quads)[0], kept, atol=2 * error)
    assert not np.allclose(box(2).moments(x @ rotation, quads)[0], kept, rtol=1e-3)


def test_units_are_powers_of_the_mass():
    """[s^2] = mass^(d-2), lengths in 1/mass."""
    for d, regulator, alpha in product((1, 2, 3), ("hard", "gaussian"), (-1.0, 0.0, 1.0)):
        x, quads = points_in(d, 2), sorted_tuples(2, 4)
        one, _ = ScalarMode(1.0, 6.0, alpha, regulator=regulator).moments(x, quads)
        two, _ = ScalarMode(2.0, 12.0, alpha, regulator=regulator).moments(x / 2, quads)
        assert np.allclose(two, one * 2.0 ** (2 * (d - 2)), rtol=1e-11)


# ---- ultraviolet ----------------------------------------------------------------------------------------------------


def test_the_published_net_has_no_continuum_limit():
    """Printed: N kurtosis = 13.3, 142, 1431 at Lambda/m = 10, 100, 1000; closed: (9/2) L H/(atan L)^2 - 3."""
    cutoffs = np.array([10.0, 100.0, 1000.0])
    growth = ultraviolet(ScalarMode(alpha=-1.0), cutoffs, 1)
    assert [round(growth[0], 1), *growth[1:].round()] == [13.3, 142, 1431]
    h = (cutoffs / (1 + cutoffs**2) + np.arctan(cutoffs)) / 2
    assert np.allclose(growth, 4.5 * cutoffs * h / np.arctan(cutoffs) ** 2 - 3, rtol=1e-12)
    assert np.allclose(ultraviolet(ScalarMode(2.0, alpha=-1.0), 2 * cutoffs, 1), growth, rtol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_constant_amplitude_has_one(d):
    """(3/2) mu4 - 3 at every cutoff, and another alpha is not flat."""
    cutoffs = np.array([5.0, 500.0])
    for regulator, (readout, truth) in product(("hard", "gaussian"), (("gaussian", 1.5), ("rademacher", -1.5))):
        flat = ultraviolet(ScalarMode(regulator=regulator), cutoffs, d, readout=readout)
        assert np.allclose(flat, truth, rtol=1e-12)
        steep = ultraviolet(ScalarMode(alpha=-1.0, regulator=regulator), cutoffs, d, readout=readout)
        assert np.all(np.diff(steep) > 0.1)


# ---- simulation -----------------------------------------------------------------------------------------------------

DRAWS = 200_000


def changed(neuron, *, alpha):
    if neuron.length is not None:
        return ScalarMode(neuron.mass, alpha=alpha, regulator="box", length=neuron.length, modes=neuron.modes)
    return ScalarMode(neuron.mass, neuron.cutoff, alpha, regulator=neuron.regulator)


def strength(neuron, d):
    """Z_alpha/(2 pi)^d, the normalisation of the momenta."""
    if neuron.length is not None:
        square = np.sum(box_momenta(d, length=neuron.length, modes=neuron.modes) ** 2, axis=1) + neuron.mass**2
        return np.mean(square ** -(1 + neuron.alpha)) * ((2 * neuron.modes + 1) / neuron.length) ** d
    settings = {"mass": neuron.mass, "cutoff": neuron.cutoff, "damped": neuron.regulator == "gaussian"}
    return radial_integral(np.zeros(1), -1 - neuron.alpha, d, **settings)[0][0]


@pytest.mark.parametrize(
    ("d", "neuron"),
    [
        (1, ScalarMode(1.3, 6.0)),
        (1, ScalarMode(1.3, 6.0, -1.0)),
        (1, ScalarMode(1.3, 6.0, 1.0)),
        (1, ScalarMode(1.3, 6.0, regulator="gaussian")),
        (1, FREE),
        (1, box(1)),
        (2, ScalarMode(1.3, 6.0)),
        (2, ScalarMode(1.3, 6.0, 1.0, regulator="gaussian")),
        (2, box(2, -1.0)),
        (3, ScalarMode(1.3, 6.0)),
        (3, ScalarMode(1.3, 6.0, -1.0, regulator="gaussian")),
        (3, box(3, 0.5)),
    ],
)
def test_simulated_neurons_have_the_exact_moments(d, neuron):
    points = 0.4 * points_in(d, 2)
    with numpyro.handlers.seed(rng_seed=jax.random.key(11 + d)), numpyro.plate("neuron", DRAWS):
        s = np.asarray(neuron(points), dtype=float)
    assert s.shape == (DRAWS, 2)
    for order in (2, 4):
        tuples = sorted_tuples(2, order)
        products = np.stack([np.prod(s[:, row], axis=1) for row in tuples], axis=1)
        mean, se = products.mean(axis=0), products.std(axis=0) / np.sqrt(DRAWS)
        truth = neuron.moments(points, tuples)[0]
        agree(mean, truth, se)
        disagree(mean, truth / 2, se)  # a lost factor two: in A^2, or one sign choice of a pair
        disagree(mean, truth / strength(neuron, d) ** (order / 2), se)  # Z_alpha/(2 pi)^d forgotten in A^2
        if order == 4 and np.isfinite(neuron.cutoff):
            disagree(mean, changed(neuron, alpha=neuron.alpha + 1.0).moments(points, tuples)[0], se)


def test_a_network_of_modes():
    network = Network(ScalarMode(1.0, 10.0), width=7)
    points = points_in(2)
    trace = numpyro.handlers.trace(numpyro.handlers.seed(network, jax.random.key(0))).get_trace(points)
    assert trace["momentum"]["value"].shape == (7, 2)
    assert trace["phase"]["value"].shape == trace["momentum_quantile"]["value"].shape == (7,)
    assert np.all(np.linalg.norm(trace["momentum"]["value"], axis=1) <= 10.0)
    again = jax.jit(lambda key: numpyro.handlers.seed(network, key)(points))(jax.random.key(0))
    assert np.allclose(again, trace["phi"]["value"], rtol=1e-4, atol=1e-5)
    boxed = numpyro.handlers.seed(Network(box(2), width=7), jax.random.key(0))(points)
    assert np.all(np.isfinite(boxed))
    assert ScalarMode(1.0, 10.0) == ScalarMode() != ScalarMode(alpha=-1.0)


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mass": 0.0}, r"expected mass to be finite and > 0, got 0.0: 1/p\^2 is not integrable at p = 0"),
        ({"mass": -1.0}, "expected mass to be finite and > 0, got -1.0"),
        ({"mass": "light"}, "expected mass to be a number, got 'light'"),
        ({"cutoff": 0.0}, "expected cutoff to be > 0, got 0.0"),
        ({"cutoff": float("nan")}, "expected cutoff to be > 0, got nan"),
        ({"cutoff": float("inf"), "alpha": -1.0}, "expected a finite cutoff for regulator 'hard' and alpha = -1.0"),
        ({"cutoff": float("inf"), "regulator": "gaussian"}, "expected a finite cutoff for regulator 'gaussian'"),
        ({"alpha": float("inf")}, "expected alpha to be finite"),
        ({"alpha": 20.0}, "within 30 decades, got 40 at alpha = 20.0"),
        (
            {"regulator": "gauss"},
            "expected regulator to be one of hard, gaussian, box, lattice, got 'gauss'; try 'gaussian'",
        ),
        ({"regulator": "box"}, "expected length and modes of the box, got length=None, modes=None"),
        ({"regulator": "box", "length": 5.0, "modes": 0}, "expected modes.*integer >= 1, got 0"),
        ({"regulator": "box", "length": 5.0, "modes": 2.5}, "expected modes.*integer >= 1, got 2.5"),
        ({"regulator": "box", "length": -5.0, "modes": 2}, "expected length to be finite and > 0, got -5.0"),
        ({"regulator": "box", "length": 5.0, "modes": 2, "cutoff": 9.0}, "no cutoff beside the box's own 2.51327"),
        ({"length": 5.0}, "expected length and modes for the box only, got them for 'hard'"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ScalarMode(**settings)


def test_points_that_are_refused():
    pairs = np.array([[0, 0], [0, 1]])
    with pytest.raises(ValueError, match=r"expected a finite cutoff in d = 2, where G2\(0\) diverges"):
        FREE.moments(points_in(2), pairs)
    with pytest.raises(ValueError, match=r"expected a finite cutoff in d = 2"):
        numpyro.handlers.seed(FREE, jax.random.key(0))(points_in(2))
    with pytest.raises(ValueError, match="expected points in dimension 1 to 4, got 5; try regulator='box'"):
        ScalarMode().moments(points_in(5), pairs)
    with pytest.raises(ValueError, match="expected at most 1048576 momenta, got"):
        ScalarMode(regulator="box", length=1.0, modes=60).moments(points_in(3), pairs)
    with pytest.raises(ValueError, match="expected cutoff times separation below about 1e7, got 1e"):
        ScalarMode(cutoff=1e5).moments(np.array([[0.0], [1e5]]), pairs)
    with pytest.raises(ValueError, match="expected regulator 'hard' or 'gaussian', got 'box'"):
        ultraviolet(box(1), np.array([10.0]), 1)
    with pytest.raises(ValueError, match="expected readout to be one of"):
        ultraviolet(ScalarMode(), np.array([10.0]), 1, readout="gausian")
