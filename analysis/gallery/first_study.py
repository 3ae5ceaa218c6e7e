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
# An ensemble of networks $\phi(x) = N^{-1/2} \sum_i W_i \cos(w_i x + c_i)$ is a Euclidean field theory. This
# notebook draws one, measures its correlators, holds them against the exact ones, fits the couplings of a quartic
# action and asks how much of the interaction that action explains.

# %%
import jax
import numpy as np

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m

networks = 1_000_000
points = np.array([[-3.0], [-1.0], [1.0], [3.0]])
network = m.Network(m.Cos(), width=20)

# %% [markdown]
# ## Correlators
#
# The ensemble is a recipe: nothing is drawn before it is measured, and a million networks take no more memory than
# ten thousand. `measure` returns moments and unbiased connected functions with their covariance; `exact` returns the
# same type.

# %%
ensemble = inf.Ensemble(network, points=points, n=networks, key=jax.random.key(0))
data = inf.measure(ensemble, orders=(2, 4, 6))
truth = m.exact(network, points)
print(data)

# %% [markdown]
# Measured minus exact is zero within the full covariance:

# %%
print((data - truth).chi2(2, 4))

# %% [markdown]
# At width 20 the network is not Gaussian, and at width 2000 it nearly is: $G_4^c$ falls like $1/N$.

# %%
for width in (20, 200, 2000):
    exact = m.exact(m.Network(m.Cos(), width), points)
    print(width, exact.connected(4)[0], m.non_gaussianity(exact.connected(4), None, exact.tensor(2))[0])

# %% [markdown]
# ## Couplings
#
# $S = \sum_{a \le b} q_{ab} \phi_a \phi_b + \sum_{ab} \sum_i \lambda_i(x_a, x_b) \phi_a^i \phi_b^{4-i}$, fitted by
# score matching, quadratic part included; the errors are those of the sandwich covariance. The posterior is an
# `xarray.DataTree`, so that everything ArviZ does can be done with it.

# %%
fit = inf.fit(data, m.Bilocal(), key=jax.random.key(1))
fit["derived"]["lam"].sel(i=2).mean(("chain", "draw"))

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
# ## Nearly everything it misses is non-bilocal
#
# $\phi_a \phi_b \phi_c^2$ and $\phi_a \phi_b \phi_c \phi_d$ are not in the bilocal action. Their Schwinger-Dyson
# equations say that they are there, and the full quartic action, which contains them, explains the rest of the gain.

# %%
an.plot_schwinger_dyson(fit)

# %%
full = inf.fit(data, m.FullQuartic(), key=jax.random.key(2))
print(an.diagnose(full))
