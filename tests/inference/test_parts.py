"""Parts of an ensemble add up to it: the same sums to the last bit, one recipe, no overlap, nothing missing."""

import json
import pickle
from dataclasses import replace
from itertools import pairwise

import jax
import numpy as np
import pytest

import nnft.inference.ensembles.source as sourcing
from nnft import inference as inf
from nnft import models as m
from nnft.inference.ensembles.moments import moment_sums
from nnft.inference.ensembles.sums import sums

POINTS = np.array([[-1.0], [0.5]])


def ensemble(n=3000, width=4, points=POINTS, seed=1):
    return inf.Ensemble(m.Network(m.Erf(), width), points=points, n=n, key=jax.random.key(seed))


def parts_of(source, count):
    return [inf.measure(source.shard(k, count)) for k in range(count)]


def same(one, two):
    """Moments, connected functions and rows agree to the last bit."""
    tables = [(one.moments, two.moments), (one.cumulants, two.cumulants)]
    tables += [(one.rows[kind], two.rows[kind]) for kind in ("moment", "connected")]
    return all(a.keys() == b.keys() and all(np.array_equal(a[r], b[r]) for r in a) for a, b in tables)


@pytest.fixture(scope="module")
def whole():
    return inf.measure(ensemble())


@pytest.fixture(scope="module")
def four():
    return parts_of(ensemble(), 4)


# --- spans ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "count"), [(1, 1), (7, 7), (3000, 4), (3000, 1024), (3000, 2999), (100_003, 5)])
def test_spans_follow_each_other(n, count):
    ens = ensemble(n)
    spans = [ens.span(k, count) for k in range(count)]
    assert spans[0][0] == 0
    assert sum(spans[-1]) == n
    assert all(sum(a) == b[0] and a[1] > 0 for a, b in pairwise(spans))


def test_a_part_of_1e12_networks_is_drawn_at_once():
    ens = ensemble(10**12)
    shard = ens.shard(7, 10**6)
    assert abs(shard.first - 7e6) < 5000
    assert abs(shard.n - 1e6) < 5000
    np.testing.assert_array_equal(shard.read(5, 3), ens.read(shard.first + 5, 3))
    late = ens.shard(10**6 - 1, 10**6)
    assert late.first + late.n == 10**12
    assert not np.array_equal(late.read(0, 3), shard.read(0, 3))
    assert shard.shard(1, 4).first == shard.first + shard.span(1, 4)[0]


@pytest.mark.parametrize(("k", "count"), [(4, 4), (-1, 4), (0, 0), (0, 4000), (0.5, 2), (True, 2)])
def test_parts_that_are_none_are_refused(k, count):
    with pytest.raises(ValueError, match=r"expected part k of K, .*got part .*; try"):
        ensemble().shard(k, count)


@pytest.mark.parametrize(("piece", "count"), [(4096, 7), (2, 64), (2, 150)])
def test_sums_of_parts_are_the_sums(count, piece, monkeypatch):
    """Whole groups, parts of a group, and parts that end inside a piece."""
    monkeypatch.setattr(sourcing, "GROUPS", 64)
    monkeypatch.setattr(sourcing, "_PIECE", piece)
    ens = ensemble(1777)
    statistic = moment_sums(2, (2,))
    truth, found = sums(ens, statistic), sums(inf.Parts(ens, parts=count), statistic)
    exact = np.testing.assert_array_equal if count <= 64 else lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13)
    exact(found[0], truth[0])
    exact(found[1][2], truth[1][2])


# --- pooled -----------------------------------------------------------------------------------------------------------


def test_pooled_is_the_single_run_in_any_order(whole, four):
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        pooled = inf.pool([four[k] for k in order])
        assert same(pooled, whole)
        assert (pooled.networks, pooled.dof, pooled.even) == (whole.networks, whole.dof, whole.even)
        assert (pooled.refused, pooled.flags) == (whole.refused, whole.flags)
        assert json.loads(pooled.about["recipe"]) == json.loads(whole.about["recipe"])
    assert str(pooled) == str(whole)


def test_files_are_the_parts(tmp_path, whole, four):
    files = [part.save(tmp_path / f"{k}.nc") for k, part in enumerate(four)]
    assert same(inf.pool(tmp_path), whole)
    assert same(inf.pool([files[2], four[0], files[3], str(files[1])]), whole)
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_parts_smaller_than_a_group_agree_to_round_off():
    """Four networks a group, parts of ten: groups of the whole are put together from parts of them."""
    ens = ensemble()
    cut = [replace(ens.shard(0, 2), first=first, n=10) for first in range(0, 3000, 10)]
    pooled = inf.pool([inf.measure(part, orders=(2,)) for part in cut])
    np.testing.assert_allclose(pooled.moment(2), inf.measure(ens, orders=(2,)).moment(2), rtol=1e-13)
    assert pooled.dof <= 1023


def test_pieces_of_groups_nest(monkeypatch):
    """Groups of many pieces: a part keeps its pieces apart, and they add to the group in the order of a single run."""
    monkeypatch.setattr(sourcing, "GROUPS", 16)
    monkeypatch.setattr(sourcing, "_PIECE", 50)
    ens = ensemble()
    parts = parts_of(ens, 4)
    assert ens.grouping.pieces == 4
    assert {len(part.sums["sizes"]) for part in parts} == {16}
    assert same(inf.pool(parts), inf.measure(ens))


@pytest.mark.parametrize("case", ["mean far from zero", "two outputs", "weighted"])
def test_other_sources(case):
    rng = np.random.default_rng(5)
    fields = rng.normal(size=(1200, 2))
    if case == "mean far from zero":
        source = inf.Samples(fields + 40.0, POINTS)
    elif case == "two outputs":
        source = inf.Samples(rng.normal(size=(1200, 2, 2)), POINTS, outputs=2)
    else:
        model = m.Deformed(m.Network(m.Cos(), 3), 0.1, m.input_weight_energy)
        source = inf.Ensemble(model, points=POINTS, n=3000, key=jax.random.key(2))
    whole = inf.measure(source, orders=(1, 2))
    pooled = inf.pool([inf.measure(source.shard(k, 3), orders=(1, 2)) for k in range(3)])
    assert pooled.outputs == source.outputs
    for order in whole.orders:
        np.testing.assert_allclose(pooled.connected(order), whole.connected(order), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(pooled.error(order), whole.error(order), rtol=1e-9)


def test_pooled_correlators_fit_as_the_single_run_does(tmp_path, whole, four):
    truth = m.Correlators.load(whole.save(tmp_path / "whole.nc"))
    pooled = m.Correlators.load(inf.pool(four).save(tmp_path / "pooled.nc"))
    fits = [inf.fit(data, m.Bilocal(), key=jax.random.key(0), sampler="closed") for data in (truth, pooled)]
    for name, values in fits[0]["posterior"].data_vars.items():
        np.testing.assert_array_equal(values, fits[1]["posterior"][name])
    assert fits[0].attrs["metric_from"] == "exact kernel"
    assert (pooled - m.exact(m.Network(m.Erf(), 4), POINTS)).chi2().p > 1e-6


def test_a_fit_of_one_part_alone_is_that_of_few_networks(four):
    part = four[2]
    assert part.networks == pytest.approx(750, abs=3)
    assert part.dof < 1023
    assert (part - m.exact(m.Network(m.Erf(), 4), POINTS)).chi2(2).p > 1e-6


# --- refused ----------------------------------------------------------------------------------------------------------


def test_what_does_not_belong_together_is_told_apart(four, whole):
    first = four[0]

    def told(*parts, **options):
        with pytest.raises(ValueError, match=r"expected .+, got .+; try .+") as refusal:
            inf.pool(parts, **options)
        return str(refusal.value)

    assert "networks 750 to 1499" in told(first, four[1], four[1], four[2], four[3])
    overlap = told(first, inf.measure(ensemble().shard(0, 3)))
    assert "networks 0 to 749 in part 0 and 0 to 998 in part 1" in overlap or "networks 0 to" in overlap
    assert "without networks 750 to 1499" in told(first, four[2], four[3])
    assert "'width': 4" in told(first, *parts_of(ensemble(width=5), 4)[1:])
    assert "n 3000" in told(first, *parts_of(ensemble(n=3001), 4)[1:])
    assert "key [0, 1]" in told(first, *parts_of(ensemble(seed=2), 4)[1:])
    assert "same points" in told(first, *parts_of(ensemble(points=POINTS + 0.5), 4)[1:])
    assert "measured alike" in told(first, inf.measure(ensemble().shard(1, 4), orders=(2,)))
    older = replace(four[1], about={**four[1].about, "versions": json.dumps({"nnft": "0.0.1"})})
    assert "got part 0 of 0.1.0 and part 1 of 0.0.1" in told(first, older)
    assert "correlators without the sums" in told(first, whole)
    assert "at least one part" in told()
    with pytest.raises(ValueError, match=r"expected files or Correlators, got 3"):
        inf.pool([3])
    fewer = inf.pool([first, four[2]], partial=True)
    assert fewer.networks == pytest.approx(1500, abs=3)


def test_other_fields_under_the_same_recipe_are_noticed():
    """The twin: two arrays of one shape have one recipe; their first rows tell them apart."""
    rng = np.random.default_rng(1)
    one, two = (inf.Samples(rng.normal(size=(400, 2)), POINTS) for _ in range(2))
    with pytest.raises(ValueError, match="got other networks in part 1 than in part 0"):
        inf.pool([inf.measure(one.shard(0, 2)), inf.measure(two.shard(1, 2))])


@pytest.mark.parametrize("keep", [0, 10, 4000, -100_000])
def test_a_truncated_file_is_refused(tmp_path, four, keep):
    file = four[0].save(tmp_path / "part.nc")
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"expected a whole NetCDF file of correlators, got part.nc .*; try"):
        inf.pool([file, *four[1:]])


def test_files_of_something_else_are_refused(tmp_path, whole):
    whole.to_dataset().to_netcdf(tmp_path / "other.nc", engine="netcdf4")
    with pytest.raises(ValueError, match=r"expected a file of 'nnft correlators 1', got other.nc of 'no known format'"):
        m.Correlators.load(tmp_path / "other.nc")
    with pytest.raises(ValueError, match="no such file"):
        m.Correlators.load(tmp_path / "none.nc")
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match=r"expected files of parts \(.nc\)"):
        inf.pool(tmp_path / "other")


def test_saved_is_loaded_to_the_last_bit(tmp_path, whole):
    again = m.Correlators.load(whole.save(tmp_path / "new" / "data.nc"))
    assert same(again, whole)
    kept = ("networks", "dof", "maker", "even", "groups", "scrambles", "refused", "flags", "outputs")
    assert all(getattr(again, name) == getattr(whole, name) for name in kept)
    assert again.about["recipe"] == whole.about["recipe"]
    assert json.loads(again.about["versions"])["nnft"] == "0.1.0"
    truth = m.exact(m.Network(m.Erf(), 4), POINTS)
    exact = m.Correlators.load(truth.save(tmp_path / "exact.nc"))
    assert exact.networks == np.inf
    assert (whole - exact).chi2() == (whole - truth).chi2()


# --- fits through fields ----------------------------------------------------------------------------------------------


def largest(one, two):
    names = one["posterior"].data_vars
    return max(float(np.abs(one["posterior"][n] - two["posterior"][n]).max()) for n in names)


def lattice(side=4, n=600):
    phi = np.random.default_rng(0).normal(size=(n, side, side))
    phi = phi + 0.4 * (np.roll(phi, 1, 1) + np.roll(phi, 1, 2))
    sites = np.stack(np.unravel_index(np.arange(side**2), (side, side)), axis=1).astype(float)
    return inf.Samples(phi.reshape(n, -1), sites)


@pytest.mark.parametrize("action", [m.LatticePhi4(shape=(8, 8)), m.Bilocal()], ids=repr)
def test_a_fit_from_eight_parts_is_the_single_fit(action):
    """A lattice, from its fields, and a bilocal action at four points, from correlators."""
    fields, key = lattice(side=8) if action.lattice else lattice(side=2, n=4000), jax.random.key(1)
    one = inf.fit(fields, action, key=key, sampler="closed")
    assert largest(one, inf.fit(inf.Parts(fields, parts=8), action, key=key, sampler="closed")) < 1e-10


def test_a_folder_is_gone_on_with(tmp_path, monkeypatch):
    ens, statistic = ensemble(), moment_sums(2, (2,))
    parts = inf.Parts(ens, parts=5, folder=tmp_path)
    truth = sums(parts, statistic)[1][2]
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5
    files[2].write_bytes(b"half")  # damaged: made again
    files[3].unlink()
    made = []
    monkeypatch.setattr("nnft.inference.shards.parts.write_whole", lambda place, data: made.append(place))
    again = inf.Parts(ensemble(), parts=5, folder=tmp_path)
    np.testing.assert_array_equal(sums(again, statistic)[1][2], truth)
    assert made == files[2:4]
    sums(inf.Parts(ensemble(seed=2), parts=5, folder=tmp_path), statistic)  # another recipe: other files
    assert len(made) == 7


def test_a_worker_gets_its_rows_and_no_others():
    fields = lattice()
    parts = inf.Parts(fields, parts=4)
    span = fields.span(2, 4)
    sent = pickle.loads(pickle.dumps(parts.sent(*span)))
    np.testing.assert_array_equal(sent.read(*span), fields.read(*span))
    with pytest.raises(ValueError, match="expected networks of this part"):
        sent.read(0, 3)
    assert sent.grouping == fields.grouping
    assert len(pickle.dumps(sent)) < 1.1 * fields.read(*span).nbytes + 20_000


def test_chosen_networks_are_those(monkeypatch):
    """In index order of a recipe, as dealt of an array; a worker gets a few bits and reads no further than it must."""
    monkeypatch.setattr(sourcing, "_STRETCH", 64)
    ens = ensemble()
    order = np.random.default_rng(0).permutation(ens.n)[:700]
    some = inf.Parts(ens, parts=3).dealt(order)
    assert (some.n, some.model, some.even) == (700, None, False)
    np.testing.assert_array_equal(some.read(0, 700), ens.read(0, ens.n)[np.sort(order)])
    span = some.span(1, 3)
    sent = pickle.loads(pickle.dumps(some.sent(*span)))
    np.testing.assert_array_equal(sent.read(*span), some.read(*span))
    assert len(pickle.dumps(sent)) < 5000
    with pytest.raises(ValueError, match="expected networks of this part"):
        sent.read(0, 3)
    array = inf.Samples(ens.read(0, ens.n), POINTS)
    np.testing.assert_array_equal(array.dealt(order).read(0, 700), array.read(0, ens.n)[order])


def test_bad_parts_are_refused():
    for options, words in (
        ({"parts": 0}, "expected 1 to n = 3000 parts, got 0"),
        ({"parts": 3001}, "got 3001"),
        ({"executor": 8}, "expected an executor with submit"),
    ):
        with pytest.raises(ValueError, match=words):
            inf.Parts(ensemble(), **options)
    with pytest.raises(ValueError, match=r"expected an inf\.Ensemble or inf\.Samples"):
        inf.Parts(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="expected space='field' for a part"):
        inf.measure(ensemble().shard(0, 2), space="neuron")
