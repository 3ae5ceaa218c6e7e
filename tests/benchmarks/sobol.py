"""What scrambled Sobol points save in neuron space: CPU seconds and error of G4c against independent draws, in one run.

The cost at equal error goes like error^2 times CPU, since more points make either error smaller at least like
n^(-1/2). Errors are stated ones, over the size of G4c, both as norms; both ways run warm, several times in turn. A
measurement judges tails first: of nets that `exact` knows by their moments, of others by 131 072 independent draws, which
is timed apart here (`judged`) since it is the same for both ways.
"""

import time
from collections.abc import Callable
from statistics import median

GOAL = 100.0  # ratio of CPU at equal error of G4c that the design promises, at 16 scrambles
NEURONS, POINTS, REPEATS = 4_000_000, 6, 3
PLANS = {16: 1 << 18, 1024: 1 << 20}  # scrambles -> points in all


def _cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> list[str]:
    """Print the table; the ratios below the goal."""
    import equinox as eqx
    import jax
    import numpy as np
    import numpyro
    import numpyro.distributions as dist

    from nnft import inference as inf
    from nnft import models as m
    from nnft.inference.duality import _without_amplitude, neuron_cumulants
    from nnft.inference.moments import group_moments
    from nnft.inference.sobol import Neuron, Plan, read_dimensions, sobol_moments
    from nnft.inference.tails import judge_tail
