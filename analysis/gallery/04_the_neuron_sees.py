# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The neuron sees what the field cannot
#
# The connected four-point function of a wide network is a small remainder of large fluctuations, and the noise does not
# know how small it is. But a field of independent neurons is known once *one* neuron is: $G_4^c = \kappa_4(h)/N$. **The
# message: what would cost a hundred million networks is read off ten thousand neurons, and evenly spread ones give
# seven digits.**

# %%
from itertools import permutations

import jax
import matplotlib.pyplot as plt
import numpy as np

from nnft import inference as inf
from nnft import models as m

networks = 10_000_000  # small: 10_000
points = np.array([[-1.0], [0.2], [1.0]])
sizes = [n for n in (10_000, 100_000, 1_000_000, 10_000_000) if n <= networks]


def network(width):
    """Erf neurons with a bias."""
    return m.Network(m.Erf(bias_scale=1.0), width)


truth = m.exact(network(100), points, orders=(2, 4))
size = np.linalg.norm(truth.connected(4))

# %% [markdown]
# ## What the field must cost
#
# The fluctuations of a nearly Gaussian field are those of a Gaussian one: Wick's theorem gives the variance of the
# measured $\phi_a \phi_b \phi_c \phi_d$, connected part, as the sum over the 24 ways to pair a leg with a leg of its
# copy, $\sum_\pi K_{a\pi(a)} K_{b\pi(b)} K_{c\pi(c)} K_{d\pi(d)}$, over the number of networks. No drawing is needed to
# know the price: one per cent of $G_4^c$ at width $N$ takes $n \propto N^2$ networks.

# %%
kernel = truth.tensor(2)
pairings = list(permutations(range(4)))
variance = sum(np.prod([kernel[t[k], t[p[k]]] for k in range(4)]) for t in truth.tuples(4) for p in pairings)
price = variance / size**2  # (relative error)^2 times n
for width in (10, 100, 1000):
    print(f"width {width:5}: {price / 0.01**2 * (width / 100) ** 2:.1e} networks for one per cent of G4c")

# %% [markdown]
# ## What it does cost, in four ways
#
# Averages over fields; over hidden layers, with the Gaussian readout integrated out; over single neurons; over neurons
# that are not drawn at random but fill their space evenly (scrambled Sobol points, sixteen scrambles, whose spread is
# the error). All are the same type, and all are held against the exact result.

# %%
ways = {
    "field": {"space": "field"},
    "readout": {"space": "readout"},
    "neuron": {"space": "neuron"},
    "Sobol": {"space": "neuron", "sampling": inf.Sobol(scrambles=16)},
}
stated, found, cost, data = {}, {}, {}, {}
for way, options in ways.items():
    stated[way], found[way], cost[way] = [], [], []
    for n in sizes:
        if options["space"] in ("field", "readout") and n > 1_000_000:
            continue
        ensemble = inf.Ensemble(network(100), points=points, n=n, key=jax.random.key(len(stated)))
        data[way] = inf.measure(ensemble, orders=(2, 4), **options)
        stated[way].append(np.linalg.norm(data[way].error(4)) / size)
        found[way].append(np.linalg.norm((data[way] - truth).connected(4)) / size)
        cost[way].append(data[way].networks)
        print(f"{way:>8}, n = {cost[way][-1]:>10,.0f}: error {stated[way][-1]:.1e} of G4c, off by {found[way][-1]:.1e}")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 4.4), layout="constrained", width_ratios=[3, 2])
colours = {"field": "#8a8a8a", "readout": "#009e73", "neuron": "#0072b2", "Sobol": "#d55e00"}
many = np.array([1e4, 1e8])
left.loglog(many, np.sqrt(price / many), color=colours["field"], lw=1.0, ls="--")
for way, colour in colours.items():
    left.loglog(cost[way], stated[way], "o-", color=colour, label=f"{way}: stated error", ms=5)
    left.loglog(cost[way], found[way], "x", color=colour, ms=7)
left.axhline(1.0, color="#222222", lw=0.7)
left.text(1.2e4, 0.6, "below this line $G_4^c$ is seen", fontsize=8, va="top")
left.set(xlabel="networks, hidden layers or neurons drawn", ylabel="error of $G_4^c$, relative", xlim=(7e3, 1.4e8))
left.set_title("dots: stated, crosses: what it is off by", fontsize=9)
left.legend(frameon=False, fontsize=8)
widths = np.array([3.0, 3e4])
needed = {way: np.array(stated[way][0]) ** 2 * cost[way][0] / 0.01**2 for way in ("readout", "neuron")}
right.loglog(widths, price / 0.01**2 * (widths / 100) ** 2, color=colours["field"], label="networks")
right.loglog(widths, np.full(2, needed["neuron"]), color=colours["neuron"], label="neurons")
right.plot(100, needed["readout"], "o", color=colours["readout"], label="hidden layers")
right.plot(100, 1e4 * (stated["field"][0] / 0.01) ** 2, "o", color=colours["field"])
right.set(xlabel="width $N$", ylabel="draws for one per cent of $G_4^c$", title="the price of the sum over neurons")
right.legend(frameon=False, fontsize=8)
plt.show()

# %% [markdown]
# ## The message, asserted

# %%
assert abs(stated["field"][0] ** 2 * 1e4 / price - 1.0) < 0.2  # Wick knows the price
assert price / 0.01**2 > 1e8
assert stated["neuron"][0] < 0.02
for way in ways:
    assert all(0.1 < off / error < 4.0 for off, error in zip(found[way], stated[way], strict=True))
if len(sizes) > 3:
    assert stated["Sobol"][-1] < 1e-6
    slope = np.polyfit(np.log(cost["Sobol"]), np.log(stated["Sobol"]), 1)[0]
    print(f"the error of Sobol points falls like n^{slope:.2f}")
    assert slope < -1.0

# %% [markdown]
# ## Exercises
#
# 1. Replace erf by `m.ReLU(bias_scale=1.0)` in two dimensions. What is left of the gain of Sobol points, and why
#    (think of the kink and of the number of numbers behind a neuron)?
# 2. Give the neurons a common random scale, `shared_scale=m.GammaScale(0.1)`. Which of the four ways is refused, and
#    with which reason? Which of the others is cheapest?
#
# ## Find the mistake
#
# An error bar is the standard deviation over the root of the number of points, whatever points they are, says the
# colleague, and takes the one of independent neurons for the Sobol points too. Compared with the exact result, no
# component is off by even one of these errors.

# %%
claimed = data["neuron"].error(4) * np.sqrt(data["neuron"].networks / data["Sobol"].networks)
z = (data["Sobol"] - truth).connected(4) / claimed
print("off by, in claimed errors:", z.round(3))

# %% tags=["hide-cell"]
# Points that fill the space evenly are not independent: they repel each other, and their averages scatter far less than
# sd/sqrt(n). The error is the spread of the averages of independent scrambles. Numbers that agree too well are as wrong
# as numbers that do not agree.
right_z = (data["Sobol"] - truth).connected(4) / data["Sobol"].error(4)
print("off by, in errors:", right_z.round(2))
assert np.sqrt(np.mean(z**2)) < 0.5
assert 0.2 < np.sqrt(np.mean(right_z**2)) < 3.0
