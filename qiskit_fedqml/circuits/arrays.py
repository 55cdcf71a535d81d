"""The name of arrays of real numbers in annotations; docstrings say their shapes."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""float64."""
