"""What exact correlators without closed forms cost, in CPU-seconds: ReLU by cones, Erf and Tanh by lattices.

Times depend on the machine; the limits are a few times what they were on the slowest at hand, a loss of ten shows.
"""

import sys
import time
from pathlib import Path
from typing import Any

# activation, bias scale, dimension, points, order, CPU-seconds allowed
CASES: tuple[tuple[str, float, int, int, int, float], ...] = (
    ("ReLU", 0.5, 1, 16, 4, 0.2),
    ("ReLU", 0.0, 2, 16, 4, 0.2),
    ("ReLU", 0.5, 2, 16, 4, 0.5),
    ("ReLU", 0.5, 2, 8, 6, 0.2),
    ("ReLU", 0.0, 3, 8, 4, 0.1),
    ("ReLU", 0.0, 3, 8, 6, 0.2),
    ("ReLU", 0.5, 3, 8, 4, 1.0),
    ("ReLU", 0.5, 3, 8, 6, 2.0),
    ("ReLU", 0.5, 3, 16, 4, 20.0),
    ("Erf", 1.0, 3, 8, 4, 1.0),
    ("Erf", 1.0, 3, 8, 6, 3.0),
    ("Tanh", 1.0, 3, 8, 6, 5.0),
)


def exact() -> list[str]:
    """CPU-seconds and stated accuracy of `m.exact` at one order, with the orders below it that it needs."""
    import numpy as np

    from nnft import models as m

    failures = []
    for name, bias, d, count, order, limit in CASES:
        neuron: Any = getattr(m, name)(bias_scale=bias)
        points = np.random.default_rng(d).uniform(-1.0, 1.0, size=(count, d))
        start = time.process_time()
        data = m.exact(m.Network(neuron, 10), points, orders=(order,))
        seconds = time.process_time() - start
        case = f"{name}, bias {bias:g}, d = {d}, {count} points, order {order}"
        print(
            f"exact {case}: {seconds:.3f} CPU-s of {limit:g}, to {data.about['relative_accuracy'][order]:.0e}",
            flush=True,
        )
        if seconds > limit:
            failures.append(f"exact {case} took {seconds:.2f} CPU-s, promised {limit:g}")
    return failures


def main() -> int:
    """Print the table; exit 1 if a limit is broken."""
    failures = exact()
    for failure in failures:
        print("LOST:", failure)
    return bool(failures)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for tests.benchmarks, as pytest has it
    sys.exit(main())
