"""The result of a fit as a folder: one page to read, the numbers as JSON, and the fit itself to go on with.

`index.html` needs nothing beside it; `summary.json` holds numbers, checks and provenance; `fit.nc` reloads identical.
The three appear together or not at all: they are written beside their place first and renamed into it.
"""

import gc
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
import xarray as xr

from ..checks.diagnose import Check, diagnose
from ..reading.couplings import INTERVAL
from ..reading.fit import Reading, reads
from .page import page
from .paragraph import action_name, count, drawn, origin, paragraph, share, where

__all__ = ["FILES", "check_folder", "load", "plain", "report", "summary", "written_summary"]

FILES = ("index.html", "summary.json", "fit.nc")
_LINES = 25  # of the printed summary


@reads
def report(
    fit: Reading,
    folder: str | Path,
    *,
    force: bool = False,
    checks: Iterable[Check | Callable[[Reading], Check | Iterable[Check]]] | None = None,
) -> Path:
    """Write the page, the numbers and the fit into a folder, and return the path of the page.

    Args:
        fit: the fit, from `inference.fit`, or one reloaded with `load`.
        folder: made if it is not there, with the folders above it.
        force: replace the three files in a folder that exists; nothing else in it is touched.
        checks: from `diagnose(fit)`, where that has been asked already; or functions, checks of one's own that are
            asked beside those of the suite, as in `diagnose`.

    Raises:
        ValueError: the folder exists and `force` is not given, or cannot be written.
    """
    folder = check_folder(folder, force=force)
    checks = _checks(fit, checks)
    with _no_collection():
        texts = {"index.html": page(fit, checks), "summary.json": _json(fit, checks)}
    beside = folder if folder.exists() else folder.parent
    missing = [path for path in (beside, *beside.parents) if not path.exists()]
    workplace = beside / f".{folder.name}-{token_hex(4)}"
    try:
        workplace.mkdir(parents=True)
        for name, text in texts.items():
            (workplace / name).write_text(text, encoding="utf-8")
        fit.tree.to_netcdf(workplace / "fit.nc", engine="netcdf4")
        if beside == folder:
            _replace(workplace, folder)
            shutil.rmtree(workplace)
        else:
            _publish(workplace, folder, force=force)
    except BaseException as error:
        shutil.rmtree(workplace, ignore_errors=True)
        for path in missing:
            with suppress(OSError):
                path.rmdir()  # only if it was made here and nothing else has come into it
        if isinstance(error, OSError):
            raise _unwritable(folder, error) from error
        raise
    return folder / "index.html"


def written_summary(folder: str | Path) -> dict[str, Any]:
    """What summary.json of a folder holds; nothing of a folder without one, or with another kind of file.

    >>> written_summary("no such folder")
    {}
    """
    try:
        held = json.loads((Path(folder).expanduser() / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def check_folder(folder: str | Path, *, force: bool = False) -> Path:
    """Whether `report` could write there, asked before any long work; the full path of the folder.

    Raises:
        ValueError: as `report`.
    """
    folder = Path(folder).expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"expected a folder for the report, got the file {str(folder)!r}; try another name")
    if folder.exists() and not force:
        raise ValueError(
            f"expected a folder that does not exist yet, got {str(folder)!r}; try another name, or force=True "
            f"(--force) to replace {', '.join(FILES)} in it"
        )
    for name in FILES:
        if (folder / name).is_dir():
            raise ValueError(f"expected {name} to be a file, got a folder in {str(folder)!r}; try another folder")
    above = next(path for path in (folder, *folder.parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise _unwritable(folder, f"no permission in {str(above)!r}" if above.is_dir() else f"{str(above)!r} is a file")
    return folder


def load(path: str | Path) -> xr.DataTree:
    """The fit in a report's folder or in a file `fit.nc`, read into memory.

    Raises:
        ValueError: no such file, or one that holds no fit.
    """
    path = Path(path).expanduser()
    file = path / "fit.nc" if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"expected a fit at {str(file)!r}, got no such file; try the folder that `report` wrote")
    try:
        with xr.open_datatree(file, engine="netcdf4") as stored:
            fit = stored.load()
    except Exception as error:  # netCDF4 has several for a file that is not theirs
        why = str(error).partition("\n")[0]
        raise ValueError(f"expected a NetCDF 4 file, got {file.name} ({why}); try the fit.nc of a report") from error
    missing = {"posterior", "observed_data", "constant_data"} - set(fit.children)
    if missing or "action" not in fit.attrs:
        got = f"no {', '.join(sorted(missing))}" if missing else "no name of an action"
        raise ValueError(f"expected a fit of inf.fit in {file.name}, got {got}; try the fit.nc of a report")
    return fit


@reads
def summary(fit: Reading, *, checks: Iterable[Check] | None = None) -> str:
    """What one wants to see after a fit, in at most 25 lines; `checks` as in `report`.

    Raises:
        ValueError: no fit, or one without draws.

    Example:
        >>> import jax, numpy as np
        >>> from nnft import inference as inf, models as m
        >>> data = m.exact(m.Network(m.Cos(), 20), np.array([[0.0], [2.0]]))
        >>> fit = inf.fit(data, m.Bilocal(), key=jax.random.key(0), as_if_n=100_000, sampler=inf.Closed(draws=50))
        >>> summary(fit).splitlines()[0]
        'bilocal quartic action, 100 000 networks at 2 points: cosine networks of width 20'
    """
    checks = _checks(fit, checks)
    attrs, found = fit.constants.attrs, fit.couplings
    networks = count(fit.networks).replace("\u202f", " ")
    fraction = None if attrs.get("share_error") == 0.0 else share(fit)
    explained = "" if fraction is None else f", {fraction[0]:.1%} +- {fraction[1]:.1%} of the full quartic action's"
    how = [str(fit.attrs.get(word, default)) for word, default in (("method", "score"), ("sampler", "nuts"))]
    size = f"eps4 = {attrs['eps4']:.4g} +- {attrs['eps4_error']:.2g}; " if "eps4" in attrs else ""
    lines = [
        f"{action_name(fit)}, {networks} {drawn(fit)} {where(fit).replace(' × ', ' x ')}: {origin(fit)}",
        *([] if how == ["score", "nuts"] else [f"method {how[0]}, sampler {how[1]}"]),
        f"{size}gain over the Gaussian {attrs['gain']:.4g} +- {attrs['gain_error']:.2g}{explained}",
        "",
    ]
    concerns = [check for check in checks if check.verdict in ("fail", "warn")]
    concerns.sort(key=lambda check: check.verdict)  # fail before warn
    kept = concerns[: _LINES // 2 - 4]
    room = _LINES - len(lines) - len(kept) - 6
    few = [
        c for c in [*fit.couplings, *fit.quadratics] if not c.where and c.site != "coupling"
    ]  # kappa, m2 of a lattice
    found, hyper = [*few, *found], fit.hyper_parameters
    found += hyper if len(found) + len(hyper) <= room else []
    shown = found if len(found) <= room else sorted(found, key=lambda c: -abs(c.z))[:room]
    table = [("coupling", "mean", "sd", f"{INTERVAL:.0%} interval", "prior sd")]
    for c in shown:
        interval = f"[{c.low:.4g}, {c.high:.4g}]"
        table.append((c.text, f"{c.mean:.4g}", f"{c.sd:.2g}", interval, f"{c.prior_sd:.2g}"))
    lines += [f"{name:<14}{mean:>12}{sd:>11}{interval:>26}{before:>11}" for name, mean, sd, interval, before in table]
    if len(shown) < len(found):
        lines.append(f"... {len(found) - len(shown)} more; these are the clearest")
    tally = ", ".join(
        f"{number} {verdict}"
        for verdict in ("fail", "warn", "pass", "note")
        if (number := sum(check.verdict == verdict for check in checks))
    )
    lines += ["", f"checks: {tally}"]
    lines += [f"  {c.verdict}  {c.name}: {c.value} (limit {c.limit})" for c in kept]
    if len(kept) < len(concerns):
        lines.append(f"  ... {len(concerns) - len(kept)} more warn or fail")
    lines.append(f"{fit.action.belongs.split(':')[0]}.")
    return "\n".join(lines)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Figures are full of cycles: the collector would walk through all objects of JAX again and again meanwhile."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _checks(fit: Reading, given: Iterable[Any] | None) -> list[Check]:
    """Verdicts that were given, else those of `diagnose`, with the checks of one's own among them."""
    made = list(given or ())
    own: list[Any] = [check for check in made if callable(check)]
    if given is None or own:
        return [*(check for check in made if not callable(check)), *diagnose(fit, *own)]
    return made


def _json(fit: Reading, checks: Iterable[Check]) -> str:
    constants, checks = fit.constants, list(checks)
    fields = ("mean", "sd", "low", "high", "prior_mean", "prior_sd", "ess", "rhat")
    fields += ("bias",) if "truncation_bias" in constants else ()
    content = {
        "summary": paragraph(fit, checks),
        "action": fit.attrs["action"],
        "action_options": json.loads(str(fit.attrs.get("action_options", "{}"))),
        "method": fit.attrs.get("method", "score"),
        "sampler": fit.attrs.get("sampler", "nuts"),
        "networks": fit.attrs["networks"],
        "points": constants["x_position"].values,
        "weights": constants["weights"].values,
        "numbers": {**constants.attrs, **dict(zip(("share", "share_error"), share(fit) or (None, None), strict=True))},
        "interval": INTERVAL,
        "couplings": [
            {"name": c.site, "at": c.where, **{field: getattr(c, field) for field in fields}}
            for c in (*[*fit.couplings, *fit.quadratics], *fit.hyper_parameters)
        ],
        "checks": [check._asdict() for check in checks],
        "provenance": dict(fit.attrs),
    }
    return json.dumps(plain(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """Python's own types all the way down; what is not finite has no place in JSON and becomes null."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value if isinstance(value, str | int | None) else str(value)


def _publish(workplace: Path, folder: Path, *, force: bool) -> None:
    """Give the folder its name; another run that took the name meanwhile keeps it, unless `force` replaces files."""
    try:
        workplace.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        check_folder(folder, force=force)  # says that it exists
        _replace(workplace, folder)
        shutil.rmtree(workplace)


def _replace(workplace: Path, folder: Path) -> None:
    """Put the new files in place of the old ones; if one cannot, every old one comes back."""
    done: list[Path] = []
    try:
        for name in FILES:
            target = folder / name
            if target.exists():
                os.replace(target, workplace / f"{name}.old")
            done.append(target)
            os.replace(workplace / name, target)
    except BaseException:
        for target in done:
            old = workplace / f"{target.name}.old"
            if old.exists():
                os.replace(old, target)
            else:
                target.unlink(missing_ok=True)
        raise


def _unwritable(folder: Path, why: object) -> ValueError:
    return ValueError(f"expected a place that can be written for {str(folder)!r}, got {why}; try another folder")
