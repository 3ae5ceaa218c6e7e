"""Other ways to the same numbers, in the same run: what a NumPy user, a JAX user and twelve lines of theory would do.

Four-point functions of wide networks: networks per CPU-second. Couplings of the lattice action

    S = kappa sum_{x,mu} (phi_{x+mu} - phi_x)^2 + m2 sum_x phi_x^2 + lambda sum_x phi_x^4

by its score equations in closed form, <grad f_i . grad f_j> theta_j = <lap f_i> for S = theta_j f_j (Hyvarinen 2005),
without errors, beside `inf.fit`, which has them: CPU-seconds of a first and of a second call, each in a new process.
"""

from collections.abc import Callable
from statistics import median

from tests.benchmarks.drawing import rate
from tests.benchmarks.processes import fresh

REPEATS, WIDTH, NETWORKS = 5, 100, 200_000
LATTICES = ((8, 10_000), (32, 1_000))  # sites along an axis, fields


def peers() -> list[str]:
    """Both tables; nothing is promised of either yet."""
    _four_point()
    _lattice()
    return []


def _four_point() -> None:
    """G2 and G4 of Erf networks at 6 points, three ways, interleaved."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from numpyro import handlers
    from scipy.special import erf

    from nnft import inference as inf
    from nnft import models as m
    from nnft.inference.ensembles.moments import group_moments

    points = np.linspace(-1.0, 1.0, 6)[:, None]
    net, few = m.Network(m.Erf(), WIDTH), NETWORKS // 10
    ensemble = inf.Ensemble(net, points=points, n=NETWORKS, key=jax.random.key(0))
    rng, x = np.random.default_rng(0), points[:, 0].astype(np.float32)
    first, second = np.triu_indices(6)

    def numpy() -> tuple[np.ndarray, np.ndarray]:
        g2, g4 = np.zeros((6, 6)), np.zeros((21, 21))
        for _ in range(few // 5_000):
            w, b, out = (rng.standard_normal((5_000, WIDTH), dtype=np.float32) for _ in range(3))
            activation = erf(w[:, :, None] * x + b[:, :, None])
            phi = np.einsum("nw,nwx->nx", out, activation) / np.float32(WIDTH**0.5)
            pairs = phi[:, first] * phi[:, second]
            g2 += phi.T @ phi
            g4 += pairs.T @ pairs
        return g2 / few, g4 / few

    def phi(key: jax.Array) -> jax.Array:
        return handlers.trace(handlers.seed(net, key)).get_trace(points)["phi"]["value"]

    @jax.jit
    def vmap(keys: jax.Array) -> tuple[jax.Array, jax.Array]:
        f = jax.vmap(phi)(keys)
        return jnp.einsum("na,nb->ab", f, f), jnp.einsum("na,nb,nc,nd->abcd", f, f, f, f, optimize=True)

    keys = jax.random.split(jax.random.key(1), few)
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "NumPy loop, float32, 5000 at a time": (numpy, few),
        "jit(vmap(network)) + einsum": (lambda: jax.block_until_ready(vmap(keys)), few),
        "nnft": (lambda: group_moments(ensemble, (2, 4)), NETWORKS),
    }
    for work, _ in ways.values():
        work()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):
        for name, (work, count) in ways.items():
            rates[name].append(rate(work, count))
    print(f"G2 and G4 of Erf, N = {WIDTH}, 6 points: networks per CPU-second, and how many times more nnft has")
    for name, found in rates.items():
        more = median(ours / theirs for ours, theirs in zip(rates["nnft"], found, strict=True))
        print(f"  {name:37}{median(found):10.3g}{more:8.2f}", flush=True)


# Fields of a free lattice theory, kappa = m2 = 1/2; a way to fit them, twice; the estimates.
_FIELDS = """
import jax, jax.numpy as jnp, numpy as np
L, n, way = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
p = 2.0 - 2.0 * np.cos(2 * np.pi * np.arange(L) / L)
noise = np.fft.fft2(np.random.default_rng(0).standard_normal((n, L, L)))
fields = np.real(np.fft.ifft2(noise / np.sqrt(1.0 + p[:, None] + p))).astype(np.float32)
"""

_TWELVE_LINES = """
@jax.jit
def couplings(phi):
    axes, sites = (1, 2), phi[0].size
    near = sum(jnp.roll(phi, step, axis) for axis in axes for step in (1, -1))
    gradients = jnp.stack([4 * len(axes) * phi - 2 * near, 2 * phi, 4 * phi**3])
    laplacians = jnp.stack([4.0 * len(axes) * sites, 2.0 * sites, 12 * jnp.mean(jnp.sum(phi**2, axes))])
    matrix = jnp.einsum("inxy,jnxy->ij", gradients, gradients) / len(phi)
    return jnp.linalg.solve(matrix, laplacians)
"""

_FITS = """
if way != "plain":
    from nnft import inference as inf, models as m
    points = np.stack(np.unravel_index(np.arange(L**2), (L, L)), 1).astype(float)
    sampler = None if way == "default" else way
seconds = []
for seed in range(2):
    start = time.process_time()
    if way == "plain":
        found = np.asarray(couplings(jnp.asarray(fields)))
    else:
        samples = inf.Samples(fields.reshape(n, -1), points)
        fit = inf.fit(samples, m.LatticePhi4(shape=(L, L)), key=jax.random.key(seed), sampler=sampler)
        found = [float(fit["posterior"][name].mean()) for name in ("kappa", "m2", "coupling")]
    seconds.append(time.process_time() - start)
print(json.dumps({"seconds": seconds, "estimate": [float(x) for x in found]}))
"""


def _lattice() -> None:
    """Three couplings of a periodic lattice, by twelve lines and by `inf.fit`."""
    for length, n in LATTICES:
        print(f"kappa, m2, lambda of {n:,} fields on {length} x {length}: CPU-s of a first and a second fit, estimates")
        for way, name in (
            ("plain", "twelve lines of JAX, no errors"),
            ("default", "inf.fit, its default sampler"),
            ("closed", "inf.fit, sampler='closed'"),
        ):
            row = fresh(_FIELDS + _TWELVE_LINES + _FITS, length, n, way)
            first, again = row["seconds"]
            estimate = ", ".join(f"{value:.4f}" for value in row["estimate"])
            print(f"  {name:31}{first:8.2f}{again:9.3f}   {estimate}", flush=True)
