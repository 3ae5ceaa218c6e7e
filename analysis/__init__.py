"""Checks, comparisons, figures and the report of a fit.

The public names stand in `__init__.pyi` and load when first used: `nnft --help` lives here and waits for no JAX.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
