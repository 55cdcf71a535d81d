"""Seeds of simulated jobs: the same job gives the same outcomes, in whatever order jobs run."""

from hashlib import sha256

import numpy as np
from numpy.typing import NDArray


def seed_of(values: NDArray[np.float64]) -> int:
    """Return the seed of a job's outcomes: the first four bytes of the SHA-256 of its angles, without the sign bit."""
    data = np.ascontiguousarray(values, dtype="<f8").tobytes()
    return int.from_bytes(sha256(data).digest()[:4], "little") & 0x7FFFFFFF
