# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # One hundred million networks in a blink
#
# The first experiment of neural-network field theory drew millions of networks of three kinds and ten widths, and
# measured how their four- and six-point functions leave those of a Gaussian field (arXiv:2008.08601). All of these are
# known in closed form or by quadrature. **The message: the published laws come out to many digits in milliseconds, and
# what a hundred million networks would say, error bars included, is known without drawing one of them.**

# %%
import time
from itertools import permutations

import jax
import matplotlib.pyplot as plt
import numpy as np

from nnft import inference as inf
from nnft import models as m

networks = 400_000  # small: 20_000
key = jax.random.key(0)

# %% [markdown]
# ## What was published
#
# Typed in from arXiv:2008.08601, section 2 (networks $\phi = b_1 + \sum_i W_i s_i$ with the same $\sigma_W = 1$ and
# $\sigma_b$ in both layers, inputs, widths), section 3 (the powers of $N$) and section 4 (how the local coupling runs
# with the cutoff $\Lambda$ of its integral, $d = 1$).

# %%
widths = (2, 3, 4, 5, 10, 20, 50, 100, 500, 1000)
wide, right_half = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0]), np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
published = {  # neuron, sigma_b, inputs, inputs of the coupling here, power of a large cutoff
    "Gauss": (m.Gauss, 1.0, 0.01 * wide, 0.01 * right_half, 0.0),
    "Erf": (m.Erf, 1.0, wide, right_half, -1.0),
    "ReLU": (m.ReLU, 0.0, right_half, right_half, -5.0),
}
powers = {4: -1.0, 6: -2.0}  # of N, of the connected functions


def network(name, width):
    """A published network: both layers share their scales, and there is an output bias."""
    return m.Network.tied(published[name][0], width, bias_scale=published[name][1])


# %% [markdown]
# ## All of it, exactly
#
# Three networks, ten widths, two, four and six points at six inputs: 21 + 126 + 462 numbers each.

# %%
started = time.process_time()
exact = {
    (name, width): m.exact(network(name, width), given[2][:, None], orders=(2, 4, 6))
    for name, given in published.items()
    for width in widths
}
took = time.process_time() - started
print(f"{30 * (21 + 126 + 462):,} numbers in {took:.2f} CPU-s")
slopes = {}
for name in published:
    for order in powers:
        sizes = [np.mean(np.abs(exact[name, width].connected(order))) for width in widths]
        slopes[name, order] = np.polyfit(np.log(widths), np.log(sizes), 1)[0]
        print(f"{name:>6}: connected {order}-point function falls like N^{slopes[name, order]:.9f}")

# %% [markdown]
# The local coupling from $G_4^c = -24 \lambda \int_{-\Lambda}^{\Lambda} dy \prod K(x_i, y)$. ReLU's is $\lambda =
# -12.5/(N \Lambda^5)$ exactly; the kernel of Gauss falls so fast that the integral converges, that of Erf levels off,
# so that the integral grows with $\Lambda$ in the end.

# %%
cutoffs = np.array([10.0, 30.0, 100.0, 300.0, 1000.0])
running, last = {}, {}
for name, (_, _, _, inputs, power) in published.items():
    net, x = network(name, 20), inputs[:, None]
    data = m.exact(net, x, orders=(2, 4))
    fits = [inf.fit_correlators(data, inf.vertex_design(net, x, cutoff=c), weights="equal") for c in cutoffs]
    running[name] = np.array([20 * fit.coupling("local")[0] for fit in fits])
    last[name] = np.log(running[name][-1] / running[name][-2]) / np.log(cutoffs[-1] / cutoffs[-2])
    said = f"N lambda = {running[name][-1]:.6g} at cutoff 1000, last power of the cutoff {last[name]:+.4f}"
    print(f"{name:>6}: {said}, published {power:+.0f}")

# %% [markdown]
# ## What networks would need
#
# The noise of $n$ networks is Wick's theorem for eight legs. A line falls below the noise where no experiment with so
# many networks can see it; the measured points are erf networks of width five.

# %%
ensemble = inf.Ensemble(network("Erf", 5), points=wide[:, None], n=networks, key=key)
measured = inf.measure(ensemble, orders=(2, 4))
agreement = (measured - exact["Erf", 5]).chi2(4)
print(f"erf, width 5, {networks:,} networks against the exact four-point function: {agreement}")
kernel = exact["Erf", 1000].tensor(2)
quads = exact["Erf", 5].tuples(4)
line = [[kernel[quads[:, j], quads[:, k]] for k in range(4)] for j in range(4)]
pairs = line[0][1] * line[2][3] + line[0][2] * line[1][3] + line[0][3] * line[1][2]
wick = sum(line[0][p[0]] * line[1][p[1]] * line[2][p[2]] * line[3][p[3]] for p in permutations(range(4)))
noise = np.median(np.sqrt(wick) / pairs)

figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 4.2), layout="constrained", width_ratios=[3, 2])
for name, colour in zip(published, ("#009e73", "#0072b2", "#d55e00"), strict=True):
    for order, style in ((4, "-"), (6, "--")):
        scale = exact[name, 1000].moment(order)
        values = [np.mean(np.abs(exact[name, width].connected(order) / scale)) for width in widths]
        left.loglog(widths, values, style, color=colour, label=f"{name}, {order} points")
    right.loglog(cutoffs, -running[name], "o-", color=colour, label=name)
for n in (1e4, 1e6, 1e8):
    left.axhline(noise / np.sqrt(n), color="#8a8a8a", lw=0.8)
    left.text(2, 1.15 * noise / np.sqrt(n), f"$10^{np.log10(n):.0f}$", fontsize=8, color="#555555")
share = measured.connected(4) / pairs
left.errorbar(5, np.mean(np.abs(share)), np.mean(measured.error(4) / pairs), fmt="o", color="#0072b2", ms=5)
left.set(xlabel="width $N$", ylabel="$|G_c| / G_{GP}$", title="grey: noise of so many networks in $G_4$")
left.legend(frameon=False, fontsize=7, ncols=3, loc="lower left")
right.set(xlabel=r"cutoff $\Lambda$", ylabel=r"$-N \lambda$", title="the coupling runs")
right.legend(frameon=False, fontsize=8)
plt.show()

# %% [markdown]
# ## The posterior of networks that were never drawn
#
# `as_if_n` turns exact correlators into the posterior that so many networks would give. Where networks are drawn it can
# be held against them; at $10^8$ it costs the same.

# %%
points = np.array([[-3.0], [-1.0], [1.0], [3.0]])
net, options = m.Network(m.Erf(bias_scale=1.0), 50), {"key": key, "sampler": inf.Closed(draws=100)}
truth = m.exact(net, points)
drawn = inf.fit(inf.Ensemble(net, points=points, n=networks, key=key), m.Bilocal(), **options)["constant_data"]
errors = {}
for n in (networks, 10**8):
    started = time.process_time()
    errors[n] = inf.fit(truth, m.Bilocal(), as_if_n=n, **options)["constant_data"]["closed_sd"].values
    print(f"as if from {n:,} networks: errors {errors[n][-3:].round(6)}, {time.process_time() - started:.1f} CPU-s")
ratio = drawn["closed_sd"].values / errors[networks]
print("drawn over as-if:", ratio.round(3))

# %% [markdown]
# ## The message, asserted

# %%
for (_, order), slope in slopes.items():
    assert abs(slope - powers[order]) < 1e-9
np.testing.assert_allclose(running["ReLU"], -12.5 / cutoffs**5, rtol=1e-9)
for name, (*_, power) in published.items():
    assert abs(last[name] - power) < 0.05
assert not agreement.p < 1e-6
np.testing.assert_allclose(errors[networks] / errors[10**8], np.sqrt(10**8 / networks), rtol=0.02)
if networks >= 100_000:
    assert np.all(np.abs(ratio - 1.0) < 0.15)

# %% [markdown]
# ## Exercises
#
# 1. How many networks of width 1000 would see the connected six-point function of ReLU at all? Count noise as above,
#    for twelve legs, and compare with the number of networks ever drawn in print.
# 2. Fit the three published couplings together, `couplings=("local", "quadratic", "nonlocal")`. What does the suite
#    answer, and which combinations does it offer in their place?
#
# ## Find the mistake
#
# The published figure shows the mean of $|G^{(4)}/G^{(4)}_{GP} - 1|$ over all components. At width 1000 a colleague
# finds per cents, hundreds of times the $1/N$ law continued from width five, and writes that the fall has stopped.

# %%
thousand = inf.Ensemble(network("Erf", 1000), points=wide[:, None], n=20_000, key=jax.random.key(2))
found = inf.measure(thousand, orders=(2, 4))
relative = found.moment(4) / pairs - 1.0
claimed = np.mean(np.abs(relative))
law = np.mean(np.abs(exact["Erf", 1000].moment(4) / pairs - 1.0))
print(f"found {claimed:.4f}, the law {law:.5f}")

# %% tags=["hide-cell"]
# A mean of absolute values is positive for noise alone: sqrt(2/pi) times the error where nothing is there. The floor
# stands beside the number, and only signed means may be compared between widths.
floor = np.sqrt(2 / np.pi) * np.mean(found.error(4, "moment") / pairs)
print(f"noise alone would give {floor:.4f}; signed mean {np.mean(relative):+.4f}")
assert claimed > 3 * law
assert claimed < 3 * floor
