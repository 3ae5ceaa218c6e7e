# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Far from the limit
#
# Close to infinite width a network ensemble is a weakly interacting field theory, and its couplings say nearly all.
# Here are two ensembles that are not close: cosine networks of two and three neurons, and one of fifty neurons that
# share a random scale. Nobody knows their action, and part of what follows is that they have none worth writing down.
# Their correlators, generating functionals and densities are known all the same.

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m

networks = 200_000
points = np.array([[0.0], [1.0], [2.5]])
few = {width: m.Network(m.Cos(), width) for width in (2, 3)}
shared = m.Network(m.Cos(), 50, shared_scale=m.GammaScale(1.0))


def ask(question):
    """Print the answer, or why there is none."""
    try:
        print(question())
    except ValueError as refusal:
        print("refused:", refusal)


# %% [markdown]
# ## Correlators need no action
#
# With `space=None` the structure of the model decides where to average. Independent neurons: over single neurons, from
# which every width follows. Neurons that share a scale: over networks, their Gaussian readout integrated out.

# %%
for width, network in few.items():  # three neurons come last, and `data` stays theirs
    data = inf.measure(inf.Ensemble(network, points=points, n=networks, key=jax.random.key(width)), space=None)
    distance = data - m.exact(network, points)
    print(f"width {width}, measured in {data.about['space']} space, against the exact correlators")
    for order in data.orders:
        print(f"    order {order}: {distance.chi2(order)}")

# %% [markdown]
# The shared scale has an exponential law, so that the field has heavy tails. The table says which average may be
# dominated by them; the error bar of a flagged order is not to be trusted, and we test only the others.

# %%
ensemble = inf.Ensemble(shared, points=points, n=networks, key=jax.random.key(4))
measured = {50: inf.measure(ensemble, space=None)}
print(measured[50])
print(f"orders 2 and 4 against the exact ones: {(measured[50] - m.exact(shared, points)).chi2(2, 4)}")

# %% [markdown]
# ## No couplings are quoted
#
# Two numbers decide. `eps4` is the distance of the field from the Gaussian one, `rho` the size of the next order of the
# quartic coupling over the leading one. Above 0.3 and 0.1 the series of the action in 1/width is not a series.

# %%
truth = m.exact(few[3], points)
for network in (*few.values(), shared):
    print(f"{network.width} neurons{', shared scale' if network.shared_scale else ''}")
    print(m.effective_couplings(m.exact(network, points)), "\n")

# %% [markdown]
# A fit to the three neurons does return numbers, and its sampler is content. The verdict is not about the sampler:

# %%
checks = an.diagnose(inf.fit(data, m.Bilocal(), key=jax.random.key(5)))
for check in checks:
    if check.verdict == "fail":
        print(f"{check.verdict} {check.name} {check.value} (limit {check.limit}): {check.why}")

# %% [markdown]
# ## The density itself
#
# At one site the density of three neurons is a Fourier integral that can be done, $P(\phi) = \int \frac{dk}{2\pi}
# e^{-ik\phi} \chi(k)^N$. The average of one Gaussian cosine falls only like $1/|k|$, so $\chi^N$ falls like $|k|^{-N}$.
# Two neurons leave too much beyond any $k$ for eight digits; four can be had by asking.

# %%
site = points[:1]
fields = np.linspace(-3.0, 3.0, 301)[:, None]
ask(lambda: m.exact_density(few[2], site, np.zeros((1, 1))))
peak, error = m.exact_density(few[2], site, np.zeros((1, 1)), accuracy=1e-4)
print(f"width 2: P(0) = {peak[0]:.4f} +- {error:.0e}")
ask(lambda: m.exact_density(few[3], points[:2], np.zeros((1, 2))))
ask(lambda: m.exact_density(shared, site, np.zeros((1, 1))))

# %% [markdown]
# The same power says something about the action $S = -\log P$. A tail $|k|^{-N}$ leaves $P$ with a fourth derivative
# at $\phi = 0$ only for $N \ge 6$. Of two neurons $P$ has a cusp; of three even the curvature of $S$ diverges, by a
# logarithm: as $h \to 0$, $2 [S(h) - S(0)]/h^2$ grows by the same amount whenever $h$ is divided by five, while at
# width 20 it settles. A shared exponential scale makes a cusp at every width, $e^{-2 |\phi|}$ in the limit. The Taylor
# coefficients that couplings would be do not exist.

# %%
steps = np.array([0.5, 0.1, 0.02, 0.004])
curvature = {}
for width in (3, 20):
    density, _ = m.exact_density(m.Network(m.Cos(), width), site, np.concatenate([[0.0], steps])[:, None])
    curvature[width] = -2.0 * np.log(density[1:] / density[0]) / steps**2
    print(
        f"width {width:2}: " + ", ".join(f"{c:.3f} at h = {h:g}" for h, c in zip(steps, curvature[width], strict=True))
    )

# %% [markdown]
# Edgeworth's density is made of the connected functions alone. At one site it is a fair approximation, the better one
# at its next order, but it is a polynomial times a Gaussian and misses that peak:

# %%
density, error = m.exact_density(few[3], site, fields)
variance = truth.connected(2)[0]
curves = {"Gaussian": np.exp(-(fields[:, 0] ** 2) / (2.0 * variance)) / np.sqrt(2.0 * np.pi * variance)}
for order in (4, 6):
    curves[f"Edgeworth, order {order}"] = m.Edgeworth(m.exact(few[3], site), order=order).density(fields)
for name, curve in curves.items():
    print(f"{name}: largest distance from the exact density {np.max(np.abs(curve - density)):.4f}")

# %%
colours = dict(zip(curves, ("#8a8a8a", "#0072b2", "#d55e00"), strict=True))
density_figure, (upper, lower) = plt.subplots(2, 1, figsize=(4.8, 5.6), sharex=True, layout="constrained")
upper.plot(fields, density, color="#222222", lw=2.0, label="exact")
lower.plot(fields, density / curves["Gaussian"], color="#222222", lw=2.0)
for name, curve in curves.items():
    upper.plot(fields, curve, color=colours[name], lw=1.2, label=name)
    lower.plot(fields, curve / curves["Gaussian"], color=colours[name], lw=1.2)
upper.set(ylabel=r"$P(\phi)$", title="one site, three neurons")
upper.legend(frameon=False, loc="upper left", fontsize=8)
lower.set(xlabel=r"$\phi$", ylabel="over the Gaussian", xlim=(-3, 3), ylim=(0.5, 4.0))
plt.show()

# %% [markdown]
# At three sites it is no probability at all. It is negative on a good part of the Gaussian measure, on more of it at
# the next order, and not in a far tail: this is where it is lowest (on a grid), and how many networks are found in the
# region.

# %%
drawn = np.asarray(inf.Ensemble(few[3], points=points, n=networks, key=jax.random.key(6)).read(0, 20_000), dtype=float)
axis = np.linspace(-2.5, 2.5, 41)
grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
negative = {}
for order in (4, 6):
    edgeworth = m.Edgeworth(truth, order=order)
    negative[order] = edgeworth.negative_share(key=jax.random.key(7))
    values = edgeworth.density(grid)
    lowest = grid[np.argmin(values)]
    radius = np.sqrt(lowest @ np.linalg.solve(truth.tensor(2), lowest))
    print(f"order {order}: {negative[order]}")
    print(f"    lowest, {values.min():.3g}, at phi = {lowest.round(2).tolist()}, {radius:.1f} standard deviations out")
    print(f"    networks found where it is negative: {np.mean(edgeworth.ratio(drawn) < 0.0):.1%}")
ask(lambda: m.Edgeworth(truth, order=6).log_density(drawn))

# %% [markdown]
# ## The generating functional three ways
#
# $W[J] = \log \langle e^{J \cdot \phi} \rangle$ exactly, averaged over single neurons, and as the sum of the cumulants
# up to order six. The band of the sum is its last term. It grows like $J^6$, while the exact $W$ exists for every $J$
# and grows like $J^2$ in the end: soon the sum is of no use, and at the largest sources $W$ is outside the band.

# %%
strength = np.linspace(0.25, 3.0, 12)
sources = strength[:, None] * np.ones(3)
exact, _ = m.exact_generating(few[3], points, sources)
series = m.cumulant_series(truth, sources)
single = inf.Ensemble(few[3], points=points, n=networks, key=jax.random.key(8))
neurons = inf.generating(single, sources, space="neuron")
print("   J   exact    neurons             series    band")
for k in range(1, len(strength), 2):
    print(
        f"{strength[k]:4.2f} {exact[k]:7.3f} {neurons.value[k]:8.3f} +- {neurons.error[k]:.3f}"
        f" {series.value[k]:10.3f} {series.band[k]:7.3f}"
    )

# %%
generating_figure, panel = plt.subplots(figsize=(4.8, 3.8), layout="constrained")
low, high = series.value - series.band, series.value + series.band
panel.fill_between(strength, low, high, color="#d55e00", alpha=0.2, lw=0)
panel.plot(strength, series.value, color="#d55e00", lw=1.2, label="cumulants to order 6, last term as band")
panel.plot(strength, exact, color="#222222", lw=2.0, label="exact")
panel.errorbar(strength, neurons.value, 3.0 * neurons.error, fmt="o", ms=3.5, color="#0072b2", label="neurons, 3 sd")
panel.set(xlabel=r"$J$ at each of the three sites", ylabel=r"$W[J]$", ylim=(0.0, 1.6 * exact[-1]))
panel.legend(frameon=False, loc="upper left", fontsize=8)
plt.show()

# %% [markdown]
# The band is an indication, not a bound. With the source at one site the sixth cumulant of a Gaussian cosine vanishes
# ($\log I_0(x) = x^2/4 - x^4/64 + \ldots$ has no cube), and so does the band, while the sum is off:

# %%
at_one = np.array([[4.0, 0.0, 0.0]])
there = m.cumulant_series(truth, at_one)
known, _ = m.exact_generating(few[3], points, at_one)
print(f"series {there.value[0]:.3f}, band {there.band[0]:.3f}, exact {known[0]:.3f}")

# %% [markdown]
# Of the shared scale $W$ is not finite for every source: $\tau$ has the tail $e^{-\tau}$ and
# $\langle e^{J\phi} \rangle$ given $\tau$ grows like $e^{\tau J^2/2}$, so that $Z[J]$ at one site is infinite beyond
# $J = \sqrt{2}$, at any width.

# %%
for j in (0.5, 1.0, 1.6):
    source = np.array([[j, 0.0, 0.0]])
    ask(lambda source=source: f"J = {source[0, 0]}: W = {m.exact_generating(shared, points, source)[0][0]:.4f}")

# %% [markdown]
# ## Which neurons interact
#
# The connected four-point function has four legs, and each may sit on its own neuron. Independent neurons have only
# the pattern $iiii$. A shared scale correlates pairs: nearly all is $iijj$,
# $(1 - 1/N)\,\mathrm{Var}\,\tau\, \sum_3 K K$, and $iiij$, $iijk$ and $ijkl$ vanish within their errors.

# %%
ask(lambda: inf.measure_patterns(single))
patterns = inf.measure_patterns(ensemble)
print(patterns)

# %% [markdown]
# One width does not tell which part is a finite-width effect. Three do: what is fitted to survive $N = \infty$ is
# $\mathrm{Var}\,\tau\, \sum_3 K K$, and a $1/N^2$ term is not needed. This field theory stays interacting, and far from
# Gaussian, at infinite width.

# %%
for width in (4, 10):
    network = m.Network(m.Cos(), width, shared_scale=m.GammaScale(1.0))
    narrow = inf.Ensemble(network, points=points, n=networks, key=jax.random.key(100 + width))
    measured[width] = inf.measure(narrow, orders=(2, 4), space=None)
split = inf.split_widths(measured)
print(split)
limit = m.exact(m.Network(m.Cos(), 10**9, shared_scale=m.GammaScale(1.0)), points)
print(f"what survives against Var(tau) sum_3 K K: {(split.surviving - limit).chi2(4)}")
