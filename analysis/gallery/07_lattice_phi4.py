# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lattice phi^4 from configurations
#
# Somebody has configurations of a scalar field, from a Markov chain, and wants the couplings back. The likelihood of
# $e^{-S}$ needs $\log Z$; score matching does not, and the same three numbers $\kappa, m^2, \lambda$ come back far from
# the critical line and close to it. **The message: the couplings return with honest errors if the chain is known as a
# chain, and mean something only with the action they belong to.**

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np

from nnft import inference as inf
from nnft import models as m

networks = 51_200  # small: 6_400
key = jax.random.key(0)
shape, lam = (8, 8), 1.5
masses = {"far from critical": -1.0, "closer": -3.5, "near critical": -4.5}

# %% [markdown]
# ## Configurations
#
# $S = \sum_x [\sum_\mu (\partial_\mu \phi)^2/2 + m^2 \phi^2/2 + \lambda \phi^4]$ by hybrid Monte Carlo, 32 chains at
# once, with trajectories too short on purpose: a configuration looks much like the one before.

# %%
drawn = {}
for name, m2 in masses.items():
    options = {"chains": 32, "draws": networks // 32, "warmup": 600, "length": 0.6}
    drawn[name] = inf.sample_lattice(m2, lam, shape, key=key, **options)
    print(f"{name}: {drawn[name]}\n")

# %% [markdown]
# Above: one configuration of each. Below: its magnetisation $M/V$ through the first chain, and the distribution of
# $M/V$ over all of them.

# %%
figure, panels = plt.subplots(2, 3, figsize=(9.0, 5.2), layout="constrained", height_ratios=[3, 2])
for (name, found), (top, bottom) in zip(drawn.items(), panels.T, strict=True):
    picture = found.fields[1, -1].reshape(shape)
    image = top.imshow(picture, cmap="RdBu_r", vmin=-2, vmax=2, interpolation="nearest")
    top.set(title=f"{name}, $m^2 = {masses[name]:g}$", xticks=[], yticks=[])
    magnetisation = found.fields.mean(axis=2)
    bottom.hist(magnetisation.ravel(), bins=np.linspace(-1.0, 1.0, 51), density=True, color="#0072b2", alpha=0.4)
    bottom.set(xlabel="$M/V$", yticks=[], xlim=(-1.0, 1.0))
figure.colorbar(image, ax=panels[0, :], shrink=0.7, label=r"$\phi(x)$")
plt.show()

# %% [markdown]
# ## Autocorrelation
#
# The Gamma method sums the autocorrelation up to a window it chooses itself. The naive error takes every configuration
# for a new one.

# %%
times = {}
for name, found in drawn.items():
    square = found.square
    naive = np.std(np.mean(found.fields.astype(float) ** 2, axis=2)) / np.sqrt(networks)
    times[name] = square.tau
    said = f"<phi^2> = {square.mean:.5f} +- {square.error:.5f}, naive {naive:.5f}, tau_int = {square.tau:.1f}"
    print(f"{name:>17}: {said}")

# %% [markdown]
# ## Couplings
#
# `found.samples` knows its chains; an array of one's own is given as `inf.Samples(array, points, chains=...)`, or its
# order is looked at. The action is written $\sum_x [\kappa \sum_\mu (\partial_\mu \phi)^2 + m^2 \phi^2 + \lambda
# \phi^4]$, so that $\kappa = 1/2$ and half of $m^2$ above are to come back. The kinetic term is fitted too: nothing is
# assumed of the scale of the field.

# %%
names = ("kappa", "m2", "coupling")
results = {}
for name, found in drawn.items():
    fit = inf.fit(found.samples, m.LatticePhi4(shape=shape), key=key, sampler="closed")
    draws = np.stack([fit["posterior"][one].values.ravel() for one in names])
    results[name] = draws.mean(axis=1), draws.std(axis=1), np.cov(draws)
    truth = np.array([0.5, masses[name] / 2, lam])
    print(f"{name}, worth {fit.attrs['networks']:,.0f} of {networks:,} fields:")
    for one, value, error, known in zip(names, *results[name][:2], truth, strict=True):
        off = f"off by {(value - known) / error:+.1f} errors"
        print(f"    {one:>8} = {value:8.4f} +- {error:.4f}, planted {known:5.2f}, {off}")

# %% [markdown]
# ## Conventions
#
# The same theory in the letters of four communities. A number without its $S$ means nothing: the field is rescaled, and
# what is called $\lambda$ differs by factors of four and six.

# %%
mean, _, covariance = results["near critical"]
values = dict(zip(names, mean.tolist(), strict=True))
for convention in ("half", "half_factorial", "unit", "hopping"):
    print(m.convert_lattice(values, "plain", convention, covariance=covariance), "\n")

# %% [markdown]
# ## The message, asserted

# %%
for name, (mean, error, _) in results.items():
    assert np.all(np.abs(mean - [0.5, masses[name] / 2, lam]) < 6 * error)
assert times["near critical"] > 2.0
half = m.convert_lattice(values, "plain", "half", covariance=covariance)
assert abs(half.values["m2"] + 4.5) < 6 * half.errors["m2"]

# %% [markdown]
# ## Exercises
#
# 1. Throw away nine of ten configurations. How much larger do the errors of the couplings become, and why not by
#    $\sqrt{10}$? At which thinning does it begin to cost?
# 2. Reverse the question with `nnft recover chain`: plant couplings, draw, fit, and rank. In which phase would you
#    expect the calibration to fail first?
#
# ## Find the mistake
#
# In the file of the near-critical lattice many configurations stand twice, or three times. A careful colleague keeps
# one of each before the fit. Nothing new was in the copies, and yet the couplings move by more than their errors.

# %%
planted = np.array([0.5, -2.25, 1.5])
every = drawn["near critical"].fields.reshape(-1, 64)
once = np.unique(every, axis=0)
print(f"{len(every)} configurations, {len(once)} different ones")


def couplings(fields):
    """kappa, m2, lambda by score matching with W = 1, in ten lines of NumPy."""
    x = fields.astype(float).reshape(-1, *shape)
    force = sum(x - np.roll(x, way, axis) for axis in (1, 2) for way in (1, -1))
    slopes = np.stack([2 * force, 2 * x, 4 * x**3]).reshape(3, -1)
    right = [8.0, 2.0, 12.0 * np.mean(x**2)]  # the Laplacian of each term, over the number of sites
    return np.linalg.solve(slopes @ slopes.T / slopes.shape[1], right)


claimed = couplings(once)
print("each configuration once:", claimed.round(4), "planted:", planted)

# %% tags=["hide-cell"]
# A configuration stands twice where the next one was rejected: the chain stayed, and how long it stays is its weight.
# Without the copies the sample is one of proposals that were accepted, not of exp(-S).
right_one = couplings(every)
error = results["near critical"][1]
shift = (claimed - right_one) / results["near critical"][1]
print("with their copies:", right_one.round(4), "shift by leaving them out:", shift.round(1), "errors")
assert len(once) < len(every)
if networks > 10_000:
    assert np.max(np.abs(shift)) > 2.0
