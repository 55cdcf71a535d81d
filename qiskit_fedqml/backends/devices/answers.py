"""What a job answered, checked before anything of it is written down."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.backends.broadcast import expectations_of
from qiskit_fedqml.backends.devices.machine import UnreadableError, WrongAnswerError


def read_expectations(result: Any) -> NDArray[np.float64]:
    """Return the expectation values that a primitive's result holds for its one PUB.

    Args:
        result: The result; its PUB's values have the shape (outputs, samples, points).

    Returns:
        Shape (samples, points, outputs).

    Raises:
        WrongAnswerError: It does not hold one PUB with an array of real numbers.
    """
    if len(result) != 1:
        raise WrongAnswerError(f"the job's results hold {len(result)} PUBs, not 1")
    evs = np.asarray(result[0].data.evs)
    if evs.dtype.kind not in "fiu" or evs.ndim != 3:
        raise WrongAnswerError(
            f"the job's results must be an array of real numbers with three axes, but are of type {evs.dtype} with "
            f"{evs.ndim} axes"
        )
    return expectations_of(evs)


def check_expectations(values: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return expectation values as they are, if they are finite and of this shape.

    Args:
        values: The values.
        shape: (samples, points, outputs).

    Raises:
        WrongAnswerError: They are not.
    """
    if values.dtype != np.float64 or values.shape != shape:
        raise WrongAnswerError(
            f"the job's results must be of shape {shape} and type float64, but are of shape {values.shape} and type "
            f"{values.dtype}"
        )
    num_bad = values.size - int(np.isfinite(values).sum())
    if num_bad:
        raise WrongAnswerError(f"{num_bad} of the {values.size} values in the job's results are not finite")
    return values


def read_seconds(value: Any) -> float:
    """Return a number of seconds that a service reports.

    Raises:
        UnreadableError: It is not a finite number from 0.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value >= 0):
        raise UnreadableError("the service reports a number of seconds that is not one")
    return float(value)


def read_job_id(value: Any) -> str:
    """Return a job's id that a service reports.

    Raises:
        UnreadableError: It is not a text, or empty.
    """
    if not isinstance(value, str) or not value:
        raise UnreadableError("the service reports a job's id that is not one")
    return value
