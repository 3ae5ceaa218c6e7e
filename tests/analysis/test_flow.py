"""How couplings run: the published powers, refits of samples on every scale, the command and its page."""

import json

import jax
import numpy as np
import pytest

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m
from nnft.analysis.cli import main
from nnft.analysis.theories.flow import Flow, Step
from nnft.analysis.theories.flow_page import flow_verdicts
from tests.statistics import agree, disagree


def some(dimension):
    return np.array([np.full(dimension, 0.5), np.linspace(-0.2, 0.9, dimension)])


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_cutoff_equation_has_the_published_powers(d):
    relu, x = m.Network(m.ReLU(bias_scale=0.0), 10), some(d)[: 3 - min(d, 2)]
    found = an.cutoff_flow(relu, m.exact(relu, x, orders=(2, 4)), [1.0, 10.0])
    np.testing.assert_allclose(found.slopes[0], -(d + 4), rtol=1e-12)
    erf, x = m.Network(m.Erf(), 10), some(d)
    data = m.exact(erf, x, orders=(2, 4))
    np.testing.assert_allclose(an.cutoff_flow(erf, data, [1e4, 1e5]).slopes[0], -d, rtol=2e-3)
    gauss = m.Network(m.Gauss(bias_scale=0.3), 10)
    data = m.exact(gauss, x, orders=(2, 4))
    np.testing.assert_allclose(an.cutoff_flow(gauss, data, [12.0, 20.0]).slopes[0], 0.0, atol=1e-6)


@pytest.mark.parametrize("d", [1, 2])
def test_the_active_flow_of_gauss_has_the_power_d_minus_4(d):
    path = an.active_flow(
        lambda s: m.Network.tied(m.Gauss, 100, weight_scale=s), [0.5, 1.0, 2.0], np.zeros((1, d)), cutoff=30.0
    )
    np.testing.assert_allclose(path.slope[0], d - 4, rtol=1e-9)
    if d == 1:
        assert abs(2400.0 * path.coupling[1] + 128.295) < 1e-3
    assert path.error.tolist() == [0.0, 0.0, 0.0]


def test_couplings_of_drawn_networks_have_errors():
    net, x = m.Network(m.ReLU(bias_scale=0.0), 10), np.array([[0.2], [1.0]])
    data = inf.measure(inf.Ensemble(net, points=x, n=4000, key=jax.random.key(3)), orders=(2, 4), space="neuron")
    found = an.cutoff_flow(net, data, [1.0, 2.0])
    agree(found.coupling[:1], [-1.25], found.error[:1])
    disagree(found.coupling[:1], [-1.25 / 3.0], found.error[:1])  # two of three pairings lost
    np.testing.assert_allclose(found.slopes[0], -5.0)
    np.testing.assert_allclose(found.slopes[1], 0.0, atol=1e-9)  # the same networks at every cutoff

    def make(scale):
        return m.Network(m.ReLU(bias_scale=0.0), 10, output_scale=scale)

    path = an.active_flow(make, [1.0, 2.0], x, cutoff=1.0, n=4000, key=jax.random.key(1))
    power, error = path.slope
    assert error > 0.0
    agree([power], [4.0 - 8.0], [error])  # G4c ~ s^4, four kernels s^8


def test_what_cannot_run_is_refused():
    net, x = m.Network(m.ReLU(bias_scale=0.0), 10), np.array([[0.2], [1.0]])
    data = m.exact(net, x)
    for call, words in [
        (lambda: an.cutoff_flow(net, data, [1.0]), "two or more cutoffs"),
        (lambda: an.cutoff_flow(net, data, [0.0, 1.0]), "cutoffs > 0"),
        (lambda: an.active_flow(lambda s: net, [1.0, 2.0], x, cutoff=1.0, n=100), "expected key="),
        (lambda: an.cutoff_flow(net, m.exact(m.Network(m.Erf(), 5), np.eye(4)), [1.0, 2.0]), "one to three dimensions"),
        (lambda: an.cutoff_flow(m.Network(m.Tanh(), 5), data, [1.0, 2.0]), "Tanh"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    pair = inf.Samples(np.random.default_rng(0).normal(size=(500, 6, 2)), np.arange(6.0)[:, None], outputs=2)
    with pytest.raises(ValueError, match="one field on a lattice, got 2"):
        an.flow(pair, key=jax.random.key(0), every=(1, 2))
    ring = inf.Samples(np.random.default_rng(0).normal(size=(500, 8)), np.arange(8.0)[:, None])
    for given, words in [
        ({"every": (1, 3)}, "3 does not divide; try|that 3 does not divide"),
        ({"every": (1, 4)}, "at least 3 sites an axis on every scale, got 2 sites at b = 4"),
        ({"every": ()}, "whole numbers of sites"),
        ({"shape": (4, 2)}, "got 2 sites at b = 1"),
        ({"ways": ("site",)}, "try 'sites'"),
        ({"every": (1, 2), "truth": m.Chain(1.0, 0.1, 16)}, "truth= of 16 sites"),
    ]:
        with pytest.raises(ValueError, match=words):
            an.flow(ring, key=jax.random.key(0), **given)


def test_a_network_on_a_line_is_no_ring():
    line = inf.Ensemble(m.Network(m.Cos(), 10), points=np.arange(6.0)[:, None], n=4000, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"periodic lattice .* wave .* try another shape="):
        an.flow(line, key=jax.random.key(1), every=(1, 2))


def test_exact_correlators_run_exactly_in_every_way():
    chain = m.Chain(1.0, 0.1, 6)
    found = an.flow(m.DecimatedChain(chain).correlators(), key=jax.random.key(0), every=(1, 2), truth=chain)
    for step in found.steps:
        np.testing.assert_allclose(step.value, step.exact, atol=1e-9)
        assert step.error.tolist() == [0.0] * 3
    kappa, mass = m.free_decimation(1.0, 2)
    free = m.Chain(1.0, 0.0, 6)
    found = an.flow(m.DecimatedChain(free).correlators(), key=jax.random.key(0), every=(2,), ways=("sites",))
    np.testing.assert_allclose(found.steps[0].value, (kappa / 2, kappa * mass / 2, 0.0), atol=1e-9)


def test_words_follow_the_numbers():
    def two(way, first, last, error=0.0):
        nothing = np.full(3, error), np.full(3, np.nan)
        return Flow(tuple(Step(way, b, (8 // b,), np.array(v), *nothing) for b, v in ((1, first), (2, last))), 1e3)

    dead = two("sites", (0.5, 0.5, 0.1), (0.15, 0.9, 0.101))
    assert "the local quartic hardly runs (0.1 to 0.101) and the hopping dies (0.5 to 0.15)" in dead.words
    alive = two("blocks", (0.5, 0.5, 0.1), (0.48, 1.1, 0.19))
    assert "in blocks, from b = 1 to 2, the local quartic runs (0.1 to 0.19) and the hopping stays" in alive.words
    free = two("sites", (0.5, 0.5, 0.005), (0.15, 0.9, -0.02), 0.01)
    assert "the local quartic is not seen to run (0.005 to -0.02) and the hopping dies" in free.words
    assert an.plot_flow(dead).axes[0].get_title(loc="left").endswith("hardly runs (0.1 to 0.101)")


def test_the_command_writes_a_page_that_check_reads(tmp_path, capsys):
    chain = m.Chain(1.0, 0.1, 6)
    np.save(tmp_path / "fields.npy", chain.draw(20_000, key=jax.random.key(2)).astype(np.float32))
    own = [
        str(tmp_path / "fields.npy"),
        "--shape",
        "6",
        "--set",
        "ways=sites",
        "--set",
        "every=2",
        "-o",
        str(tmp_path / "own"),
    ]
    assert main(["flow", *own]) == 0
    said = capsys.readouterr().out
    assert "sites  2  3" in said
    held = json.loads((tmp_path / "own" / "summary.json").read_text())
    (_, kappa, error, known) = held["numbers"][0]
    assert known is None
    exact = m.DecimatedChain(chain, 2).couplings(m.LatticePhi4((3,)))["kappa"]
    agree([kappa], exact, [error])
    assert main(["check", str(tmp_path / "own")]) == 0
    assert (
        main(
            [
                "flow",
                "relu",
                "--n",
                "4000",
                "--points",
                "0.2,1.0",
                "--set",
                "cutoffs=1,10",
                "-o",
                str(tmp_path / "relu"),
            ]
        )
        == 0
    )
    assert "slope" in (tmp_path / "relu" / "index.html").read_text()
    assert main(["check", str(tmp_path / "relu")]) == 0
    assert "pass  lambda at 10" in capsys.readouterr().out
    held = json.loads((tmp_path / "relu" / "summary.json").read_text())
    held["numbers"][0][3] *= 2.0
    (tmp_path / "relu" / "summary.json").write_text(json.dumps(held))
    assert flow_verdicts(tmp_path / "relu")[1] is False
    assert flow_verdicts(tmp_path) is None
    for words, said in [
        (["flow", "chain", "-o", str(tmp_path / "new"), "--set", "mass=1"], "expected n, seed, sites"),
        (["flow", *own[:1], "-o", str(tmp_path / "new")], "no shape; try --set shape=8,8"),
        (
            ["flow", "chain", "-o", str(tmp_path / "new"), "--set", "sites=10"],
            "4 does not divide",
        ),
        (["flow", "relu", "-o", str(tmp_path / "relu")], "does not exist yet"),
    ]:
        assert main(words) == 2
        assert said in capsys.readouterr().err
