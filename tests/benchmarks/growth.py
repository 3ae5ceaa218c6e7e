"""How the cost of a fit grows with points, networks and couplings, in CPU-seconds and peak memory."""

from math import log
from statistics import linear_regression

from tests.benchmarks.processes import fresh

GROWTH = 1.5  # promised: flat memory
BILOCAL = {4: 0.6, 8: 3.6, 12: 6.0, 16: 9.0}  # points -> CPU-seconds of a second fit to 1e4 networks
BILOCAL_GB = 1.5  # up to 12 points

_SIZE = """
import jax, numpy as np
from nnft import inference as inf, models as m
kind, (size, n, fits, draws) = sys.argv[1], map(int, sys.argv[2:])
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
phi = np.asarray(phi, np.float32)
base = peak()
for key in range(fits):  # only the last is told of; nothing of an earlier one but its programs is left to it
    wall, cpu = time.perf_counter(), time.process_time()
    fit = inf.fit(inf.Samples(phi, points), action, key=jax.random.key(key), sampler=inf.Automatic(draws=draws))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak(), "before": base,
                  "terms": fit["constant_data"].sizes["term"], "sampler": fit.attrs["sampler"]}))
"""


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
        row = fresh(_SIZE, kind, count, n, 1, 250)
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


def bilocal() -> list[str]:
    """Second fits of bilocal couplings to 1e4 networks: CPU-seconds, peak memory, and how both grow with M."""
    failures, cost, memory = [], {}, {}
    for points, goal in BILOCAL.items():
        row = fresh(_SIZE, "bilocal", points, 10_000, 2, 1000)
        cost[points], memory[points] = row["cpu"], row["peak"] - row["before"]
        limit = BILOCAL_GB if points <= 12 else None
        print(
            f"bilocal M = {points:2}, n = 10,000: {row['terms']:4} terms, {row['sampler']:6} {row['cpu']:6.2f} CPU-s "
            f"(goal {goal:g}), {row['wall']:6.2f} s, peak {row['peak']:.2f} GB (goal {limit or 'none'}), "
            f"{memory[points]:.2f} of it beyond the samples",
            flush=True,
        )
        if row["cpu"] > goal:
            failures.append(f"bilocal M = {points} took {row['cpu']:.2f} CPU-s, promised {goal:g}")
        if limit is not None and row["peak"] > limit:
            failures.append(f"bilocal M = {points} took {row['peak']:.2f} GB, promised {limit:g}")
    powers = [linear_regression([log(m) for m in law], [log(y) for y in law.values()])[0] for law in (cost, memory)]
    print(
        f"bilocal grows like M^{powers[0]:.1f} in CPU-s and M^{powers[1]:.1f} in memory beyond the samples; "
        "its terms like M^2, their covariance like M^4"
    )
    return failures
