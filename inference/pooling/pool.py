"""Parts that were measured anywhere add up to the correlators of the whole ensemble.

The sums of every group of networks are added in the order of the networks, whatever the order in which parts arrive.
Moments, connected functions and rows are then those of a single run: to the last bit where parts are whole groups and
have at most 1024 pieces of 4096 networks, else to round-off. Groups of parts smaller than a group are added up to the
whole's, at most 1024: nothing of the covariance is lost but degrees of freedom that a single run does not have either.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...models.correlators import Correlators
from ...models.files import recipe_hash, versions
from ...models.theories.recipes import made
from ..engines.memory import expect_memory
from ..estimators.measure import Plan, finished

__all__ = ["pool", "restored"]

_SAME = 1e-4  # relative: fields of the first networks on another processor
_COPIES = 3  # of what files hold: the parts, their sums put together, and the rows made of them
_LISTED = 6  # missing ranges


def pool(parts: str | Path | Correlators | Iterable[str | Path | Correlators], *, partial: bool = False) -> Correlators:
    """Correlators of an ensemble from those of its parts, `inf.measure(ensemble.shard(k, K))`, in any order.

    Args:
        parts: correlators, files of `Correlators.save`, or a folder of such files.
        partial: pool what is there although parts are missing: correlators of fewer networks.

    Raises:
        ValueError: parts of different recipes, points or versions; two that overlap, with their ranges; missing ones,
            with theirs; a truncated file; correlators that are no part.

    Example, an ensemble measured in three parts:
        >>> import jax
        >>> from nnft import inference as inf, models as m
        >>> net, x = m.Network(m.Cos(), width=20), np.array([[0.0], [1.0]])
        >>> ens = inf.Ensemble(net, points=x, n=3000, key=jax.random.key(0))
        >>> pooled = pool(inf.measure(ens.shard(k, 3)) for k in (2, 0, 1))
        >>> bool(np.all(pooled.moment(4) == inf.measure(ens).moment(4)))
        True
    """
    names, found = _read(parts)
    if len(found) == 1 and found[0].sums is None and found[0].maker == "measured":
        return restored(found[0])
    for name, part in zip(names, found, strict=True):
        if part.sums is None:
            raise ValueError(
                f"expected parts of an ensemble, got {name}, correlators without the sums of one; try "
                "inf.measure(ensemble.shard(k, K)).save(path)"
            )
    _check_alike(names, found)
    order = np.argsort([_span(part)[0] for part in found], kind="stable")
    names, found = [names[k] for k in order], [found[k] for k in order]
    whole = _sums(found[0])["whole"]
    _check_ranges(names, [_span(part) for part in found], whole["n"], partial=partial)
    share = sum(_span(part)[1] for part in found) / whole["n"]
    sizes, totals = _added(found, whole["group"])
    made_of = finished(
        _plan(found[0]),
        found[0].points,
        sizes,
        totals,
        share=share,
        inflation=float(whole["inflation"]),
        outputs=found[0].outputs,
    )
    about = {**found[0].about, "recipe": json.dumps(_recipe(found[0])), "parts": len(found)}
    about["source"] = str(about.get("source", "")).partition(" of ")[2] or about.get("source", "")
    return restored(replace(made_of, about=about))


def restored(data: Correlators) -> Correlators:
    """Correlators with the model that their recipe describes, where it is one of ours: its exact kernel is known."""
    if data.model is not None or not data.about.get("recipe"):
        return data
    recipe = json.loads(str(data.about["recipe"]))
    if recipe.get("kind") != "ensemble" or recipe.get("site") != "phi":
        return data
    return replace(data, model=made(recipe["model"]))


def _read(parts: Any) -> tuple[list[str], list[Correlators]]:
    """Correlators and what to call them."""
    if isinstance(parts, Correlators):
        parts = [parts]
    if isinstance(parts, str | Path):
        place = Path(parts)
        parts = sorted(place.glob("*.nc")) if place.is_dir() else [place]
        size = _COPIES * float(sum(file.stat().st_size for file in parts if file.is_file()))
        expect_memory(size, f"{len(parts)} files of parts", "pooling some of them first (partial=True)")
        if not parts:
            raise ValueError(f"expected files of parts (.nc) in {str(place)!r}, got none; try nnft measure -o {place}")
    names, found = [], []
    for k, part in enumerate(parts):
        if isinstance(part, str | Path):
            names.append(Path(part).name)
            found.append(Correlators.load(part))
        elif isinstance(part, Correlators):
            names.append(f"part {k}")
            found.append(part)
        else:
            raise ValueError(f"expected files or Correlators, got {part!r:.80}; try inf.pool('parts/')")
    if not found:
        raise ValueError("expected at least one part, got none; try inf.measure(ensemble.shard(0, 4))")
    return names, found


def _sums(part: Correlators) -> Mapping[str, Any]:
    assert part.sums is not None
    return part.sums


def _span(part: Correlators) -> tuple[int, int]:
    first, count = _sums(part)["span"]
    return int(first), int(count)


def _recipe(part: Correlators) -> dict[str, Any]:
    """That of the whole."""
    recipe = json.loads(str(part.about.get("recipe", "{}")))
    return {name: value for name, value in recipe.items() if name != "span"}


def _plan(part: Correlators) -> Plan:
    kept = dict(_sums(part)["plan"])
    for kind in ("refused", "flags"):
        kept[kind] = {int(order): why for order, why in kept[kind].items()}
    return Plan(**{**kept, "chosen": tuple(kept["chosen"]), "centre": _sums(part).get("centre")})


def _check_alike(names: Sequence[str], found: Sequence[Correlators]) -> None:
    """Refuse parts of another ensemble, or of another version, with what differs."""
    first, own = found[0], _recipe(found[0])
    for name, part in zip(names[1:], found[1:], strict=True):
        other = _recipe(part)
        for key in {**own, **other}:
            if own.get(key) != other.get(key):
                raise ValueError(
                    f"expected parts of one recipe, got {names[0]} with {key} {own.get(key)} (recipe "
                    f"{recipe_hash({'recipe': json.dumps(own)})}) and {name} with {other.get(key)} (recipe "
                    f"{recipe_hash({'recipe': json.dumps(other)})}); try pooling them apart"
                )
        mine, theirs = (_versions(one)["nnft"] for one in (first, part))
        if mine != theirs:
            raise ValueError(
                f"expected parts of one version of nnft, got {names[0]} of {mine} and {name} of {theirs}; try "
                f"measuring {name} again"
            )
        alike = (
            first.outputs == part.outputs
            and first.points.shape == part.points.shape
            and np.array_equal(first.points, part.points)
        )
        if not alike:
            raise ValueError(
                f"expected parts at the same points, got {first.points.ravel()[:4]}... in {names[0]} and "
                f"{part.points.ravel()[:4]}... in {name}; try pooling them apart"
            )
        seen, fields = _sums(first)["first"], _sums(part)["first"]
        if not np.allclose(seen, fields, rtol=_SAME, atol=_SAME * np.max(np.abs(seen))):
            raise ValueError(
                f"expected parts of one ensemble, got other networks in {name} than in {names[0]} under the same "
                "recipe; try one array, one model and one precision for all parts"
            )
        (a, b), differs = (_plan(one)._replace(centre=None) for one in (first, part)), _sums(part)["whole"]
        if a != b or _sums(first)["whole"] != differs:
            raise ValueError(
                f"expected parts measured alike, got {names[0]} with orders {a.chosen}, even={a.even} and {name} with "
                f"{b.chosen}, even={b.even}; try the same orders= and even= for all parts"
            )


def _versions(part: Correlators) -> dict[str, str]:
    return json.loads(str(part.about["versions"])) if "versions" in part.about else versions()


def _check_ranges(names: Sequence[str], spans: Sequence[tuple[int, int]], n: int, *, partial: bool) -> None:
    """Refuse overlaps and, where all parts are asked for, gaps."""
    missing, stop = [], 0
    for k, (first, count) in enumerate(spans):
        if first < stop:
            before = spans[k - 1]
            raise ValueError(
                f"expected parts that do not overlap, got networks {before[0]} to {sum(before) - 1} in {names[k - 1]} "
                f"and {first} to {first + count - 1} in {names[k]}; try leaving one out"
            )
        if first > stop:
            missing.append((stop, first))
        stop = first + count
    if stop < n:
        missing.append((stop, n))
    if missing and not partial:
        ranges = ", ".join(f"{a} to {b - 1}" for a, b in missing[:_LISTED])
        more = f" and {len(missing) - _LISTED} further ranges" if len(missing) > _LISTED else ""
        raise ValueError(
            f"expected all {n} networks, got parts without networks {ranges}{more}; try measuring these, or "
            "partial=True for fewer networks"
        )


def _added(found: Sequence[Correlators], group: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Weights and sums of the groups of the whole, in their order, from those of the parts, in theirs."""
    places = [_span(part)[0] + int(_sums(part)["group"]) * np.arange(len(_sums(part)["sizes"])) for part in found]
    groups = [place // group for place in places]
    present = np.unique(np.concatenate(groups))
    sizes = np.zeros(len(present))
    orders = list(_sums(found[0])["totals"])
    totals = {r: np.zeros((len(present), _sums(found[0])["totals"][r].shape[1])) for r in orders}
    for part, numbers in zip(found, groups, strict=True):
        where = np.searchsorted(present, numbers)
        np.add.at(sizes, where, _sums(part)["sizes"])
        for r in orders:
            np.add.at(totals[r], where, _sums(part)["totals"][r])
    return sizes, totals
