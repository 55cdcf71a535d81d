"""Examples: features with labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Examples:
    """Features with labels.

    Args:
        features: float32 of shape (examples, features), possibly mapped from a file.
        labels: Class indices, shape (examples,).
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
