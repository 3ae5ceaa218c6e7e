"""From couplings back to correlators by Feynman diagrams: the third maker.

With V_abcd the fully symmetric vertex, S4 = (1/4!) sum V_abcd phi_a phi_b phi_c phi_d, and the full two-point
function G2 on every line (so tadpoles are already in it), the connected four-point function is

    G4c = G2^4 . [ -V + (1/2) sum_3 V (G2 G2) V + O(V^3) ],

the first term the tree, the second one loop in the three channels. The loop is the size of what the tree leaves out
and is used as its truncation band. Tree level: 2307.03223 sec. 4; arXiv:2008.08601 eq. 4.9 in another normalisation.
`four_point` is that formula for many draws at once; `predicted` sums the generated diagrams (`graphs.py`) for the two-,
four- and six-point functions, on full or on free lines.
"""

from collections.abc import Mapping, Sequence
from math import factorial

import numpy as np

from ..actions.rungs import Bilocal, identifiable
from ..arrays import attach, dense, unique
from ..combinatorics import moments_from_connected, multiplicities, rank, sorted_tuples
from ..correlators import Correlators, check_points
from ..refusals import is_whole
from ..types import Matrix, Points, Vector
from .graphs import connected_sum

__all__ = ["four_point", "non_gaussianity", "predicted", "vertex", "whitened", "wick_contraction"]

_DENSE = 2**18  # numbers of dense tensors held at a time, 2 MB


def vertex(couplings: np.ndarray, points: int, *, order: int = 4) -> np.ndarray:
    """V_abcd = 4! g_abcd / multiplicity from coefficients of sorted monomials, (..., quad) -> (..., M, M, M, M).

    The same with r! at another `order` r, where tuples of r points take the place of quads.
    """
    tuples = sorted_tuples(points, order)
    if np.shape(couplings)[-1:] != (len(tuples),):
        name = "quad" if order == 4 else f"{order}-tuple"
        raise ValueError(
            f"expected one coefficient per sorted {name}, {len(tuples)} at {points} points, got {np.shape(couplings)}"
        )
    return dense(factorial(order) * np.asarray(couplings) / multiplicities(tuples), points, order)


def four_point(quartic: np.ndarray, two_point: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Connected four-point function at tree level and the one-loop term, both on sorted quads, (..., quad).

    Args:
        quartic: coefficients of the sorted quartic monomials, (..., quad).
        two_point: the full two-point function G2, (point, point).

    Returns:
        (tree, loop): -G2^4 V and +(1/2) sum_3 G2^4 V (G2 G2) V; their sum is the one-loop result, |loop| the band.

    Example, one site, S = phi^2/2 + g phi^4 with <phi^2> = 1: G4c = -24 g + 864 g^2.

        >>> tree, loop = four_point(np.array([0.001]), np.eye(1))
        >>> round(float(tree[0]), 6), round(float(loop[0]), 6)
        (-0.024, 0.000864)
    """
    points = len(two_point)
    a, b, c, d = sorted_tuples(points, 4).T
    flat = np.asarray(quartic, dtype=float).reshape(-1, np.shape(quartic)[-1])
    tree, loop = np.empty(flat.shape), np.empty(flat.shape)
    lines = np.kron(two_point, two_point)  # two lines, from a pair of points to a pair of points
    step = max(1, _DENSE // points**4)
    for start in range(0, len(flat), step):  # a few draws at a time
        here = slice(start, start + step)
        right = vertex(flat[here], points).reshape(-1, points**2, points**2) @ lines
        whole = lines @ right
        bubble = (whole @ right).reshape(-1, *[points] * 4)  # lines V lines V lines: the channel (ab)(cd)
        tree[here] = -1.0 * whole.reshape(-1, *[points] * 4)[:, a, b, c, d]
        loop[here] = 0.5 * (bubble[:, a, b, c, d] + bubble[:, a, c, b, d] + bubble[:, a, d, c, b])
    return tree.reshape(np.shape(quartic)), loop.reshape(np.shape(quartic))


def predicted(
    points: Points,
    *,
    quartic: Vector | None = None,
    lam: np.ndarray | None = None,
    weights: Vector | None = None,
    sextic: Vector | None = None,
    cubic: Vector | None = None,
    linear: Vector | None = None,
    quintic: Vector | None = None,
    mean: Vector | None = None,
    two_point: Matrix | None = None,
    quadratic: Vector | None = None,
    outputs: int = 1,
    orders: Sequence[int] = (2, 4, 6),
    order: str = "next",
) -> Correlators:
    """Connected functions and moments of an action by Feynman diagrams: the third maker.

    S = (quadratic part) + sum_k g_k phi_a phi_b phi_c phi_d + sum_k s_k phi_a .. phi_f over sorted quads and 6-tuples.
    With V = 4! g and V6 = 6! s as symmetric vertices, G = the line, and "sum" over the ways to attach the legs,

        G2  = G - (1/2) V G        + two loops                        (free lines; full lines are G2 itself)
        G4c = -V + (1/2) sum_3 V G G V - (1/2) V6 G + ...             (every leg with its line)
        G6c = sum_10 V G V - V6 + one loop: V V V and V V6 + ...

    A sextic vertex counts as two quartic ones, as in a width expansion (g ~ 1/N, s ~ 1/N^2). Odd terms
    sum_k c_k chi_a chi_b chi_c and so on are those of chi = phi - mean, vertices of order N^(-1/2) and N^(-3/2):

        G1  = mean + chi0 - (1/2) V3 G + ...   (chi0: where S is stationary; full lines: the mean is <phi> itself)
        G3c = -V3 + one loop,    G4c = -V + sum_3 V3 G V3 + ...

    Args:
        points: the points the couplings belong to, (point, axis).
        quartic: coefficients g of the sorted quartic monomials, (quad,), as in `vertex`. Either this or
        lam: lambda_i(x,y) in any gauge, (i=4, point, point), with
        weights: quadrature weights of its double integral, (point,); default one each.
        sextic: coefficients s of the sorted sextic monomials, (component,); default none.
        cubic: coefficients c of the sorted cubic monomials of phi - mean, (triple,); default none, phi -> -phi.
        linear: of phi - mean, (place,); beside `quadratic` only, since full lines know the mean.
        quintic: of the sorted monomials of degree five of phi - mean, (component,); default none.
        mean: what the odd monomials count the field from, (place,); default zero.
        two_point: the full G2 on every line, (point, point): self-energies are in it and dropped. Either this or
        quadratic: coefficients q_ab of phi_a phi_b, a <= b, (pair,): lines are the free propagator, G^-1 = q + q^T,
            and self-energies are kept.
        outputs: number D of fields; couplings are then those of the places (point, output), number point D + output.
        orders: which connected functions, among 2, 4, 6, and 1, 3, 5 too where there are odd terms.
        order: "tree", or "next" for one loop more.

    Returns:
        Correlators without statistical errors. `about["band"]` {order: (component,)} is the size of the one-loop term
        at every component, what "tree" leaves out and the last that "next" keeps; `about["ratio"]` {order: number} is
        one loop over tree in the whitened norm (zero for G2 on full lines). A flag says where it exceeds one.

    Raises:
        ValueError: both or neither of quartic, lam and of two_point, quadratic; shapes that do not fit; a line that is
            not positive definite; an order that is not there; six-point functions at more than ten points.

    Source: arXiv:2307.03223 sec. 4; arXiv:2008.08601 sec. 4.

    Example, one site, S = phi^2/2 + g phi^4: <phi^2> = 1 - 12 g + ...

        >>> one = predicted(np.zeros((1, 1)), quartic=np.array([0.001]), quadratic=np.array([0.5]))
        >>> one.connected(2).round(6).tolist(), one.about["band"][2].round(6).tolist()
        ([0.988], [0.012])
    """
    x = check_points(points)
    if not is_whole(outputs, 1):
        raise ValueError(f"expected outputs, the number of fields, to be at least 1, got {outputs!r}; try 2")
    count = len(x) * outputs
    asked = tuple(sorted({int(r) for r in orders}))
    odd = {1: linear, 3: cubic, 5: quintic, 0: mean}
    even = all(part is None for part in odd.values())
    if order not in ("tree", "next"):
        raise ValueError(f"expected order 'tree' or 'next', got {order!r}; try order='next'")
    if not asked or not set(asked) <= ({2, 4, 6} if even else {1, 2, 3, 4, 5, 6}):
        known = "2, 4, 6" if even else "1, 2, .., 6"
        raise ValueError(f"expected orders among {known}, got {tuple(orders)}; try orders=(2, 4)")
    if count ** max(asked) > 1e6:
        raise ValueError(f"expected at most 1e6 dense entries, got {count}^{max(asked)}; try orders=(2, 4)")
    if linear is not None and quadratic is None:
        raise ValueError("expected linear= beside quadratic=, got it beside two_point=; try mean=, the full <phi>")
    bare = quadratic is not None
    forms = {4: _quartic(count, quartic, lam, weights), 6: sextic, 3: cubic, 5: quintic}
    tensors = {r: vertex(form, count, order=r) for r, form in forms.items() if form is not None}
    start = np.zeros(count) if mean is None else np.asarray(mean, dtype=float)
    if start.shape != (count,):
        raise ValueError(
            f"expected one mean for each of {count} places, got shape {start.shape}; try data.connected(1)"
        )
    line = _line(count, two_point, quadratic)
    if linear is not None:
        tensors, line, start = _at_rest(tensors, np.linalg.inv(line), np.asarray(linear, dtype=float), start)
    root = _root(line)
    # Unit lines: every end of a vertex carries the root of a line, and so does every leg in the end.
    vertices = {r: -attach(tensor, root.T) for r, tensor in sorted(tensors.items())}
    cumulants, band, ratio, flags = {}, {}, {}, {}
    for r in range(2, max(asked) + 1, 2) if even else range(1, max(asked) + 1):
        tree = {1: np.zeros(count), 2: unique(np.eye(count))}.get(r)
        tree = connected_sum(r, r - 2, vertices, self_energies=bare) if tree is None else tree
        loop = connected_sum(r, r, vertices, self_energies=bare)
        cumulants[r] = unique(attach(dense(tree + loop if order == "next" else tree, count, r), root))
        cumulants[r] = cumulants[r] + start if r == 1 else cumulants[r]
        band[r] = np.abs(unique(attach(dense(loop, count, r), root)))
        norms = [np.linalg.norm(np.sqrt(multiplicities(sorted_tuples(count, r))) * term) for term in (loop, tree)]
        ratio[r] = float(norms[0] / norms[1]) if norms[1] > 0.0 else 0.0
        if ratio[r] > 1.0:
            flags[r] = f"one loop is {ratio[r]:.2g} times the tree (whitened norm): there is no expansion here"
    return Correlators(
        points=x,
        moments={r: moments_from_connected(cumulants, count, r) for r in asked},
        cumulants={r: cumulants[r] for r in asked},
        maker="predicted",
        even=even,
        flags={r: why for r, why in flags.items() if r in asked},
        about={
            "order": order,
            "lines": "free propagator" if bare else "full two-point function",
            "band": {r: band[r] for r in asked},
            "ratio": {r: ratio[r] for r in asked},
        },
        outputs=outputs,
    )


def _at_rest(
    tensors: Mapping[int, np.ndarray], second: Matrix, first: Vector, start: Vector
) -> tuple[dict[int, np.ndarray], Matrix, Vector]:
    """The vertices, the line and the origin where S is stationary, by Newton's method from the origin given.

    Raises:
        ValueError: no such place near by.
    """
    given = {1: first, 2: second, **tensors}
    chi = np.zeros(len(first))
    for _ in range(50):
        now = _moved(given, chi)
        step = np.linalg.solve(now[2], now[1])
        chi = chi - step
        if np.max(np.abs(step)) < 1e-14 * max(1.0, np.max(np.abs(chi))):
            now = _moved(given, chi)
            if np.linalg.eigvalsh(now[2])[0] > 0.0:
                return {r: part for r, part in now.items() if r > 2}, np.linalg.inv(now[2]), start + chi
            break
    raise ValueError(
        f"expected an action that is stationary near its origin, got a linear part of size {np.max(np.abs(first)):.3g} "
        "with no minimum there; try two_point= and mean= of the data"
    )


def _moved(tensors: Mapping[int, np.ndarray], chi: Vector) -> dict[int, np.ndarray]:
    """Taylor coefficients V_r of S about chi: V_r + V_(r+1) chi + V_(r+2) chi chi/2 + ..."""
    out: dict[int, np.ndarray] = {}
    for degree, tensor in sorted(tensors.items()):
        part = tensor
        for taken in range(degree):
            r = degree - taken
            out[r] = out.get(r, 0.0) + part / factorial(taken)
            part = part @ chi
    return out


def _quartic(points: int, quartic: np.ndarray | None, lam: np.ndarray | None, weights: Vector | None) -> np.ndarray:
    """Coefficients of the sorted quartic monomials, from themselves or from lambda_i(x,y)."""
    if (quartic is None) == (lam is None):
        raise ValueError("expected either quartic= or lam=, got both or neither; try quartic=np.array([...])")
    if lam is None:
        if weights is not None:
            raise ValueError("expected weights only beside lam=, got them beside quartic=; try multiplying them in")
        return np.asarray(quartic, dtype=float)
    if np.shape(lam) != (4, points, points):
        raise ValueError(f"expected lam of shape (4, {points}, {points}), got {np.shape(lam)}; try one draw at a time")
    w = np.ones(points) if weights is None else np.asarray(weights, dtype=float)
    if w.shape != (points,):
        raise ValueError(f"expected one weight per point, {points}, got shape {w.shape}; try weights=None")
    blocks = identifiable(np.asarray(lam), w)
    return np.concatenate([blocks[name] for name in ("g", "u", "v")]) @ Bilocal().monomials(points, w)


def _line(points: int, two_point: Matrix | None, quadratic: Vector | None) -> Matrix:
    """The propagator: the full two-point function, or the inverse of the quadratic part of the action."""
    if (two_point is None) == (quadratic is None):
        raise ValueError("expected either two_point= or quadratic=, got both or neither; try two_point=G2")
    if quadratic is None:
        line = np.asarray(two_point, dtype=float)
        if line.shape != (points, points):
            raise ValueError(f"expected two_point of shape ({points}, {points}), got {line.shape}; try data.tensor(2)")
        if not np.allclose(line, line.T, rtol=1e-8):
            off = np.max(np.abs(line - line.T))
            raise ValueError(f"expected a symmetric two_point, got one that is off by {off:.2g}; try data.tensor(2)")
        return line
    inverse = vertex(np.asarray(quadratic, dtype=float), points, order=2)
    if not np.linalg.eigvalsh(inverse)[0] > 0.0:
        raise ValueError(
            f"expected a positive definite quadratic part to expand around, got eigenvalue "
            f"{np.linalg.eigvalsh(inverse)[0]:.3g}; try two_point= with the full G2 on the lines"
        )
    return np.linalg.inv(inverse)


def _root(line: Matrix, purpose: str = "") -> Matrix:
    """Lower triangular L with line = L L^T."""
    try:
        return np.linalg.cholesky(line)
    except np.linalg.LinAlgError:
        raise ValueError(
            f"expected a positive definite two-point function{purpose}, got eigenvalue "
            f"{np.linalg.eigvalsh(line)[0]:.3g}; try fewer points or points further apart"
        ) from None


def whitened(connected: np.ndarray, two_point: Matrix) -> np.ndarray:
    """K^(-1/2) on each leg of G, times sqrt(multiplicity), (..., quad): the squares add up to the Frobenius norm^2."""
    points = len(two_point)
    whitener = np.linalg.inv(_root(two_point, " to whiten with"))
    quads, (a, b) = sorted_tuples(points, 4), sorted_tuples(points, 2).T
    pairs = len(a)
    both = whitener[a][:, a] * whitener[b][:, b]  # two legs at once, from sorted pairs to sorted pairs
    both = np.where(a == b, both, both + whitener[a][:, b] * whitener[b][:, a])
    index = rank(np.stack(np.broadcast_arrays(a[:, None], b[:, None], a, b), axis=-1), points).ravel()
    where = pairs * rank(quads[:, :2], points) + rank(quads[:, 2:], points)
    flat = np.asarray(connected).reshape(-1, len(quads))
    out, step = np.empty(flat.shape), max(1, _DENSE // pairs**2)
    for start in range(0, len(flat), step):  # a few rows at a time: they stay in the processor's cache
        table = flat[start : start + step, index].reshape(-1, pairs, pairs)
        out[start : start + step] = (both @ table @ both.T).reshape(-1, pairs**2)[:, where]
    return np.sqrt(multiplicities(quads)) * out.reshape(np.shape(connected))


def non_gaussianity(connected: np.ndarray, rows: np.ndarray | None, two_point: Matrix) -> tuple[float, float]:
    """eps4 = [(1/24) ||whitened G4c||^2]^(1/2) and its standard error: the expansion parameter of the effective action.

    To leading order eps4^2 is the chi^2 distance of the field to a Gaussian. The noise's own norm is subtracted, so
    that a Gaussian ensemble gives zero within errors; a negative remainder returns eps4 = 0.

    Args:
        connected: G4c on sorted quads, (quad,).
        rows: error rows, covariance = rows^T rows, (row, quad); None if exact.
        two_point: K, (point, point).
    """
    signal = whitened(connected, two_point)
    if rows is None:
        return float(np.linalg.norm(signal) / np.sqrt(24.0)), 0.0
    noise = whitened(rows, two_point)
    square = float(signal @ signal - np.sum(noise**2)) / 24.0
    value = np.sqrt(max(square, 0.0))
    # Var |x|^2 = 4 mu.C.mu + 2 tr C^2 for Gaussian x of mean mu and covariance C, and E x.C.x = mu.C.mu + tr C^2.
    pure = 2.0 * np.sum((noise @ noise.T if len(noise) < noise.shape[1] else noise.T @ noise) ** 2)
    spread = np.sqrt(max(4.0 * np.sum((noise @ signal) ** 2) - pure, pure)) / 24.0
    return float(value), float(min(spread / (2.0 * value), np.sqrt(spread))) if value > 0 else float(np.sqrt(spread))


def wick_contraction(points: int, two_point: Matrix) -> Matrix:
    """Quadratic part of the sorted quartic monomials under Wick ordering, (quad, pair).

    phi_a phi_b phi_c phi_d = :phi_a phi_b phi_c phi_d: + sum_6 K_ab :phi_c phi_d: + const, so a quartic coupling g_k
    shifts the coefficient of the sorted pair p by sum_k g_k R_kp.
    """
    quads, pairs = sorted_tuples(points, 4), sorted_tuples(points, 2)
    out = np.zeros((len(quads), len(pairs)))
    for i in range(4):
        for j in range(i):
            rest = np.delete(quads, [j, i], axis=1)
            np.add.at(out, (np.arange(len(quads)), rank(rest, points)), two_point[quads[:, i], quads[:, j]])
    return out
