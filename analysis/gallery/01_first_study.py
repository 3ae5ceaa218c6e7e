# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From random networks to the couplings of their field theory
#
# An ensemble of networks $\phi(x) = N^{-1/2} \sum_i W_i \cos(w_i x + c_i)$ is a Euclidean field theory. This notebook
# draws a million, measures their correlators, holds them against the exact ones, fits the couplings of a quartic action
# and asks how much of the interaction that action explains. **The message: the numbers agree with what is known
# exactly, and a bilocal action explains two thirds of the interaction.**

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m

networks = 1_000_000  # small: 20_000
key = jax.random.key(0)
points = np.array([[-3.0], [-1.0], [1.0], [3.0]])
network = m.Network(m.Cos(), width=20)

# %% [markdown]
# ## What a field of networks looks like
#
# Each curve is one network. At a single point the field is nearly Gaussian, and not quite: the exact density of twenty
# neurons, a Fourier integral, has more in its centre and in its tails than the Gaussian of the same variance, and the
# networks follow it.

# %%
line = np.linspace(-5.0, 5.0, 201)
fields = np.asarray(inf.Ensemble(network, points=line[:, None], n=networks, key=key).read(0, 200))
single = np.asarray(inf.Ensemble(network, points=points[:1], n=networks, key=key).read(0, networks))[:, 0]
grid, bins = np.linspace(-3.2, 3.2, 129), np.linspace(-3.2, 3.2, 33)
density, _ = m.exact_density(network, points[:1], grid[:, None])
gauss = stats.norm(scale=np.sqrt(0.5))
counts, expected = np.histogram(single, bins)[0], networks * np.diff(gauss.cdf(bins))

figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.4), layout="constrained", width_ratios=[3, 2])
left.plot(line, fields.T, color="#0072b2", lw=0.4, alpha=0.25)
left.plot(line, fields[:3].T, lw=2.0, color="#d55e00")
left.set(xlabel="$x$", ylabel=r"$\phi(x)$", title="two hundred networks of width 20", xlim=(-5, 5))
right.errorbar(
    0.5 * (bins[1:] + bins[:-1]),
    counts / expected,
    np.sqrt(counts) / expected,
    fmt="o",
    ms=3,
    color="#0072b2",
    label="networks",
)
right.plot(grid, density / gauss.pdf(grid), color="#222222", lw=1.5, label="exact")
right.axhline(1.0, color="#d55e00", lw=1.0, label="Gaussian")
right.set(xlabel=r"$\phi$ at one point", ylabel="density over the Gaussian", ylim=(0.8, 2.0), title="and all of them")
right.legend(frameon=False, fontsize=8)
plt.show()

# %% [markdown]
# ## Correlators
#
# The ensemble is a recipe: nothing is drawn before it is measured, and a million networks take no more memory than ten
# thousand. `measure` returns moments and unbiased connected functions with their covariance; `exact` returns the same
# type, and measured minus exact is zero within the full covariance.

# %%
ensemble = inf.Ensemble(network, points=points, n=networks, key=key)
data = inf.measure(ensemble, orders=(2, 4, 6))
truth = m.exact(network, points)
print(data)
agreement = (data - truth).chi2(2, 4)
print(agreement)

# %% [markdown]
# At width 20 the network is not Gaussian, and at width 2000 it nearly is: $G_4^c$ falls like $1/N$.

# %%
for width in (20, 200, 2000):
    exact = m.exact(m.Network(m.Cos(), width), points)
    eps4 = m.non_gaussianity(exact.connected(4), None, exact.tensor(2))[0]
    print(f"width {width:4}: G4c(x,x,x,x) = {exact.connected(4)[0]:.5f}, eps4 = {eps4:.5f}")

# %% [markdown]
# ## Couplings
#
# $S = \sum_{a \le b} q_{ab} \phi_a \phi_b + \sum_{ab} \sum_i \lambda_i(x_a, x_b) \phi_a^i \phi_b^{4-i}$, fitted by
# score matching, quadratic part included; the errors are those of the sandwich covariance. The posterior is an
# `xarray.DataTree`, so that everything ArviZ does can be done with it. The diagonal is empty in this gauge: there the
# terms of all $i$ are the same $\phi_a^4$ and stand in $\lambda_0$.

# %%
fit = inf.fit(data, m.Bilocal(), key=jax.random.key(1))
fit["derived"]["lam"].sel(i=2).mean(("chain", "draw")).round(4)

# %%
an.plot_couplings(fit)

# %% [markdown]
# ## How far to trust it
#
# Each check has a number and a limit. A warning is about physics, a failure would be about the numbers themselves.

# %%
checks = an.diagnose(fit)
print(checks)

# %%
for check in checks:
    if check.verdict == "warn":
        print(f"{check.name}: {check.why}")

# %% [markdown]
# What the fitted action predicts for the connected four-point function, at tree level and with one loop, over the
# measurement and the exact values:

# %%
an.plot_four_point(fit)

# %% [markdown]
# ## Nearly everything it misses is not bilocal
#
# $\phi_a \phi_b \phi_c^2$ and $\phi_a \phi_b \phi_c \phi_d$ are not in the bilocal action. Their Schwinger-Dyson
# equations say that they are there, and the full quartic action, which contains them, explains the rest of the gain.

# %%
an.plot_schwinger_dyson(fit)

# %% [markdown]
# ## The message, asserted
#
# From exact correlators, without any statistical error, the share of the gain is known; the fit finds it again.

# %%
shares = an.rungs({"cos": truth})
exact_share = shares["cos", "bilocal"].share
print(f"measured against exact: {agreement}")
found = next(check.value for check in checks if check.name == "share of the gain")
print(f"share of the gain: {exact_share:.1%} exactly, {found} from these networks")
assert agreement.p > 1e-6  # once in a million
assert 0.6 < exact_share < 0.7
assert shares["cos", "local"].share < 0.05
assert "R-hat" not in [check.name for check in checks.failed]

# %% [markdown]
# ## Exercises
#
# 1. How many networks does it take to see that a network of width 200 is not Gaussian? `inf.design(network, points,
#    n)` says it before any is drawn. Then draw them.
# 2. Move the points closer, to spacing 1 and .5. What happens to `eps4`, to the share of the gain, and to the number
#    of resolved combinations? Which of the three is a property of the networks, and which of the points?

# %% [markdown]
# ## Find the mistake
#
# A colleague wants the quartic coupling at one site, $S = \frac{a}{2} \phi^2 + \ell \phi^4$, and reasons: the quadratic
# part is known, $a = 1/G_2$, and only $\ell$ has to be fitted. Score matching asks that $\langle T'' \rangle = \langle
# T' S' \rangle$ for every term $T$ of the action; with $T = \phi^4$ that is one equation for $\ell$. The moments are
# exact, the algebra is right. The answer is less than half of what it should be. Why?

# %%
one = m.exact(network, points[:1])
m2, m4, m6 = (one.moment(order)[0] for order in (2, 4, 6))
claimed = (12 * m2 - 4 * m4 / m2) / (16 * m6)
print(f"l = {claimed:.4f}")

# %% tags=["hide-cell"]
# The quartic term changes <phi^2> as well, so that a is not 1/G2: the counterterm is of the same order as the coupling.
# Fitted together, from <T''> = <T' S'> with T = phi^2/2 and T = phi^4:
a, right = np.linalg.solve([[m2, 4 * m4], [4 * m4, 16 * m6]], [1.0, 12 * m2])
print(f"a = {a:.4f} instead of {1 / m2:.4f}, l = {right:.4f} instead of {claimed:.4f}")
assert abs(claimed) < 0.5 * abs(right)
