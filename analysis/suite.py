"""What is in the suite and what is known exactly about each network, in words for the terminal.

They are read from `suite.toml` beside the networks of `models.theories`, not from the networks: printing them imports
neither JAX nor anything else that has to be installed. A test holds every number of that file against the networks.
"""

import tomllib
from collections.abc import Iterable
from importlib.resources import files
from textwrap import wrap

__all__ = ["table"]


def table() -> str:
    """The networks of the suite with kernel, exact orders, tails, defaults and source: at most 100 columns.

    >>> print(table().splitlines()[4])
    cos    s(x) = cos(w.x + c), w ~ N(0, sW^2/d), c ~ U[-pi, pi]
    """
    lines = [
        "phi(x) = N^(-1/2) sum_i W_i s_i(x) + b1: a sum over N = width neurons, and an output bias.",
        "G2(x,y) = output_scale^2 K(x,y) + output_bias^2;  sW = weight_scale, sb = bias_scale, x in R^d.",
        "Neurons that share a random scale or length, several kinds of neurons, your own: see models.Network.",
    ]
    package = (__package__ or "").rpartition(".")[0]  # not the package `models`, whose import brings JAX
    words = tomllib.loads((files(package) / "models" / "theories" / "suite.toml").read_text(encoding="utf-8"))
    for name, theory in words.items():
        scales = ", ".join(f"{scale} {value:g}" for scale, value in theory["scales"].items())
        entries = {
            "K(x,y)": theory["kernel"],
            "exact": f"orders {', '.join(map(str, theory['orders']))} {theory['known']}",
            "tails": theory["tails"],
            "defaults": f"width {theory['width']}, {scales}; points {_written(theory['points'])}",
            "": f"({theory['choice']}; Gram matrix of condition {theory['condition']:.3g}, "
            f"eps4 = {theory['eps4']:.2f})",
            "source": f"arXiv:{theory['source']}" if theory["source"][0].isdigit() else theory["source"],
        }
        lines += ["", f"{name + ' ':<7}{theory['activation']}"]
        for label, text in entries.items():
            lines += wrap(text, 100, initial_indent=f"       {label:<10}", subsequent_indent=" " * 17)
    return "\n".join(
        [*lines, "", "nnft run cos -o out/cos runs the first one; --width, --points, --n, --seed and --set change it."]
    )


def _written(points: Iterable[list[float]]) -> str:
    """-3, -1, 1, 3 in one dimension, (1, 0), (0, 1) in more."""
    return ", ".join(f"{p[0]:g}" if len(p) == 1 else f"({', '.join(f'{a:g}' for a in p)})" for p in points)
