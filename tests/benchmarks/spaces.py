"""The fourth cumulant in field, readout and neuron space: variances at equal networks, and seconds to a given error."""

import time

# Variance of G4c at equal numbers of networks, field over readout-integrated, mean over the 126 components at 6 points:
# (output bias, width) -> what was promised. It grows like N^2.
RATIOS = {(1.0, 100): 1e6, (0.0, 100): 1e4, (1.0, 1000): 1e8, (0.0, 1000): 1e6}


def duality() -> list[str]:
    """Field space, readout integrated out and neuron space side by side: variances, and seconds to 0.1 % of G4c."""
    import jax
    import numpy as np

    from nnft import inference as inf
    from nnft import models as m

    points = np.linspace(-1.0, 1.0, 6)[:, None]
    failures, found = [], {}
    for (bias, width), goal in RATIOS.items():
        net = m.Network(m.Erf(), width, output_bias=bias)
        n = 20_000 if width == 100 else 10_000
        ensemble = inf.Ensemble(net, points=points, n=n, key=jax.random.key(0))
        data = {space: inf.measure(ensemble, space=space, orders=(2, 4)) for space in ("field", "readout", "neuron")}
        ratio = {s: np.mean((data["field"].error(4) / data[s].error(4)) ** 2) for s in ("readout", "neuron")}
        found[bias, width] = ratio["readout"]
        print(
            f"variance of G4c, field over readout, Erf, N = {width}, output bias {bias:g}: {ratio['readout']:.3g} "
            f"(goal {goal:.0e}); over neuron space {ratio['neuron']:.3g}",
            flush=True,
        )
        if ratio["readout"] < goal:
            failures.append(f"variance ratio {ratio['readout']:.2g} at N = {width}, bias {bias}, promised {goal:.0e}")
    for bias in (1.0, 0.0):
        growth = found[bias, 1000] / found[bias, 100]
        print(f"  at ten times the width, bias {bias:g}: times {growth:.0f} (N^2: 100)")
        if not 50 < growth < 200:
            failures.append(f"the variance ratio grows {growth:.0f} times from N = 100 to 1000, promised 100")
    for width in (10, 1000):
        net = m.Network(m.Cos(), width)
        place = np.array([[-3.0], [-1.0], [1.0], [3.0]])
        start = time.perf_counter()
        ensemble = inf.Ensemble(net, points=place, n=8_000_000, key=jax.random.key(0))
        data = inf.measure(ensemble, space="neuron", orders=(2, 4))
        seconds, truth = time.perf_counter() - start, m.exact(net, place).connected(4)
        stated, actual = (np.linalg.norm(e) / np.linalg.norm(truth) for e in (data.error(4), data.connected(4) - truth))
        print(
            f"neuron space, Cos, N = {width}, 8e6 neurons, 4 points: |error of G4c|/|G4c| {stated:.2%} (off by "
            f"{actual:.2%}) in {seconds:.1f} s (goal 0.1% in 5 s)"
        )
        if stated > 1e-3 or seconds > 5.0:
            failures.append(f"neuron space took {seconds:.1f} s to {stated:.2%} at N = {width}, promised 0.1% in 5 s")
    for d in (1, 2, 3):
        place = np.random.default_rng(d).uniform(-1.0, 1.0, size=(6, d))
        for neuron in (m.Erf(), m.Tanh(), m.ReLU(bias_scale=0.5), m.Cos(), m.Gauss(bias_scale=0.3)):
            start = time.perf_counter()
            accuracy = m.exact(m.Network(neuron, 10), place).about["relative_accuracy"].values()
            seconds, limit = time.perf_counter() - start, 10.0 if d == 3 else 1.0
            name = type(neuron).__name__
            print(
                f"exact orders 2, 4, 6 of {name:5}, 6 points, d = {d}: {seconds:.2f} s of {limit:g}, "
                f"to {max(accuracy):.0e}"
            )
            if seconds > limit:
                failures.append(f"exact {name} in d = {d} took {seconds:.1f} s, promised {limit:g}")
    return failures
