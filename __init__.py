"""From the prior of a random neural network to the couplings of its field theory, with honest errors.

Three rooms, imported one way only: `models` (neurons, networks, actions, exact results), `inference` (ensembles,
measured correlators, fits) and `analysis` (checks, figures, reports). Importing changes no JAX setting;
`nnft.configure(x64=True, cores=4)` does, on request.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import analysis as analysis
    from . import inference as inference
    from . import models as models
    from .models.runtime import configure as configure

__version__ = "0.1.0"
__all__ = ["analysis", "configure", "inference", "models"]


def __getattr__(name: str):
    # The rooms load when first used: `nnft --help` and `nnft.__version__` should not wait for JAX.
    if name in ("models", "inference", "analysis"):
        return import_module(f".{name}", __name__)
    if name == "configure":
        return import_module(".models.runtime", __name__).configure
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
