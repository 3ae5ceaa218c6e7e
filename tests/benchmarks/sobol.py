"""What scrambled Sobol points save in neuron space: CPU seconds and error of G4c against independent draws, in one run.

The CPU at equal error goes like error^2 times CPU: independent draws err like n^(-1/2), and Sobol points at least as
fast. Errors are stated ones, as a norm over that of G4c, averaged in quadrature over repetitions with other keys; CPU
is that of the whole `inf.measure`, the judging of tails included, warm, the median of repetitions in turn.
"""

import time
from statistics import median
from typing import Any

GOAL = 100.0  # ratio of CPU at equal error that the design promises of 16 scrambles
PROMISED = ("Cos", "Erf", "Tanh", "GELU")
REPEATS = 3


def main() -> list[str]:
    """Print the table; the promises that are broken."""
    import equinox as eqx
    import jax
    import numpy as np
    import numpyro
    import numpyro.distributions as dist

    from nnft import inference as inf
    from nnft import models as m

    class Gelu(eqx.Module):
        """A neuron that `exact` does not know."""

        def __call__(self, points: Any) -> Any:
            w: Any = numpyro.sample(
                "w", dist.Normal(0.0, points.shape[-1] ** -0.5).expand([points.shape[-1]]).to_event(1)
            )
            b: Any = numpyro.sample("b", dist.Normal(0.0, 1.0))
            return jax.nn.gelu(w @ points.T + b[..., None], approximate=False)

    # Programs of foreign classes are compiled at every call, since they may change; this one is warm like the others.
    Gelu.__module__ = f"{m.__name__}.gelu"
    ways: dict[str, tuple[int, Any]] = {
        "random": (4_000_000, "random"),
        "16": (1 << 20, inf.Sobol(16)),
        "1024": (1 << 20, inf.Sobol(1024)),
    }
    places = {
        1: np.linspace(-1.0, 1.0, 6)[:, None],
        2: np.array([[-0.9, 0.3], [-0.4, -0.8], [-0.1, 0.1], [0.3, 0.7], [0.6, -0.2], [0.8, 0.9]]),
    }
    kinds: dict[str, Any] = {
        "Cos": m.Cos(),
        "Erf": m.Erf(),
        "Tanh": m.Tanh(),
        "ReLU": m.ReLU(bias_scale=0.5),
        "GELU": Gelu(),
    }
    print("4,000,000 independent draws against 2^20 Sobol points, G2 and G4c at 6 points; error of G4c over its size")
    print(
        f"{'net':8}{'CPU s':>8}{'error':>10}"
        + "".join(f"{f'R={r}: CPU s':>15}{'error':>10}{'ratio':>8}" for r in (16, 1024))
    )
    broken = []
    for d, points in places.items():
        for name, kind in kinds.items():
            network = m.Network(kind, 20)
            cpu: dict[str, list[float]] = {way: [] for way in ways}
            square: dict[str, list[float]] = {way: [] for way in ways}
            for k in range(-1, REPEATS):  # the first compiles
                for way, (n, sampling) in ways.items():
                    ensemble = inf.Ensemble(network, points=points, n=n, key=jax.random.key(100 + k))
                    start = time.process_time()
                    data = inf.measure(ensemble, space="neuron", sampling=sampling, orders=(2, 4))
                    if k >= 0:
                        cpu[way].append(time.process_time() - start)
                        square[way].append(float(np.sum(data.error(4) ** 2) / np.sum(data.connected(4) ** 2)))
            work = {way: median(cpu[way]) * float(np.mean(square[way])) for way in ways}
            line = f"{name + f' {d}':8}"
            for way in ways:
                line += f"{median(cpu[way]):{8 if way == 'random' else 15}.2f}{np.mean(square[way]) ** 0.5:10.1e}"
                line += "" if way == "random" else f"{work['random'] / work[way]:8.0f}"
            print(line, flush=True)
            if name in PROMISED and work["random"] / work["16"] < GOAL:
                broken.append(
                    f"{name} in d = {d}: {work['random'] / work['16']:.0f} times less CPU, promised {GOAL:.0f}"
                )
    return broken


if __name__ == "__main__":
    for line in main():
        print("missed:", line)
