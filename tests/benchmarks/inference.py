"""What a posterior costs: by method and sampler, beside a plain NumPyro model, and as points and networks grow.

CPU-seconds of whole fits once compiled, over the smallest effective number of draws of any quartic coupling. The plain
model is what one would write without knowing sufficient statistics: the pseudo-likelihood of every raw sample in a
NumPyro model under NUTS. Its gradient is timed at n = 1e5, its leapfrog steps per effective draw at n = 500; their
product is an extrapolation, and printed as one (a single chain of it at n = 1e5 would take days).
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

RATIO, FIT_SECONDS, GROWTH = (
    1000.0,
    6.0,
    1.5,
)  # promised: over the plain model, 72 parameters of 1e6 samples, flat memory

_PEAK = "int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) / 2**20"

_ENGINES = """
import json, time
import arviz as az, jax, numpy as np
from nnft import inference as inf, models as m
from tests.oracles import planted
truth = planted("lat", 0.3, 6)
samples = inf.Samples(truth.draw(100_000, np.random.default_rng(0)), np.arange(6.0)[:, None])
out = {}
for method, sampler in (("score", "nuts"), ("score", "closed"), ("score", "svi"), ("pseudo", "nuts"), ("gold", "nuts"),
                        ("gold", "closed"), ("tree", "closed")):
    inf.fit(samples, m.Bilocal(), key=jax.random.key(0), method=method, sampler=sampler)
    start, wall = time.process_time(), time.perf_counter()
    fit = inf.fit(samples, m.Bilocal(), key=jax.random.key(1), method=method, sampler=sampler)
    cpu, wall = time.process_time() - start, time.perf_counter() - wall
    ess = az.ess(fit["posterior"].dataset[["g", "u", "v"]])
    out[f"{method} {sampler}"] = {"cpu": cpu, "wall": wall, "ess": float(min(ess[n].min() for n in ("g", "u", "v")))}
print(json.dumps(out))
"""

_PLAIN = """
import json, time
import arviz as az, jax, jax.numpy as jnp, numpy as np, numpyro, numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import initialize_model
from tests.oracles import planted
truth, M = planted("lat", 0.3, 6), 6
pairs = [(a, b) for a in range(M) for b in range(a, M)]
ordered = [(a, b) for a in range(M) for b in range(M) if a != b]
cross = [(a, b) for a, b in ordered if a < b]
nodes, weights = np.linspace(-6.0, 6.0, 64), np.log(12.0 / 63.0)

def model(phi):
    q = numpyro.sample("q", dist.Normal(0.0, 3.0).expand([len(pairs)]).to_event(1))
    g = numpyro.sample("g", dist.HalfNormal(1.0).expand([M]).to_event(1))
    u = numpyro.sample("u", dist.Normal(0.0, 1.0).expand([len(ordered)]).to_event(1))
    v = numpyro.sample("v", dist.Normal(0.0, 1.0).expand([len(cross)]).to_event(1))
    Q = jnp.zeros((M, M)).at[tuple(np.array(pairs).T)].set(q)
    U = jnp.zeros((M, M)).at[tuple(np.array(ordered).T)].set(u)
    V = jnp.zeros((M, M)).at[tuple(np.array(cross).T)].set(v)
    V = V + V.T
    off = Q + Q.T - 2 * jnp.diag(jnp.diag(Q))
    c1 = phi @ off + phi**3 @ U.T                    # S along one site: c1 t + c2 t^2 + c3 t^3 + c4 t^4
    c2 = jnp.diag(Q) + phi**2 @ V
    c3, c4 = phi @ U, g
    def s(t):
        return t * (c1 + t * (c2 + t * (c3 + t * c4)))
    log_z = jax.nn.logsumexp(jnp.stack([-s(t) for t in nodes]), axis=0) + weights
    numpyro.factor("pseudo", jnp.sum(-s(phi) - log_z))

def potential(n):
    phi = jnp.asarray(truth.draw(n, np.random.default_rng(1)), jnp.float32)
    info = initialize_model(jax.random.key(0), model, model_args=(phi,))
    return phi, jax.jit(jax.value_and_grad(info.potential_fn)), info.param_info.z
phi, gradient, z = potential(100_000)
jax.block_until_ready(gradient(z))
start = time.process_time()
for _ in range(3):
    jax.block_until_ready(gradient(z))
seconds = (time.process_time() - start) / 3
few = phi[:500]
mcmc = MCMC(NUTS(model), num_warmup=100, num_samples=100, progress_bar=False)
mcmc.run(jax.random.key(0), few, extra_fields=("num_steps",))
steps = float(np.mean(mcmc.get_extra_fields()["num_steps"]))
draws = {n: np.asarray(x)[None] for n, x in mcmc.get_samples().items()}
ess = min(float(az.ess(az.convert_to_dataset({n: draws[n]}))[n].min()) for n in ("g", "u", "v"))
print(json.dumps({"gradient": seconds, "steps": steps, "ess_per_draw": ess / 100, "peak": PEAK}))
""".replace("PEAK", _PEAK)

_SIZE = """
import json, sys, time
import jax, numpy as np
from nnft import inference as inf, models as m
kind, size, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(0)
if kind == "bilocal":
    site = np.arange(size)
    hop = np.isin((site[:, None] - site) % size, (1, size - 1)).astype(float)
    kernel = np.linalg.inv(3.0 * np.eye(size) - hop)
    phi = rng.standard_normal((n, size)) @ np.linalg.cholesky(kernel / kernel[0, 0]).T
    points, action = site[:, None].astype(float), m.Bilocal()
else:
    p = 2.0 - 2.0 * np.cos(2 * np.pi * np.arange(size) / size)
    noise = np.fft.fft2(rng.standard_normal((n, size, size)))
    phi = np.real(np.fft.ifft2(noise / np.sqrt(1.0 + p[:, None] + p))).reshape(n, -1)
    points = np.stack(np.unravel_index(np.arange(size**2), (size, size)), 1).astype(float)
    action = m.TranslationInvariant(shape=(size, size), reach=2)
kept = n if len(sys.argv) < 5 else int(sys.argv[4])
phi = np.asarray(phi[:kept], np.float32)
base = BASE
wall, cpu = time.perf_counter(), time.process_time()
fit = inf.fit(inf.Samples(phi, points), action, key=jax.random.key(0), draws=250)
print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "peak": PEAK, "before": base,
                  "terms": fit["constant_data"].sizes["term"], "sampler": fit.attrs["sampler"]}))
""".replace("PEAK", _PEAK).replace("BASE", _PEAK)


def _fresh(program: str, *arguments: Any) -> Any:
    """What a program prints, run in a process of its own."""
    line = [sys.executable, "-c", program, *map(str, arguments)]
    root = Path(__file__).resolve().parents[2]
    paths = {**os.environ, "PYTHONPATH": str(root)}  # for tests.oracles, as pytest has it
    out = subprocess.run(line, capture_output=True, text=True, check=True, env=paths)
    return json.loads(out.stdout.splitlines()[-1])


def engines() -> list[str]:
    """CPU-seconds per effective draw of every method and sampler, 72 parameters, n = 1e5, over the plain model."""
    plain, found = _fresh(_PLAIN), _fresh(_ENGINES)
    cost = plain["gradient"] * plain["steps"] / plain["ess_per_draw"]
    print(
        f"plain NumPyro pseudo-likelihood on raw samples: gradient {plain['gradient']:.2f} CPU-s at n = 1e5 "
        f"(measured), {plain['steps']:.0f} leapfrogs a draw and {plain['ess_per_draw']:.2f} effective draws a draw at "
        f"n = 500 (measured): {cost:.3g} CPU-s an effective draw (extrapolated); peak {plain['peak']:.1f} GB"
    )
    failures = []
    for name, row in found.items():
        each = row["cpu"] / row["ess"]
        print(
            f"{name:14} {row['cpu']:7.1f} CPU-s, {row['wall']:6.1f} s, {row['ess']:6.0f} effective draws: "
            f"{each:.2e} CPU-s each, {cost / each:.3g} times less than the plain model"
        )
        if cost / each < RATIO:
            failures.append(f"{name} is {cost / each:.3g} times the plain model, promised {RATIO:g}")
    return failures


def size() -> list[str]:
    """Cost as points, networks and couplings grow; peak memory beyond the samples at ten times the networks."""
    failures = []
    peaks: dict[tuple[str, int], list[float]] = {}
    for kind, count, n in (
        ("bilocal", 8, 10_000),
        ("bilocal", 16, 10_000),
        ("bilocal", 16, 100_000),
        ("bilocal", 64, 20_000),
        ("lattice", 8, 10_000),
        ("lattice", 32, 1_000),
        ("lattice", 32, 10_000),
    ):
        row = _fresh(_SIZE, kind, count, n)
        points = count if kind == "bilocal" else count**2
        beyond = row["peak"] - row["before"]
        peaks.setdefault((kind, count), []).append(beyond)
        print(
            f"{kind:8} M = {points:5}, n = {n:>7,}: {row['terms']:5} terms, {row['sampler']:6} "
            f"{row['cpu']:7.1f} CPU-s, {row['wall']:6.1f} s, peak {row['peak']:.2f} GB ({beyond:.2f} beyond samples)",
            flush=True,
        )
    for (kind, count), values in peaks.items():
        if len(values) == 2:
            growth = values[1] / values[0]
            print(f"{kind} {count}: memory beyond the samples at ten times the networks: times {growth:.2f}")
            if growth > GROWTH:
                failures.append(f"{kind} {count}: memory grows {growth:.2f} times with n, promised flat")
    return failures
