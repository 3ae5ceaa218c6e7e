"""Names for the arrays every room shares: which axis is a network, which an input point, which an input coordinate.

Shapes: points (point, axis), fields (network, point), tuples (component, order).
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Array, Float, Int

Points = Float[np.ndarray, "point axis"]
"""Input points x_a, one row a point, one column an input coordinate."""

Here = Float[np.ndarray, "here axis"]
There = Float[np.ndarray, "there axis"]
"""Two sets of points, of a function of both."""

Inputs = Float[Array | np.ndarray, "point axis"]
"""Input points as a network takes them: NumPy's, or JAX's while a model is traced."""

Fields = Float[Array, "network point"]
"""Outputs phi(x_a) of many networks, one row a network."""

Tuples = Int[np.ndarray, "_ _"]
"""Sorted index tuples a_1 <= ... <= a_r: the unique components of a symmetric r-point function."""

Vector = Float[np.ndarray, " _"]
"""Numbers on one axis."""

Matrix = Float[np.ndarray, "_ _"]
"""A table of numbers, square unless said otherwise: the names of its axes differ from use to use."""

ByOrder = Mapping[int, Float[np.ndarray, " _"]]
"""One table of unique components for each order r; their lengths differ."""
