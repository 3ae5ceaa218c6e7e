"""Checks, comparisons, figures and the report of a fit."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calibration import calibration_table as calibration_table
    from .calibration import plot_calibration as plot_calibration
    from .compare import compare as compare
    from .diagnostics import diagnose as diagnose
    from .experiment_page import run_experiment as run_experiment
    from .methods import compare_methods as compare_methods
    from .plots import plot_couplings as plot_couplings
    from .plots import plot_four_point as plot_four_point
    from .plots import plot_prior_posterior as plot_prior_posterior
    from .plots import plot_schwinger_dyson as plot_schwinger_dyson
    from .plots import plot_trace_rank as plot_trace_rank
    from .plots_predictive import plot_comparison as plot_comparison
    from .plots_predictive import plot_predictive as plot_predictive
    from .plots_predictive import plot_predictive_draws as plot_predictive_draws
    from .predictive_checks import predictive as predictive
    from .report import load as load
    from .report import report as report
    from .report import summary as summary
    from .rungs import rungs as rungs
    from .sensitivity import loo as loo
    from .sensitivity import prior_sensitivity as prior_sensitivity
    from .study import Study as Study
    from .study import run as run

# The names load when first used: `nnft --help` lives in this room too and should not wait for JAX.
_HOMES = {
    "compare": "compare",
    "compare_methods": "methods",
    "calibration_table": "calibration",
    "plot_calibration": "calibration",
    "diagnose": "diagnostics",
    "run_experiment": "experiment_page",
    "plot_couplings": "plots",
    "plot_four_point": "plots",
    "plot_prior_posterior": "plots",
    "plot_schwinger_dyson": "plots",
    "plot_trace_rank": "plots",
    "plot_comparison": "plots_predictive",
    "plot_predictive": "plots_predictive",
    "plot_predictive_draws": "plots_predictive",
    "predictive": "predictive_checks",
    "load": "report",
    "report": "report",
    "summary": "report",
    "rungs": "rungs",
    "loo": "sensitivity",
    "prior_sensitivity": "sensitivity",
    "Study": "study",
    "run": "study",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


class _Room(ModuleType):
    """Python binds modules such as `report` here once imported; `an.report` is the function all the same."""

    @property
    def compare(self) -> Any:
        return __getattr__("compare")

    @compare.setter
    def compare(self, module: ModuleType) -> None:
        pass

    @property
    def report(self) -> Any:
        return __getattr__("report")

    @report.setter
    def report(self, module: ModuleType) -> None:
        pass

    @property
    def rungs(self) -> Any:
        return __getattr__("rungs")

    @rungs.setter
    def rungs(self, module: ModuleType) -> None:
        pass


sys.modules[__name__].__class__ = _Room
