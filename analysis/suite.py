"""What is in the suite and what is known exactly about each network and field theory, in words for the terminal.

They are read from `suite.toml` and `known.toml` in `models/theories`, not from the networks and theories: printing them
imports neither JAX nor anything else that has to be installed. Tests hold every number against what makes it.
"""

import tomllib
from collections.abc import Iterable
from importlib.resources import files
from math import isfinite
from textwrap import wrap
from typing import Any

__all__ = ["table"]


def table() -> str:
    """The networks of the suite with kernel, exact orders, tails, defaults and source, and the field theories whose
    numbers are known by another road: at most 100 columns.

    >>> print(table().splitlines()[4])
    cos    s(x) = cos(w.x + c), w ~ N(0, sW^2/d), c ~ U[-pi, pi]
    """
    lines = [
        "phi(x) = N^(-1/2) sum_i W_i s_i(x) + b1: a sum over N = width neurons, and an output bias.",
        "G2(x,y) = output_scale^2 K(x,y) + output_bias^2;  sW = weight_scale, sb = bias_scale, x in R^d.",
        "Neurons that share a random scale or length, several kinds of neurons, your own: see models.Network.",
    ]
    for name, theory in _read("suite.toml").items():
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
    lines += ["", "nnft run cos -o out/cos runs the first one; --width, --points, --n, --seed and --set change it."]
    lines += ["", "Field theories known by another road, to hold networks and fits against:"]
    for name, theory in _read("known.toml").items():
        lines += ["", *wrap(theory["action"], 100, initial_indent=f"{name:<11}", subsequent_indent=" " * 11)]
        lines += wrap(theory["made"], 100, initial_indent=f"{'made':>10} ", subsequent_indent=" " * 11)
        columns = [[_cell(value) for value in column] for column in zip(*theory["rows"], strict=True)]
        sizes = [max(map(len, [head, *column])) for head, column in zip(theory["columns"], columns, strict=True)]
        for row in (theory["columns"], *zip(*columns, strict=True)):
            cells = [cell.rjust(size) for cell, size in zip(row, sizes, strict=True)]
            lines.append(" " * 11 + "  ".join(cells))
    return "\n".join(lines)


def _read(name: str) -> dict[str, dict[str, Any]]:
    """A file of words and numbers; not through the package `models`, whose import brings JAX."""
    package = (__package__ or "").rpartition(".")[0]
    return tomllib.loads((files(package) / "models" / "theories" / name).read_text(encoding="utf-8"))


def _cell(value: float) -> str:
    """Ten digits after the point, unless six are all there are.

    >>> _cell(0.599139632), _cell(0.00005), _cell(8)
    ('0.5991396320', '5e-05', '8')
    """
    return f"{value:.10f}" if isfinite(value) and abs(value - round(value, 6)) > 1e-11 else f"{value:g}"


def _written(points: Iterable[list[float]]) -> str:
    """-3, -1, 1, 3 in one dimension, (1, 0), (0, 1) in more."""
    return ", ".join(f"{p[0]:g}" if len(p) == 1 else f"({', '.join(f'{a:g}' for a in p)})" for p in points)
