# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A network solves the oscillator
#
# The other way round: not which field theory a network is, but a network for a given field theory. Scalar networks in a
# periodic box of time are weighted by $e^{-S}$ of a local $\frac{\lambda}{4!} \phi^4$ with its counterterm, and their
# width is sent to infinity. Field theory in one dimension is quantum mechanics. **The message: at infinite width the
# networks know the moments and the energy gap of the anharmonic oscillator, from weak to strong coupling.**

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np

from nnft import inference as inf
from nnft import models as m

networks = 400_000  # small: 16_384
couplings = (1.0, 6.0, 24.0) if networks > 100_000 else (6.0,)
widths = (16, 32, 64, 128)
box = m.Box(length=10.0, modes=32)

# %% [markdown]
# ## What is exact
#
# $H = p^2/2 + x^2/2 + \lambda x^4/4!$, diagonalised in two bases that agree to eleven digits. $\langle \phi^2 \rangle$
# is $\langle x^2 \rangle$, and the propagator $\langle \phi(0) \phi(t) \rangle$ falls with the gap $E_1 - E_0$.

# %%
exact = {coupling: m.Oscillator(quartic=coupling, beta=10.0) for coupling in couplings}
for coupling, oscillator in exact.items():
    print(f"lambda = {coupling:4}: <x^2> = {oscillator.moment(2):.10f}, E1 - E0 = {oscillator.gap:.10f}")

# %% [markdown]
# ## What the networks say
#
# A network is its Fourier coefficients in the box, so that $\int \phi^4$ is exact on a grid. The widths are made of the
# same neurons, and the limit is the average of a line and a parabola in $1/N$, with what they differ by in the error.

# %%
wide = {}
for coupling in couplings:
    theory = m.BoxTheory(box, width=max(widths), potential=m.Potential.phi4(coupling))
    wide[coupling] = inf.infinite_width(theory, inf.Reweighted(networks), widths=widths, key=jax.random.key(0))
    print(wide[coupling], "\n")

# %% [markdown]
# Left: $\langle \phi^2 \rangle$ over its exact value against $1/N$; the stars are the limits. Middle: the propagator at
# infinite width on the exact one, and the free propagator, dashed. Right: the wells with their levels, and the gap that
# the networks measured (stars, errors are smaller) above the exact ground state.

# %%
times = np.array([0.25, 0.5, 1.0, 1.5, 2.0, 2.5])
colours = dict(zip((1.0, 6.0, 24.0), ("#009e73", "#0072b2", "#d55e00"), strict=True))
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11.0, 4.0), layout="constrained")
line, x = np.linspace(0.0, 3.0, 61), np.linspace(-3.0, 3.0, 121)
middle.semilogy(line, m.Oscillator(quartic=0.0, beta=10.0).correlator(line), color="#8a8a8a", ls="--", lw=1.0)
for place, (coupling, limits) in enumerate(wide.items()):
    colour, truth = colours[coupling], exact[coupling]
    square, label = limits.moment(2), rf"$\lambda = {coupling:g}$"
    values, errors = np.array(square.by_width).T / truth.moment(2)
    left.errorbar(1 / np.array(widths), values, errors, fmt="o", ms=4, color=colour, label=label)
    left.errorbar(-0.002, square.value / truth.moment(2), square.error / truth.moment(2), fmt="*", ms=9, color=colour)
    propagator = limits.propagator(times)
    middle.plot(line, truth.correlator(line), color=colour, lw=1.0)
    middle.errorbar(
        times, [g.value for g in propagator], [2 * g.error for g in propagator], fmt="o", ms=4, color=colour
    )
    well, energies, gap = x**2 / 2 + coupling * x**4 / 24, truth.spectrum(3), limits.gap()
    inside = well < 7.5
    right.plot(x[inside] + 6 * place, well[inside], color=colour, lw=1.5)
    for energy in energies:
        reach = np.abs(x[well < energy]).max()
        right.plot([6 * place - reach, 6 * place + reach], [energy, energy], color="#222222", lw=0.8)
    right.errorbar(6 * place + 2.4, energies[0] + gap.value, 2 * gap.error, fmt="*", ms=9, color=colour)
left.axhline(1.0, color="#222222", lw=0.7)
left.set(xlabel="$1/N$", ylabel=r"$\langle \phi^2 \rangle$ / exact", title="to infinite width")
left.legend(frameon=False, fontsize=8)
middle.set(xlabel="$t$", ylabel=r"$\langle \phi(0) \phi(t) \rangle$", title="the propagator there", ylim=(2e-3, 0.7))
right.set(xticks=[], ylabel="energy", ylim=(0, 7.5), title="levels; measured: the second one")
plt.show()

# %%
for coupling, limits in wide.items():
    truth = exact[coupling]
    for name, found, known in (("<phi^2>", limits.moment(2), truth.moment(2)), ("gap", limits.gap(), truth.gap)):
        off = (found.value - known) / found.error
        said = f"{found.value:.5f} +- {found.error:.5f}, exact {known:.5f}, {off:+.1f} errors"
        print(f"lambda = {coupling:4}: {name:>7} {said}")

# %% [markdown]
# ## The message, asserted

# %%
for coupling, limits in wide.items():
    truth, square, gap = exact[coupling], limits.moment(2), limits.gap()
    assert abs(square.value - truth.moment(2)) < 5 * square.error
    assert abs(gap.value - truth.gap) < 5 * gap.error
    if networks > 100_000:
        assert square.error < 0.006 * truth.moment(2)
        assert gap.error < 0.02 * truth.gap

# %% [markdown]
# ## Exercises
#
# 1. A double well: `m.Oscillator(mass2=-1.0, quartic=6.0)` and `m.Potential({2: -1.0, 4: 0.25})`, whose terms stand
#    beside the free mass of the box. Which number of effective networks does `inf.Reweighted` report, and what does
#    `inf.Tempered` do about it?
# 2. The slope in $1/N$ of $\langle \phi^2 \rangle$ at weak coupling is known, $+3\lambda/32$ for neurons of constant
#    amplitude. Measure it at $\lambda = .05$.
#
# ## Find the mistake
#
# The box has 32 modes, so its field is $\phi(t) = \sum_{|k| \le 32} c_k e^{ip_k t}$, and $\langle \phi^2 \rangle$ is
# the sum of $\langle |c_k|^2 \rangle$. At infinite width that comes out several per cent below the oscillator's, by
# many errors. More networks do not help, and the width is infinite already.

# %%
claimed = wide[6.0].moment(2, complete=False)
print(f"<phi^2> = {claimed.value:.5f} +- {claimed.error:.5f}, exact {exact[6.0].moment(2):.5f}")

# %% tags=["hide-cell"]
# The modes beyond the cutoff are missing. They are nearly free, and what they would add is known: the sum of
# 1/(p^2 + m^2)/L over them. (They also shift the mass of the modes that are there: hence the counterterm.)
missing = wide[6.0].found[0].theory.missing
print(f"the missing modes carry {missing:.5f}; together {claimed.value + missing:.5f}")
assert abs(claimed.value - exact[6.0].moment(2)) > 5 * claimed.error
assert abs(claimed.value + missing - exact[6.0].moment(2)) < 5 * claimed.error
