# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Errors that are right
#
# Score matching fits couplings without ever knowing the normalisation of $e^{-S}$. Its curvature looks like an
# information matrix and is none: errors read off it are about half as large as they should be. The sandwich covariance,
# $A^{-1} B A^{-1}/n$ with the spread $B$ of what single networks contribute, has the right size and shape. **The
# message: repeat the experiment, and only the sandwich's intervals hold the truth as often as they say.**

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m

networks = 2_000_000  # small: 40_000
key = jax.random.key(0)
points = np.array([[-1.0], [1.0]])
network = m.Network(m.Cos(), width=20)

# %% [markdown]
# ## The experiment, a hundred times
#
# A hundred ensembles of twenty thousand networks each, a fit of the same bilocal action to every one. What all of them
# look for is known: the fit to the exact correlators, which has no error. The posterior under the default prior is
# Gaussian and closed, so that nothing here waits for a Markov chain; the tree keeps both errors.

# %%
target = inf.fit(m.exact(network, points), m.Bilocal(), key=key)["point"]
truth = np.concatenate([target[name].values for name in ("q", "g", "u", "v")])
means, errors, naive = [], [], []
for k in range(networks // 20_000):
    ensemble = inf.Ensemble(network, points=points, n=20_000, key=jax.random.fold_in(key, k))
    fit = inf.fit(ensemble, m.Bilocal(), key=key, sampler=inf.Closed(draws=100))["constant_data"]
    means.append(fit["closed_mean"].values)
    errors.append(fit["closed_sd"].values)
    naive.append(fit["closed_sd"].values * (fit["naive_error"] / fit["sandwich_error"]).values)
means, errors, naive = np.array(means), np.array(errors), np.array(naive)

# %% [markdown]
# The coupling $v_{01}$ of $\phi_0^2 \phi_1^2$, each time with its 90 % interval. Intervals that miss the truth are
# orange: one in ten should be.

# %%
figure, panels = plt.subplots(1, 2, figsize=(7.6, 5.6), sharex=True, sharey=True, layout="constrained")
rows = np.argsort(means[:, -1])
for panel, error, name in zip(panels, (naive, errors), ("naive", "sandwich"), strict=True):
    missed = np.abs(means[:, -1] - truth[-1]) > 1.645 * error[:, -1]
    for height, row in enumerate(rows):
        half = 1.645 * error[row, -1]
        ends = means[row, -1] + np.array([-half, half])
        panel.plot(ends, [height, height], color="#d55e00" if missed[row] else "#0072b2", lw=1.5)
    panel.axvline(truth[-1], color="#222222", lw=1.0)
    panel.set(title=f"{name}: {np.sum(missed)} of {len(rows)} miss", xlabel="$v_{01}$", yticks=[])
    panel.spines[["left", "right", "top"]].set_visible(False)
plt.show()

# %% [markdown]
# All eight terms together: how often the truth is inside, and how far the estimates scatter in units of each error.

# %%
covered = {}
for name, error in (("naive", naive), ("sandwich", errors)):
    covered[name] = np.mean(np.abs(means - truth) < 1.645 * error)
    scatter = np.std(means, axis=0) / np.mean(error, axis=0)
    print(f"{name:>8}: {covered[name]:.1%} of 90 % intervals hold the truth", end=", ")
    print(f"scatter over error {scatter.min():.2f} to {scatter.max():.2f}")

# %% [markdown]
# ## Simulation-based calibration
#
# A harder question, since here the truth moves too. Couplings $(m^2, \lambda)$ of a ring of four sites are drawn from a
# prior, 500 fields are drawn exactly from each, and the couplings are fitted again. If the posterior is right, the rank
# of the truth among its draws is uniform. What is drawn is the distribution of the ranks minus the diagonal, with the
# band that uniform ranks leave once in a thousand times; below it nominal against actual coverage.

# %%
chain = inf.planted_chain(n=500, sites=4)
recovered = {method: inf.recover(chain, method, key=key, simulations=networks // 2000) for method in ("score", "naive")}
an.plot_calibration(recovered["score"])

# %%
an.plot_calibration(recovered["naive"])

# %%
print(an.calibration_table(recovered["score"]))
print()
print(an.calibration_table(recovered["naive"]))

# %% [markdown]
# ## The message, asserted

# %%
p = {method: min(float(value) for value in tree["p_value"].values()) for method, tree in recovered.items()}
print(covered, p)
if networks >= 1_000_000:
    assert abs(covered["sandwich"] - 0.9) < 0.05
    assert covered["naive"] < 0.75
    assert p["score"] > 1e-5 > 1e-20 > p["naive"]

# %% [markdown]
# ## Exercises
#
# 1. A single number, the learning rate, can repair the average size of the naive errors: `method="scalar"` in
#    `inf.recover`. Does it repair the shape? Look at the panel `joint` and at the last line of the table.
# 2. The sandwich is right as $n$ grows. At which $n$ does the chain's calibration begin to fail,
#    `inf.planted_chain(n=...)`? What do fifty fields give?
#
# ## Find the mistake
#
# Two hundred networks, looked at in fifty points each: ten thousand values of $\phi^2$, whose mean estimates $G_2 =
# 1/2$ (the field is translation invariant). The standard error of a mean is the standard deviation over the root of how
# many there are. Repeated two hundred times, the estimates scatter five times as much. Why?

# %%
line = np.linspace(-1.0, 1.0, 50)[:, None]
fields = np.asarray(inf.Ensemble(network, points=line, n=40_000, key=key).read(0, 40_000), dtype=float)
squares = fields.reshape(200, 200, 50) ** 2  # (experiment, network, point)
claimed = np.std(squares[0]) / np.sqrt(squares[0].size)
scatter = np.std(squares.mean(axis=(1, 2)))
print(f"claimed error {claimed:.4f}, scatter of two hundred experiments {scatter:.4f}")

# %% tags=["hide-cell"]
# The fifty values of one network are one draw of a smooth function, not fifty independent numbers. Errors are those of
# networks: average over the points first, then take the standard deviation over the 200 networks.
right = np.std(squares[0].mean(axis=1)) / np.sqrt(200)
print(f"over networks: {right:.4f}")
assert claimed < 0.5 * scatter
assert abs(right / scatter - 1.0) < 0.3
