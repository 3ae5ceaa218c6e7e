"""S of each action as a page prints it, with what its couplings mean: the convention a number belongs to.

The same sums as in `models/actions/rungs.py` and `models/actions/lattice.py`, in HTML.
"""

from ...models.actions.lattice import LatticePhi4, TranslationInvariant
from ...models.actions.rungs import AbstractAction, Modes

__all__ = ["written"]

_QUADRATIC = "S = ∑<sub>a≤b</sub> q<sub>ab</sub> φ<sub>a</sub>φ<sub>b</sub> + "
_BILOCAL = (
    f"{_QUADRATIC}∑<sub>x,y</sub> w<sub>x</sub>w<sub>y</sub> ∑<sub>i=0…3</sub> λ<sub>i</sub>(x,y) "
    "φ(x)<sup>i</sup>φ(y)<sup>4−i</sup>"
)
_GAUGE = (
    "Different λ<sub>i</sub> can give the same S. What can be told apart are the coefficients g<sub>a</sub> of "
    "φ<sub>a</sub><sup>4</sup>, u<sub>ab</sub> of φ<sub>a</sub>φ<sub>b</sub><sup>3</sup> (a ≠ b) and "
    "v<sub>ab</sub> of φ<sub>a</sub><sup>2</sup>φ<sub>b</sub><sup>2</sup> (a &lt; b), and these are fitted. The "
    "λ<sub>i</sub> are shown in one gauge: λ<sub>0</sub> diagonal, λ<sub>1</sub> the transpose of "
    "λ<sub>3</sub>, λ<sub>2</sub> symmetric, and no diagonal in the last three. That is, λ<sub>0</sub>(a,a) = "
    "g<sub>a</sub>/w<sub>a</sub><sup>2</sup>, λ<sub>1</sub>(a,b) = λ<sub>3</sub>(b,a) = "
    "u<sub>ab</sub>/(2w<sub>a</sub>w<sub>b</sub>), λ<sub>2</sub>(a,b) = λ<sub>2</sub>(b,a) = "
    "v<sub>ab</sub>/(2w<sub>a</sub>w<sub>b</sub>)."
)
_QUARTIC = "∑<sub>a≤b≤c≤d</sub> g<sub>abcd</sub> φ<sub>a</sub>φ<sub>b</sub>φ<sub>c</sub>φ<sub>d</sub>"
_SEXTIC = "∑<sub>a≤…≤f</sub> g<sub>abcdef</sub> φ<sub>a</sub>⋯φ<sub>f</sub>"
_WRITTEN = {
    "Constant": (
        f"{_QUADRATIC}λ ∑<sub>x</sub> w<sub>x</sub> φ(x)<sup>4</sup>",
        "One coupling, the same at every point.",
    ),
    "Local": (
        f"{_QUADRATIC}∑<sub>x</sub> w<sub>x</sub> λ(x) φ(x)<sup>4</sup>",
        "The table gives g<sub>a</sub> = w<sub>a</sub> λ(x<sub>a</sub>).",
    ),
    "Bilocal": (_BILOCAL, _GAUGE),
    "SmoothBilocal": (
        _BILOCAL,
        f"{_GAUGE} The prior holds the couplings of a block together: in scaled fields each of g(x), u(x,y), v(x,y) is "
        "a Gaussian process over (x,y), of covariance a<sup>2</sup> exp(−(|x−x′|<sup>2</sup> + "
        "|y−y′|<sup>2</sup>)/2ℓ<sup>2</sup>), plus an independent discrepancy of standard deviation d.",
    ),
    "LowRankBilocal": (
        _BILOCAL,
        f"{_GAUGE} Of low rank: v<sub>ab</sub> = ∑<sub>r</sub> d<sub>r</sub> f<sub>ra</sub>f<sub>rb</sub> and "
        "u<sub>ab</sub> = ∑<sub>r</sub> c<sub>ra</sub>e<sub>rb</sub>; g<sub>a</sub> is free.",
    ),
    "FullQuartic": (
        f"{_QUADRATIC}{_QUARTIC}",
        "One coupling for each sorted quadruple of points: every quartic monomial. Quadrature weights are absorbed.",
    ),
    "FullSextic": (
        f"{_QUADRATIC}{_QUARTIC} + {_SEXTIC}",
        "One coupling for each sorted quadruple and each sorted sextuple of points. Quadrature weights are absorbed.",
    ),
}


def written(action: AbstractAction) -> tuple[str, str]:
    """The formula of S, and what its couplings are, as HTML.

    >>> from nnft.models import Constant
    >>> written(Constant())[1]
    'One coupling, the same at every point.'
    """
    if isinstance(action, Modes):
        formula, what = written(action.action)
        kept = "of the mode" if action.count == 1 else f"of the {action.count} leading modes"
        inner = formula.replace("φ(x)", "c<sub>x</sub>").replace("φ", "c")
        return inner, (
            "c<sub>k</sub> = v<sub>k</sub>·φ/κ<sub>k</sub><sup>1/2</sup> with K v<sub>k</sub> = κ<sub>k</sub> "
            f"v<sub>k</sub>, of unit variance: S is that {kept}, the rest of the field integrated out. "
            f"{what.replace('φ', 'c').replace('of points', 'of modes')}"
        )
    if isinstance(action, LatticePhi4):
        kinetic = "" if action.kappa is None else f" κ = {action.kappa:g} is given, and not fitted."
        return (
            "S = κ ∑<sub>x,μ</sub> (φ<sub>x+μ</sub> − φ<sub>x</sub>)<sup>2</sup> + m² ∑<sub>x</sub> "
            "φ<sub>x</sub><sup>2</sup> + λ ∑<sub>x</sub> φ<sub>x</sub><sup>4</sup>",
            "Each of the d links of a site counts once, and there is no factor 1/2 or 1/4! anywhere. Where the "
            "literature has them, or writes hopping terms −2κ φ<sub>x</sub>φ<sub>x+μ</sub>, the same action has other "
            f"numbers: <code>m.convert_lattice</code> turns one convention into another, with the errors.{kinetic}",
        )
    if isinstance(action, TranslationInvariant):
        reach = "" if action.reach is None else f" Displacements reach {action.reach} along every axis."
        return (
            "S = ∑<sub>x</sub> [ ∑<sub>r</sub> q(r) φ<sub>x</sub>φ<sub>x+r</sub> + g φ<sub>x</sub><sup>4</sup> + "
            "∑<sub>r≠0</sub> u(r) φ<sub>x</sub>φ<sub>x+r</sub><sup>3</sup> + ∑<sub>r≠0</sub> v(r) "
            "φ<sub>x</sub><sup>2</sup>φ<sub>x+r</sub><sup>2</sup> ]",
            "The couplings are the same at every x. Of a displacement and its opposite q and v have one, so that the "
            "sum over x meets each pair once (twice where r is its own opposite), without a factor 1/2; u(r) and "
            f"u(−r) are two couplings. On an open line or lattice x + r stays inside.{reach}",
        )
    return _WRITTEN[type(action).__name__]
