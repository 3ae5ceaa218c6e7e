"""How many networks are trained a CPU-second, beside a loop over networks whose step of optax is compiled once.

Both train erf networks of width 16 on the same data by 100 full steps, in the same run; the loop draws from the same
law, and its first network, which compiles, does not count.
"""

import time

RATIO, NETWORKS, LOOPED, STEPS, RATE = 20.0, 20_000, 60, 100, 0.05


def training() -> list[str]:
    """Trained networks a CPU-second by an ensemble and by a loop, the best of three, and their ratio."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    from nnft import inference as inf
    from nnft import models as m

    inputs, targets = np.array([[-1.0], [0.6]]), np.array([1.0, -0.5])
    points = np.array([[-0.2], [1.4]])
    net = m.Trained(m.Network(m.Erf(1.0, 0.5), 16), inputs, targets, m.Descent(RATE, STEPS))
    ens = inf.Ensemble(net, points=points, n=2**40, key=jax.random.key(0))
    optimiser = optax.sgd(RATE)

    def field(parameters, x):
        weight, bias, readout = parameters
        return readout @ jax.scipy.special.erf(weight[:, None] * x[:, 0] + 0.5 * bias[:, None]) / 4.0

    @jax.jit
    def step(parameters, state):
        def loss(parameters):
            return 0.5 * jnp.sum((field(parameters, inputs) - targets) ** 2)

        change, state = optimiser.update(jax.grad(loss)(parameters), state, parameters)
        return optax.apply_updates(parameters, change), state

    def looped(first, count):
        out = []
        for k in range(first, first + count):
            parameters = tuple(jax.random.normal(jax.random.fold_in(jax.random.key(1), k), (3, 16)))
            state = optimiser.init(parameters)
            for _ in range(STEPS):
                parameters, state = step(parameters, state)
            out.append(np.asarray(field(parameters, points)))
        return np.array(out)

    looped(0, 1)
    ens.read(0, 1)
    fast, slow = [], []
    for k in range(3):
        start = time.process_time()
        ours = ens.read(2**30 + k * 10 * NETWORKS, NETWORKS)
        fast.append(len(ours) / (time.process_time() - start))
        start = time.process_time()
        theirs = looped(1 + k * LOOPED, LOOPED)
        slow.append(LOOPED / (time.process_time() - start))
    gap = np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) / (theirs.std(axis=0) / LOOPED**0.5)
    assert np.all(gap < 5.0), gap  # the same law
    ratio = max(fast) / max(slow)
    print(
        f"training, N = 16, {STEPS} steps: {max(fast):.2e} networks a CPU-second, a loop {max(slow):.2e}, "
        f"ratio {ratio:.0f}"
    )
    return [] if ratio >= RATIO else [f"training: {ratio:.1f} times a loop over networks, promised {RATIO:g}"]
