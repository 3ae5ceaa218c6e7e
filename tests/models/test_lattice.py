"""Conventions of lattice phi^4: S itself, written out form by form, is the judge of the map between them."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from nnft.models import LATTICE_CONVENTIONS, convert_lattice
from tests.lattice_oracle import REFERENCE, Lattice, flat, observables
from tests.statistics import agree, disagree

NAMES = list(LATTICE_CONVENTIONS)
ARRAYS = {  # couplings of the same theory need not be: any numbers of a convention are a theory
    "plain": {"kappa": 0.7, "m2": -1.3, "coupling": 2.1},
    "unit": {"m2": -4.0, "coupling": 8.0},
    "half": {"m2": -1.1, "coupling": 0.4},
    "half_quarter": {"m2": 0.3, "coupling": 1.7},
    "half_factorial": {"m2": -0.8, "coupling": 5.0},
    "hopping": {"kappa": 0.19, "coupling": 1.1},
    "hopping_expanded": {"kappa": 0.33, "coupling": 0.02},
    "hopping_beta": {"beta": 0.5, "coupling": 0.6},
}


def written_out(name, values, phi):
    """S of configurations (configuration, *sites), term by term as textbooks print it."""
    axes = tuple(range(1, phi.ndim))
    ahead = [np.roll(phi, -1, axis) for axis in axes]
    gradient, neighbours = sum((a - phi) ** 2 for a in ahead), sum(a * phi for a in ahead)
    c = values["coupling"]
    density = {
        "plain": lambda: values["kappa"] * gradient + values["m2"] * phi**2 + c * phi**4,
        "unit": lambda: gradient + values["m2"] * phi**2 + c * phi**4,
        "half": lambda: gradient / 2 + values["m2"] / 2 * phi**2 + c * phi**4,
        "half_quarter": lambda: gradient / 2 + values["m2"] / 2 * phi**2 + c / 4 * phi**4,
        "half_factorial": lambda: gradient / 2 + values["m2"] / 2 * phi**2 + c / 24 * phi**4,
        "hopping": lambda: -2 * values["kappa"] * neighbours + phi**2 + c * (phi**2 - 1) ** 2,
        "hopping_expanded": lambda: -2 * values["kappa"] * neighbours + (1 - 2 * c) * phi**2 + c * phi**4,
        "hopping_beta": lambda: -values["beta"] * neighbours + phi**2 + c * (phi**2 - 1) ** 2,
    }[name]()
    return density.sum(axis=axes)


def mismatch(frm, to, found, phi):
    """Largest difference of S'(Z phi) and S(phi) + constant V, relative to the spread of S."""
    before = written_out(frm, ARRAYS[frm], phi)
    after = written_out(to, found.values, found.field_scale * phi)
    return np.max(np.abs(after - before - found.constant * phi[0].size)) / np.std(before)


@pytest.mark.parametrize("shape", [(6,), (4, 5), (3, 4, 3)], ids=["d=1", "d=2", "d=3"])
@pytest.mark.parametrize(("frm", "to"), list(permutations(NAMES, 2)))
def test_the_action_is_the_same_for_every_configuration(frm, to, shape):
    phi = np.random.default_rng(0).normal(size=(50, *shape))
    found = convert_lattice(ARRAYS[frm], frm, to, dimensions=len(shape))
    assert mismatch(frm, to, found, phi) < 1e-12
    # planted faults: a factor two in any coupling, a field that is not rescaled, a constant that is lost
    for name in found.values:
        doubled = replace(found, values=dict(found.values) | {name: 2.0 * found.values[name]})
        assert mismatch(frm, to, doubled, phi) > 1e-3
    if abs(found.field_scale - 1.0) > 1e-9:
        assert mismatch(frm, to, replace(found, field_scale=1.0), phi) > 1e-3
    if abs(found.constant) > 1e-9:
        assert mismatch(frm, to, replace(found, constant=0.0), phi) > 1e-3


@pytest.mark.parametrize(("frm", "to"), [(f, t) for f, t in permutations(NAMES, 2) if "plain" not in (f, t)])
def test_round_trips(frm, to):
    there = convert_lattice(ARRAYS[frm], frm, to, dimensions=3)
    back = convert_lattice(there.values, to, frm, dimensions=3)
    assert back.values == pytest.approx(ARRAYS[frm], rel=1e-12)
    assert there.field_scale * back.field_scale == pytest.approx(1.0, rel=1e-12)
    assert there.constant + back.constant == pytest.approx(0.0, abs=1e-12)
    wrong = convert_lattice(there.values, to, frm, dimensions=2)
    if ("hopping" in frm) != ("hopping" in to):  # planted fault: the number of dimensions
        assert wrong.values != pytest.approx(ARRAYS[frm], rel=1e-2)


def test_known_numbers():
    """Conventions as their papers print them: 2 kappa = beta, lambda/4 and lambda/4! are 4 and 24 lambda."""
    values = {"m2": -4.0, "coupling": 8.0}
    assert convert_lattice(values, "unit", "half").values == pytest.approx({"m2": -4.0, "coupling": 2.0})
    assert convert_lattice(values, "unit", "half_quarter").values == pytest.approx({"m2": -4.0, "coupling": 8.0})
    assert convert_lattice(values, "unit", "half_factorial").values == pytest.approx({"m2": -4.0, "coupling": 48.0})
    ising = convert_lattice({"kappa": 0.2, "coupling": 1.145}, "hopping", "hopping_beta")
    assert ising.values == {"beta": 0.4, "coupling": 1.145}
    # m2 = (1 - 2 lambda)/kappa - 2 d and lambda/(4 kappa^2), the map every hopping paper prints for "half"
    to_half = convert_lattice({"kappa": 0.2, "coupling": 0.3}, "hopping", "half", dimensions=4)
    assert to_half.values == pytest.approx({"m2": 0.4 / 0.2 - 8, "coupling": 0.3 / (4 * 0.2**2)})
    assert to_half.field_scale == pytest.approx((2 * 0.2) ** 0.5)


@pytest.mark.parametrize(("frm", "to"), list(permutations(NAMES, 2)))
def test_errors_are_carried_by_the_derivative_of_the_map(frm, to):
    """The carried covariance is J C J^T with J by central differences; a lost cross term is seen."""
    names = LATTICE_CONVENTIONS[frm].names
    root = 0.01 * np.random.default_rng(1).normal(size=(len(names), len(names)))
    covariance = root @ root.T
    found = convert_lattice(ARRAYS[frm], frm, to, dimensions=2, covariance=covariance)
    columns = []
    for name in names:
        up, down = (
            convert_lattice(ARRAYS[frm] | {name: ARRAYS[frm][name] + s}, frm, to, dimensions=2) for s in (1e-5, -1e-5)
        )
        ends = [np.array([*end.values.values(), end.field_scale]) for end in (up, down)]
        columns.append((ends[0] - ends[1]) / 2e-5)
    jacobian = np.stack(columns, axis=1)
    carried = jacobian @ covariance @ jacobian.T
    np.testing.assert_allclose(found.covariance, carried[:-1, :-1], rtol=1e-6, atol=1e-14)
    np.testing.assert_allclose(found.field_scale_error, np.sqrt(carried[-1, -1]), rtol=1e-6, atol=1e-14)
    fault = jacobian @ np.diag(np.diag(covariance)) @ jacobian.T
    assert not np.allclose(found.covariance, fault[:-1, :-1], rtol=1e-3, atol=0)


def test_the_formula_stands_beside_every_number():
    found = convert_lattice(ARRAYS["unit"], "unit", "hopping", covariance=np.diag([0.01, 0.04]))
    text = str(found)
    assert LATTICE_CONVENTIONS["hopping"].formula in text
    assert "d = 2" in text
    for name, error in found.errors.items():
        assert f"{name} = {found.values[name]:.6g} +- {error:.2g}" in text
    assert "+-" not in str(convert_lattice(ARRAYS["unit"], "unit", "half"))


@pytest.mark.parametrize(
    ("values", "frm", "to", "options", "message"),
    [
        (ARRAYS["unit"], "unit", "halve", {}, "got 'halve'; try 'half'"),
        (ARRAYS["unit"], "phi4", "half", {}, "expected a convention among plain, unit"),
        ({"m2": 1.0, "lambda": 1.0}, "half", "unit", {}, "expected the couplings m2, coupling .* got m2, lambda"),
        ({"m2": np.nan, "coupling": 1.0}, "half", "unit", {}, "expected finite couplings"),
        (ARRAYS["unit"], "unit", "half", {"dimensions": 0}, "expected dimensions"),
        ({"kappa": -0.1, "coupling": 1.0}, "hopping", "half", {}, "positive sign .* got K = -0.1"),
        ({"m2": -6.0, "coupling": 0.0}, "unit", "hopping", {}, "got Q = -2 and B = 0"),
        ({"m2": 1.0, "coupling": -9.0}, "unit", "hopping", {}, "got Q = 5 and B = -9"),
        (ARRAYS["unit"], "unit", "half", {"covariance": np.eye(3)}, r"got shape \(3, 3\)"),
        (ARRAYS["unit"], "unit", "half", {"covariance": -np.eye(2)}, "got smallest eigenvalue -1"),
    ],
)
def test_what_cannot_be_converted_is_refused(values, frm, to, options, message):
    with pytest.raises(ValueError, match=message):
        convert_lattice(values, frm, to, **options)


@pytest.mark.parametrize(("shape", "coupling"), list(REFERENCE))
def test_the_independent_generator_meets_the_reference(shape, coupling):
    """2000 configurations, <phi^2> and chi at a family-wise false-alarm rate of 1e-6; the twin takes 1/2 (d phi)^2."""
    value, error = REFERENCE[shape, coupling]
    rng = np.random.default_rng(3)
    found, se = observables(Lattice(shape, -4.0, coupling).draw(2000, rng, trajectories=60))
    agree(found, value, (se, error))
    wrong, se = observables(Lattice(shape, -4.0, coupling, kappa=0.5).draw(2000, rng, trajectories=60))
    disagree(wrong, value, (se, error))


def test_the_generator_forgets_its_start():
    """From white noise and from an ordered start; too few trajectories are seen."""
    lattice, rng = Lattice((8, 8), -4.0, 6.008), np.random.default_rng(4)
    ends = {}
    for trajectories in (10, 60):
        for ordered in (False, True):
            phi, accepted = lattice.run(lattice.start(1000, rng, ordered=ordered), rng, trajectories=trajectories)
            ends[trajectories, ordered] = observables(flat(phi))
    assert 0.5 < accepted < 0.99
    for trajectories, judge in ((60, agree), (10, disagree)):
        (one, first), (other, second) = (ends[trajectories, ordered] for ordered in (False, True))
        judge(one, other, (first, second))


def test_force_and_action_belong_together():
    lattice, phi = Lattice((3, 4), -1.0, 0.7, kappa=0.6), np.random.default_rng(5).normal(size=(3, 4, 2))
    step = np.zeros_like(phi)
    step[1, 2] = 1e-5
    slope = (lattice.action(phi + step) - lattice.action(phi - step)) / 2e-5
    np.testing.assert_allclose(lattice.force(phi)[1, 2], -slope, rtol=1e-6)
