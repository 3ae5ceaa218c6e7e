"""How fast lattice phi^4 is drawn: leapfrog updates of a site a CPU-second, momenta and acceptance steps included.

One update is one leapfrog step of one site of one chain. The clock runs over whole calls of `sample_lattice` with their
programs compiled, warm-up, random numbers and checks included; only the updates of the draws that are kept count.
"""

import time

PROMISED = 1e8  # updates a CPU-second at 8 x 8, single precision
CHAINS = 256
_REPEATS = 5


def lattice() -> list[str]:
    """Updates a CPU-second at 8 x 8 and 32 x 32, single and double precision; the best of a few calls."""
    import jax

    from nnft import inference as inf

    failures = []
    for side, m2, draws, double in ((8, -4.0, 400, False), (8, -4.0, 400, True), (32, 1.0, 60, False)):
        best = 0.0
        for k in range(_REPEATS + 1):
            start = time.process_time()
            drawn = inf.sample_lattice(
                m2, 2.0, (side, side), key=jax.random.key(k), chains=CHAINS, draws=draws, warmup=100, double=double
            )
            seconds = time.process_time() - start
            if k:  # the first compiles
                best = max(best, draws * drawn.thin * drawn.steps * side**2 * CHAINS / seconds)
        case = f"{side} x {side}, {CHAINS} chains, {'double' if double else 'single'} precision"
        print(f"lattice {case}: {best:.2e} updates a CPU-second ({drawn.steps} steps, acc. {drawn.acceptance:.2f})")
        if side == 8 and not double and best < PROMISED:
            failures.append(f"lattice {case}: {best:.2e} updates a CPU-second, promised {PROMISED:.0e}")
    return failures
