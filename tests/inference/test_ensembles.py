"""A recipe is one ensemble: the same networks in whatever pieces they are drawn, and sums over them that are sums."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax.extend.random import threefry_2x32
from numpyro import handlers

import nnft.inference.ensembles.ensemble as ensembles
import nnft.inference.ensembles.source as sourcing
import nnft.inference.ensembles.sums as summing
from nnft.inference import Ensemble, Source
from nnft.inference.ensembles.ensemble import side_key
from nnft.inference.ensembles.sums import sums, total
from nnft.models import Cos, Erf, Gauss, Network, ReLU, Tanh
from nnft.models.networks.readouts import READOUTS
from tests.statistics import agree, disagree

POINTS = np.array([[-0.3, 0.5], [0.0, 0.25], [0.4, -0.125]])
NEURONS = [Cos(), Erf(), ReLU(), Gauss(bias_scale=0.3), Tanh()]
NAMES = [type(neuron).__name__ for neuron in NEURONS]


def ensemble(neuron=NEURONS[0], width=5, n=40, seed=3, **options):
    return Ensemble(Network(neuron, width, **options), points=POINTS, n=n, key=jax.random.key(seed))


class Table(Source):
    """A source that is an array, and remembers how it was read."""

    def __init__(self, fields):
        self.fields, self.points, self.n = fields, np.arange(fields.shape[1])[:, None] + 0.0, len(fields)
        self.counts = []

    def read(self, start, count):
        assert 0 <= start < start + count <= self.n
        self.counts.append(count)
        return self.fields[start : start + count]


def moments(fields, weights):
    return {"n": weights.sum(), "one": weights @ fields, "two": (fields.T * weights) @ fields}


def two_point(source):
    """<phi phi> on the upper triangle and its standard error from the spread of the groups."""
    sizes, totals = sums(source, moments)
    upper = np.triu_indices(len(source.points))
    means = (totals["two"] / sizes[:, None, None])[:, *upper]
    assert len(set(sizes)) == 1
    return means.mean(axis=0), means.std(axis=0, ddof=1) / np.sqrt(len(sizes))


# --- the same networks however they are drawn -------------------------------------------------------------------------


@pytest.mark.parametrize("neuron", NEURONS, ids=NAMES)
def test_fields_depend_on_neither_chunk_nor_block(neuron, monkeypatch):
    ens = ensemble(neuron, output_bias=0.5)
    whole = ens.read(0, 30)
    assert (whole.shape, whole.dtype) == ((30, 3), np.float32)
    for cuts in ([0, 10, 30], [0, 1, 8, 21, 30]):
        pieces = [ens.read(a, b - a) for a, b in itertools.pairwise(cuts)]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)
    monkeypatch.setattr(ensembles, "_BLOCK_FLOATS", 200)
    small = ensemble(neuron, output_bias=0.5)
    assert 1 < small.block < 10 < ens.block
    np.testing.assert_array_equal(small.read(0, 30), whole)
    np.testing.assert_array_equal(small.read(7, 13), whole[7:20])


def test_a_block_of_one_network_differs_by_rounding_only(monkeypatch):
    """A product of single vectors is summed in another order: 1e-6 is rounding in float32, not chance."""
    whole = ensemble().read(0, 30)
    monkeypatch.setattr(ensembles, "_BLOCK_FLOATS", 1)
    single = ensemble()
    assert single.block == 1
    np.testing.assert_allclose(single.read(0, 30), whole, rtol=0, atol=1e-6)


def test_other_keys_and_numbers_are_other_networks():
    ens = ensemble(n=30)
    fields = ens.read(0, 40)  # ten beyond the ensemble: fresh ones
    assert len(np.unique(fields, axis=0)) == 40
    assert not np.isin(ensemble(seed=4).read(0, 40), fields).any()


def test_neighbouring_networks_are_independent():
    fields = ensemble(n=20_000).read(0, 20_000)
    for shift in (1, 2):
        product = fields[shift:] * fields[:-shift]
        se = product.std(axis=0) / np.sqrt(len(product))
        agree(product.mean(axis=0), 0.0, se)
        shared = product + 0.1 * fields[shift:] ** 2  # a tenth of a network in common
        disagree(shared.mean(axis=0), 0.0, se)


# --- sums -------------------------------------------------------------------------------------------------------------


def by_hand(fields, size):
    groups = [fields[a : a + size].astype(float) for a in range(0, len(fields), size)]
    return {
        "n": np.array([len(group) for group in groups], float),
        "one": np.array([group.sum(axis=0) for group in groups]),
        "two": np.array([group.T @ group for group in groups]),
    }


@pytest.mark.parametrize(
    ("n", "size"), [(1, 1), (2, 1), (777, 1), (1024, 1), (1025, 2), (3001, 3), (10_000, 10)], ids=lambda v: str(v)
)
def test_sums_are_the_sums_of_their_groups(n, size):
    """Whole numbers, so that equal means equal; some so large that float32 could not add their squares."""
    fields = np.random.default_rng(n).integers(-(2**20), 2**20, size=(n, 2)).astype(np.float32)
    sizes, totals = sums(Table(fields), moments)
    truth = by_hand(fields, size)
    np.testing.assert_array_equal(sizes, truth["n"])
    for name, value in truth.items():
        np.testing.assert_array_equal(totals[name], value)
        assert totals[name].dtype == np.float64


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 9, 13, 14, 16, 24, 31, 37, 60])
@pytest.mark.parametrize(("piece", "chunk"), [(2, 8), (3, 4)])
def test_groups_longer_than_a_piece_or_a_chunk(n, piece, chunk, monkeypatch):
    for name, value in (("GROUPS", 3), ("_PIECE", piece)):
        monkeypatch.setattr(sourcing, name, value)
    monkeypatch.setattr(summing, "_CHUNK", chunk)
    fields = np.random.default_rng(n).integers(-9, 9, size=(n, 2)).astype(np.float64)
    source = Table(fields)
    sizes, totals = sums(source, moments)
    assert len(sizes) <= 3
    for name, value in by_hand(fields, int(sizes[0])).items():
        np.testing.assert_array_equal(totals[name], value)
    np.testing.assert_array_equal(sizes, totals["n"])
    assert sum(source.counts) == n  # every network once, a chunk at a time
    assert max(source.counts) <= chunk


@pytest.mark.parametrize("held", [1, 200, 2**26])
def test_the_total_is_the_sum_of_the_groups_in_their_order(held, monkeypatch):
    monkeypatch.setattr(summing, "_HELD", held)
    fields = np.random.default_rng(1).normal(size=(5000, 2))
    sizes, groups = sums(Table(fields), moments)
    weight, added = total(source := Table(fields), moments)
    assert weight == sizes.sum() == 5000
    for name, value in groups.items():
        one_by_one = np.zeros(value.shape[1:])
        for group in value:
            one_by_one = one_by_one + group
        np.testing.assert_array_equal(added[name], one_by_one)  # to the last bit, whatever is held at a time
    assert sum(source.counts) == 5000


def test_sums_of_an_ensemble_are_sums_of_its_fields():
    ens = ensemble(n=2500)
    sizes, totals = sums(ens, moments)
    truth = by_hand(ens.read(0, 2500), 3)
    np.testing.assert_array_equal(sizes, truth["n"])
    np.testing.assert_allclose(totals["two"], truth["two"], rtol=1e-12, atol=1e-12)


def scaled(fields, weights, scale, shift):
    return ((fields * scale + shift) * weights[:, None]).sum(axis=0)


def test_arguments_reach_the_statistic():
    fields = np.arange(12.0).reshape(6, 2)
    _, total = sums(Table(fields), scaled, np.array([2.0, 3.0]), np.array(1.0))
    np.testing.assert_array_equal(total, fields * [2.0, 3.0] + 1.0)


def test_a_number_that_is_none_is_named(monkeypatch):
    monkeypatch.setattr(summing, "_CHUNK", 8)
    fields = np.zeros((50, 2))
    fields[37, 1] = np.nan
    with pytest.raises(ValueError, match="expected finite fields, got nan in network 37 at point 1; try"):
        sums(Table(fields), moments)


def test_settings_of_the_session_stay(capsys):
    before = dict(jax.config.values)
    sums(ensemble(), moments)
    assert dict(jax.config.values) == before
    assert jnp.ones(1).dtype == jnp.float32
    assert capsys.readouterr() == ("", "")


def test_progress_is_off_by_default(monkeypatch):
    seen = []

    class Bar(summing.tqdm):
        def __init__(self, *arguments, **options):
            seen.append(options)
            super().__init__(*arguments, **{**options, "disable": True})

    monkeypatch.setattr(summing, "tqdm", Bar)
    sums(Table(np.ones((3, 1))), moments)
    sums(Table(np.ones((3, 1))), moments, progress=True, what="pilot")
    assert [options["disable"] for options in seen] == [True, False]
    assert seen[1]["delay"] == 2.0
    assert (seen[1]["desc"], seen[1]["total"]) == ("pilot", 3)


# --- models of others -------------------------------------------------------------------------------------------------


def line(points):
    """A random straight line through the origin, <phi phi> = x y; its field has two names."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    numpyro.deterministic("double", 2.0 * slope * points[:, 0])
    numpyro.deterministic("phi", slope * points[:, 0])


def sine(points):
    """A neuron of somebody else: <s s> = (e^(-(x-y)^2/2) - e^(-(x+y)^2/2))/2 for unit weights."""
    weight = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([points.shape[-1]]).to_event(1))
    return jnp.sin(weight @ points.T)


@pytest.mark.parametrize(("site", "factor"), [("phi", 1.0), ("double", 4.0)])
def test_any_numpyro_model_will_do(site, factor):
    x = np.array([[0.5], [-1.0], [2.0]])
    ens = Ensemble(line, points=x, n=8192, key=jax.random.key(5), site=site)
    assert not ens.even
    value, se = two_point(ens)
    truth = factor * (x @ x.T)[np.triu_indices(3)]
    agree(value, truth, se)
    disagree(value, truth * 1.2, se)


def test_any_function_of_the_points_is_a_neuron():
    x = np.array([[0.5], [-1.0], [2.0]])
    ens = Ensemble(Network(sine, 5), points=x, n=8192, key=jax.random.key(6))
    value, se = two_point(ens)
    minus, plus = (np.exp(-((x - sign * x.T) ** 2) / 2)[np.triu_indices(3)] for sign in (1, -1))
    agree(value, (minus - plus) / 2, se)
    disagree(value, minus / 2, se)  # the kernel of cos with a random phase


def test_what_is_known_of_the_symmetry():
    assert all(ensemble(readout=readout).even for readout in READOUTS)
    conditioned = numpyro.handlers.condition(Network(Cos(), 3), data={"readout": np.ones(3)})
    assert not Ensemble(conditioned, points=POINTS, n=10, key=jax.random.key(0)).even
    assert not Ensemble(Network(Cos(), 3), points=POINTS, n=10, key=jax.random.key(0), site="phase").even


def test_blocks_fit_the_network():
    blocks = [ensemble(width=width).block for width in (1, 5, 100, 10_000)]
    assert blocks == sorted(blocks, reverse=True)
    assert all(np.log2(block).is_integer() for block in blocks)
    assert (blocks[0], blocks[-1]) == (8192, 2)


def test_an_ensemble_is_an_object_among_others():
    ens = ensemble()
    assert ens == ens
    assert ens != ensemble()
    assert len({ens, ensemble()}) == 2
    assert "key" not in repr(ens)


# --- indices of 64 bits -----------------------------------------------------------------------------------------------

EDGES = [2**32 - 2**24, 2**32, 2**33, 10**12, 2**63]


def network_by_hand(ens, index):
    """One network with its key from JAX alone: fold_in of the low word, or both words through the generator."""
    words = jax.random.key_data(ens.key)
    if index < 2**32:
        key = jax.random.fold_in(ens.key, index)
    else:
        key = jax.random.wrap_key_data(threefry_2x32(words, jnp.array([index >> 32, index % 2**32], dtype=jnp.uint32)))
    with jax.threefry_partitionable(False):
        sites = handlers.trace(handlers.seed(ens.model, key)).get_trace(ens.points)
    return np.asarray(sites["phi"]["value"])


@pytest.mark.parametrize("edge", EDGES, ids=["2^32 - 2^24", "2^32", "2^33", "1e12", "2^63"])
def test_the_index_of_a_network_has_64_bits(edge):
    ens = ensemble(n=2**63)
    drawn = ens.read(edge - 2, 4)
    np.testing.assert_allclose(drawn, [network_by_hand(ens, edge - 2 + k) for k in range(4)], rtol=3e-6, atol=1e-6)
    assert len(np.unique(drawn, axis=0)) == 4


def test_no_two_indices_share_their_keys():
    """Words that differ in one place only, on both sides of 2^32, and the side keys: all keys differ."""
    key, low = jax.random.key(3), np.arange(2048, dtype=np.uint64)
    index = np.concatenate([low, np.uint64(2**32) - np.uint64(1) - low, np.uint64(2**32) + low, low << np.uint64(32)])
    index = np.unique(np.concatenate([index, np.uint64(2**63) + low]))
    words = np.stack([index >> np.uint64(32), index & np.uint64(2**32 - 1)], axis=-1).astype(np.uint32)
    keys = jax.random.key_data(jax.vmap(lambda pair: ensembles._folded(key, pair))(words))
    sides = jnp.stack([jax.random.key_data(side_key(key, k)) for k in (0, 1, 2, 2**32 - 1)])
    both = np.concatenate([np.asarray(keys), np.asarray(sides)])
    assert len(np.unique(both, axis=0)) == len(both)
    folded = jax.vmap(lambda k: jax.random.fold_in(key, k))(jnp.arange(2048, dtype=jnp.uint32))
    np.testing.assert_array_equal(keys[:2048], jax.random.key_data(folded))


def test_folding_one_word_after_the_other_would_meet_itself():
    """The twin: keys of 2 x 2 words made one after the other are no permutation; here they are told apart."""
    key = jax.random.key(3)
    folded = jax.random.fold_in(jax.random.fold_in(key, 7), 0)
    assert ensembles._folded(key, jnp.array([0, 7], dtype=jnp.uint32)) == jax.random.fold_in(key, 7) != folded


# --- refusals ---------------------------------------------------------------------------------------------------------


def fields_first(points):
    numpyro.sample("phi", dist.Normal(0.0, 1.0).expand([2, len(points)]).to_event(2))


def complex_field(points):
    numpyro.deterministic("phi", (1.0 + 1.0j) * numpyro.sample("w", dist.Normal()) * np.ones(len(points)))


BAD = {
    "NaN points": ({"points": np.array([[0.0], [np.nan]])}, "expected finite points, got nan at point 1; try"),
    "twice the same": ({"points": np.array([[0.0], [1.0], [0.0]])}, "expected distinct points, got point 2 .*; try"),
    "1-D points": ({"points": np.array([0.0, 1.0])}, r"expected points of shape .*got \(2,\); try points\[:, None\]"),
    "no points": ({"points": np.zeros((0, 2))}, r"expected points of shape \(point, axis\), got \(0, 2\)"),
    "words": ({"points": [["a"]]}, r"expected points \(point, axis\) as numbers, got .*; try"),
    "n = 0": ({"n": 0}, r"expected n, the number of networks, .*got 0; try n="),
    "n half": ({"n": 1.5}, r"expected n, the number of networks, .*got 1.5; try n="),
    "n a word": ({"n": "many"}, r"expected n, the number of networks, .*got 'many'; try n="),
    "n beyond the counter": ({"n": 2**64}, r"expected n, the number of networks, .*got 18446744073709551616; try"),
    "a seed": ({"key": 0}, r"expected one key .*got 0; try key=jax.random.key\(0\)"),
    "two keys": ({"key": jax.random.split(jax.random.key(0))}, r"expected one key .*; try key=jax.random.key\(0\)"),
    "another generator": ({"key": jax.random.key(0, impl="rbg")}, "expected one key .*threefry2x32.*got rbg; try key="),
    "no model": ({"model": 3}, r"expected a NumPyro model .*got 3; try Network"),
    "no such site": ({"site": "psi"}, r"expected the model to have a site 'psi', got \['phase', 'phi', .*try"),
    "a site of neurons": (
        {"site": "readout"},
        r"expected site 'readout' of shape \(point,\) = \(3,\), got \(5,\); try",
    ),
    "outputs first": ({"model": fields_first}, r"expected site 'phi' of shape \(point,\) = \(3,\), got \(2, 3\); try"),
    "a complex field": (
        {"model": complex_field},
        "expected a real field at site 'phi', got a complex one; try",
    ),
    "no complex field": (
        {"complex_parts": True},
        "expected a complex field at site 'phi', got a real one; try",
    ),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_bad_recipes_are_refused(change, message):
    recipe = {"model": Network(Cos(), 5), "points": POINTS, "n": 10, "key": jax.random.key(0), **change}
    with pytest.raises(ValueError, match=message):
        Ensemble(recipe.pop("model"), **recipe)


def test_a_generator_that_depends_on_the_block_does_so(monkeypatch):
    """Why rbg is refused: under vmap it draws for the whole block from its first key."""
    monkeypatch.setattr(ensembles, "check_key", lambda key: None)
    monkeypatch.setattr(ensembles, "_folded", lambda key, words: jax.random.fold_in(key, words[1]))
    ensembles._drawing.cache_clear()

    def drawn(impl):
        ens = Ensemble(Network(Cos(), 5), points=POINTS, n=10, key=jax.random.key(0, impl=impl))
        return ens.read(0, 10)

    large = {impl: drawn(impl) for impl in ("rbg", "threefry2x32")}
    monkeypatch.setattr(ensembles, "_BLOCK_FLOATS", 40)
    assert not np.allclose(drawn("rbg"), large["rbg"])
    assert np.allclose(drawn("threefry2x32"), large["threefry2x32"])
    ensembles._drawing.cache_clear()
