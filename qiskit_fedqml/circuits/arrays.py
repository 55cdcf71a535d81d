"""The name of arrays of real numbers in annotations, whose shapes docstrings say, and whether they are finite."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""float64."""


def all_finite(array: NDArray[Any]) -> bool:
    """Return whether no number is NaN or infinite; most often their sum of squares shows it, in a third of the time."""
    return math.isfinite(np.vdot(array, array)) or bool(np.isfinite(array).all())
