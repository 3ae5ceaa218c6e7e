# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What training does to the action
#
# An ensemble of trained networks is a random function as the one it was drawn from. The readouts of erf networks follow
# the gradient flow that fits two data, in closed form, and every network is looked at again and again on its way. **The
# message: learning breaks $\phi \to -\phi$, so that linear and cubic couplings appear, and while its fluctuations
# shrink, the field moves away from the Gaussian in units of its own fluctuations.**

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np

from nnft import analysis as an
from nnft import inference as inf
from nnft import models as m

networks = 400_000  # small: 20_000
key = jax.random.key(0)
times = (0.0, 0.25, 0.5, 1.0, 2.0)
inputs, targets = [[-1.0], [0.6]], [1.0, -0.5]
network = m.Network(m.Erf(bias_scale=0.5), width=16)
trained = m.Trained(network, inputs, targets, m.LastLayer(times=times))

# %% [markdown]
# ## The functions
#
# The field has one output for every time. At infinite width the ensemble stays Gaussian, and its mean and covariance
# are known at all times (the band: mean and two standard deviations); sixteen neurons follow them nearly.

# %%
line = np.linspace(-2.5, 2.5, 81)
drawn = np.asarray(inf.Ensemble(trained, points=line[:, None], n=networks, key=key).read(0, 60))
drawn = drawn.reshape(60, len(line), len(times))  # a place is (point, output)
limit = m.limit(trained, line[:, None])
figure, panels = plt.subplots(1, 3, figsize=(10.0, 3.2), sharey=True, layout="constrained")
for panel, k in zip(panels, (0, 2, 4), strict=True):
    sd = np.sqrt(np.diagonal(limit.covariance[k]))
    panel.fill_between(line, limit.mean[k] - 2 * sd, limit.mean[k] + 2 * sd, color="#8a8a8a", alpha=0.25, lw=0)
    panel.plot(line, drawn[:, :, k].T, color="#0072b2", lw=0.5, alpha=0.5)
    panel.plot(line, limit.mean[k], color="#222222", lw=1.5)
    panel.plot(np.ravel(inputs), targets, "o", color="#d55e00", ms=7)
    panel.set(title=f"t = {times[k]:g}", xlabel="$x$", xlim=(-2.5, 2.5), ylim=(-2.6, 2.6))
panels[0].set_ylabel(r"$\phi_t(x)$")
plt.show()

# %% [markdown]
# ## Correlators and couplings against time
#
# `an.drift` measures every time on the same networks, so that changes are differences network by network, and fits an
# action at each: a bilocal one with linear and cubic terms. Two points will do, one between the data and one outside.

# %%
points = np.array([[-0.2], [1.4]])
ensemble = inf.Ensemble(trained, points=points, n=networks, key=key)
drift = an.drift(ensemble, m.Odd(m.Bilocal()), key=key, sampler="closed")
print(drift)

# %%
an.plot_drift(drift)

# %% [markdown]
# ## In units of its own fluctuations
#
# Skewness $G_3^c/G_2^{3/2}$ and excess kurtosis $G_4^c/G_2^2$ at $x = 1.4$. $G_2$ falls five times and $G_4^c$ nine
# times as the readouts forget where they began, but $G_2^2$ falls 27 times.

# %%
last = [{order: c.connected(order)[-1] for order in (2, 3, 4)} for c in drift.correlators]
off = [{order: c.error(order)[-1] for order in (2, 3, 4)} for c in drift.correlators]
skewness = np.array([g[3] / g[2] ** 1.5 for g in last])
kurtosis = np.array([g[4] / g[2] ** 2 for g in last])
errors = np.array([(e[3] / g[2] ** 1.5, e[4] / g[2] ** 2) for g, e in zip(last, off, strict=True)])
couplings = [{one.text: one for one in drift.couplings(k)} for k in range(len(times))]

figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
for values, error, colour, what in (
    (skewness, errors[:, 0], "#d55e00", "skewness"),
    (kurtosis, errors[:, 1], "#0072b2", "excess kurtosis"),
):
    left.errorbar(times, values, error, fmt="o-", ms=4, color=colour, label=what)
left.axhline(0.0, color="#222222", lw=0.7)
left.set(xlabel="time of training", title="away from the Gaussian", ylim=(-0.03, None))
left.legend(frameon=False, fontsize=8)
for name, power, colour in (("h[1]", 1, "#8a8a8a"), ("c[1,1,1]", 3, "#d55e00"), ("g[1]", 4, "#0072b2")):
    scale = np.array([g[2] ** (power / 2) for g in last])
    values = np.array([(found[name].mean, found[name].sd) for found in couplings]).T * scale
    right.errorbar(times, values[0], values[1], fmt="o-", ms=4, color=colour, label=f"{name} $G_2^{{{power}/2}}$")
right.axhline(0.0, color="#222222", lw=0.7)
right.set(xlabel="time of training", title="couplings in units of the field", yscale="symlog")
right.set_yscale("symlog", linthresh=0.01)
right.legend(frameon=False, fontsize=8)
plt.show()

# %% [markdown]
# ## The message, asserted

# %%
start, end = couplings[0], couplings[-1]
assert abs(start["h[1]"].mean) < 6 * start["h[1]"].sd
assert abs(end["h[1]"].mean) > 10 * end["h[1]"].sd
assert last[-1][4] < 0.2 * last[0][4]
known = m.limit(trained, points)
assert np.all(np.abs(drift.correlators[0].connected(1) - known.mean[0]) < 6 * drift.correlators[0].error(1))
if networks >= 100_000:
    assert abs(start["c[1,1,1]"].mean) < 6 * start["c[1,1,1]"].sd
    assert abs(end["c[1,1,1]"].mean) > 10 * end["c[1,1,1]"].sd
    assert skewness[-1] > 10 * errors[-1, 0]
    assert kurtosis[-1] - kurtosis[0] > 5 * np.hypot(errors[-1, 1], errors[0, 1])

# %% [markdown]
# ## Exercises
#
# 1. Train all parameters instead of the readout: `m.Descent(rate=0.02, steps=(0, 50))`. Is the field more or less
#    Gaussian than after the same loss with the last layer alone?
# 2. Let the width grow to 64 and 256. Which of the couplings at $t = 2$ fall like $1/N$, and which do not fall at
#    all?
#
# ## Find the mistake
#
# The coupling $g_1$ of $\phi_1^4$ grows from $-.01$ to $-.4$ while the networks learn. A colleague writes: training
# makes the interaction forty times stronger.

# %%
claimed = end["g[1]"].mean / start["g[1]"].mean
print(f"g[1] has grown {claimed:.0f} times")

# %% tags=["hide-cell"]
# A coupling has a unit, the field to the power -4, and the field has shrunk: its variance is five times smaller. What
# the interaction does to it is measured by g G2^2, and that has changed two or three times.
right_one = claimed * (last[-1][2] / last[0][2]) ** 2
print(f"g[1] G2^2 has changed {right_one:.1f} times")
assert claimed > 10.0
assert right_one < 0.1 * claimed
