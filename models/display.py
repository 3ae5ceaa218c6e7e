"""How things are shown: correlators as lines of text, and any of ours in a notebook as a small table.

A notebook asks a thing for `_repr_html_`; all of ours answer with one card: a name, rows, and where numbers have errors
a strip of them. Nothing is drawn or sampled for it, everything is escaped, and colours are those of the page around.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from html import escape
from typing import Any

import numpy as np

from .arrays import place_label

__all__ = ["card", "correlators_card", "correlators_text", "fields_of", "points_in_words", "strip"]

BLUE = "#0072b2"  # of Okabe and Ito, as in the figures
VERDICTS = {"pass": "#009e73", "note": "#8a8a8a", "warn": "#e69f00", "fail": "#d55e00"}
_WIDEST = 64  # numbers in a strip
_LISTED = 4  # points that are named


def card(title: object, rows: Iterable[Sequence[object]], *, head: Sequence[str] = (), below: str = "") -> str:
    """A title over a small table, as HTML; cells that begin with a verdict are coloured.

    Args:
        title: what it is.
        rows: cells of each row, as text.
        head: names of the columns.
        below: HTML under the table, as `strip` returns it.

    >>> card("a < b", [("n", 3)]).partition("<table>")[0]
    '<div><strong>a &lt; b</strong>'
    """
    names = "".join(f'<th style="text-align:left">{escape(str(name))}</th>' for name in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    table = f"<table>{f'<tr>{names}</tr>' if head else ''}{body}</table>"
    return f"<div><strong>{escape(str(title))}</strong>{table}{below}</div>"


def _cell(text: object) -> str:
    colour = f";color:{VERDICTS[str(text)]};font-weight:bold" if str(text) in VERDICTS else ""
    return f'<td style="text-align:left{colour}">{escape(str(text))}</td>'


def strip(values: Sequence[float] | np.ndarray, errors: Sequence[float] | np.ndarray, names: Sequence[str]) -> str:
    """Numbers side by side with one standard error and a line at zero, as SVG; the first 64, "" of fewer than two.

    Args:
        values: (component,).
        errors: (component,), zero where exact.
        names: of each, said where the pointer rests.

    >>> strip([1.0, -1.0], [0.1, 0.2], ["a", "b"]).count("<circle")
    2
    """
    value, error = np.asarray(values, dtype=float)[:_WIDEST], np.asarray(errors, dtype=float)[:_WIDEST]
    seen = np.isfinite(value) & np.isfinite(error)
    low, high = (float(f(np.append(v[seen], 0.0))) for f, v in ((np.min, value - error), (np.max, value + error)))
    if seen.sum() < 2 or high == low:
        return ""
    width, height = 9 * len(value) + 6, 64
    up = [4 + (high - y) / (high - low) * (height - 8) for y in (0.0, *value, *(value - error), *(value + error))]
    zero, middle, bottom, top = up[0], *np.split(np.array(up[1:]), 3)
    marks = [f'<line x1="0" x2="{width}" y1="{zero:.1f}" y2="{zero:.1f}" stroke="currentColor" opacity=".4"/>']
    for k in np.flatnonzero(seen).tolist():
        x, said = 7 + 9 * k, escape(f"{names[k]}  {value[k]:+.4g}" + (f" +- {error[k]:.2g}" * bool(error[k])))
        marks.append(
            f'<g><title>{said}</title><line x1="{x}" x2="{x}" y1="{bottom[k]:.1f}" y2="{top[k]:.1f}" stroke="{BLUE}"/>'
            f'<circle cx="{x}" cy="{middle[k]:.1f}" r="2.4" fill="{BLUE}"/></g>'
        )
    told = f"{len(value)} numbers with one standard error, from {low:.3g} to {high:.3g}"
    return f'<svg width="{width}" height="{height}" role="img" aria-label="{told}">{"".join(marks)}</svg>'


def fields_of(thing: Any) -> list[tuple[str, str]]:
    """The fields of a dataclass as they print, those left at None without."""
    held = [(field.name, getattr(thing, field.name, None)) for field in fields(thing)]
    return [(name, _short(repr(value))) for name, value in held if value is not None]


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 100 else text[:97] + "..."


def points_in_words(points: np.ndarray) -> str:
    """How many points in how many dimensions, and where, of the first four.

    >>> points_in_words(np.array([[-1.0], [2.0]]))
    '2 points in d = 1: -1, 2'
    """
    count, d = points.shape
    places = [f"{x[0]:.4g}" if d == 1 else f"({', '.join(f'{v:.3g}' for v in x[:3])})" for x in points[:_LISTED]]
    more = ", .." if count > _LISTED else ""
    named = f": {', '.join(places)}{more}" if d <= 3 else ""
    return f"{count} point{'s' * (count > 1)} in d = {d}{named}"


def _who(data: Any) -> str:
    """Who made correlators, from how much."""
    space = data.about.get("space", "field")
    drawn = "networks" if space == "field" else f"draws in {space} space"
    if "sampling" in data.about:
        drawn += f" ({data.about['sampling']})"
    if np.isinf(data.networks):
        return "errors given" if data.maker == "measured" else "exact"
    return f"{data.networks:,.0f} {drawn}"


def _components(data: Any, order: int, rows: int) -> list[tuple[str, float, float]]:
    """The most significant components of one order: label, value, error."""
    value, error, tuples = data.connected(order), data.error(order), data.tuples(order)
    size = np.abs(value) / np.where(error > 0, error, 1.0)
    best = np.sort(np.argsort(-size, kind="stable")[:rows])
    labels = [",".join(place_label(a, data.outputs) for a in tuples[k].tolist()) for k in best]
    return [(label, float(value[k]), float(error[k])) for label, k in zip(labels, best, strict=True)]


def correlators_text(data: Any, *, rows: int = 4) -> str:
    """A page for the reader: each order with its most significant components, errors and warnings."""
    count, d = data.points.shape
    parity = "Z2 used exactly" if data.even else "mean subtracted"
    fields = f" of {data.outputs} outputs" if data.outputs > 1 else ""
    lines = [f"Correlators ({data.maker}, {_who(data)}) at {count} points in d = {d}{fields}; {parity}"]
    for order in sorted({*data.cumulants, *data.refused}):
        if order in data.refused:
            lines.append(f"  G{order}c  refused: {data.refused[order]}")
            continue
        note = f"   [{data.flags[order]}]" if order in data.flags else ""
        lines.append(f"  G{order}c  {len(data.connected(order))} components{note}")
        for label, value, error in _components(data, order, rows):
            tail = f" +- {error:.2g}  ({value / error:+.1f} sd)" if error > 0 else ""
            lines.append(f"        ({label})  {value:+.6g}{tail}")
    return "\n".join(lines)


def correlators_card(data: Any) -> str:
    """The same for a notebook: a row an order, and the highest order up to four as a strip."""
    rows: list[tuple[str, ...]] = []
    for order in sorted({*data.cumulants, *data.refused}):
        if order in data.refused:
            rows.append((f"G{order}c", "-", "refused: " + data.refused[order]))
            continue
        [(label, value, error)] = _components(data, order, 1)
        best = f"({label}) {value:+.5g}" + (f" +- {error:.2g} ({value / error:+.1f} sd)" if error > 0 else "")
        rows.append((f"G{order}c", str(len(data.connected(order))), best + "  " + data.flags.get(order, "")))
    title = f"Correlators, {data.maker}" + ("" if _who(data) == data.maker else f", {_who(data)}")
    where = points_in_words(data.points) + (f", {data.outputs} outputs" if data.outputs > 1 else "")
    below = ""
    if shown := [order for order in data.orders if order <= 4]:
        names = [f"G{shown[-1]}c{tuple(row)}" for row in data.tuples(shown[-1])[:_WIDEST].tolist()]
        below = strip(data.connected(shown[-1]), data.error(shown[-1]), names)
    head = ("order", "components", "clearest")
    return card(title, [*rows, ("points", "", where)], head=head, below=below)
