"""Tests on a device, extrapolated to zero noise: what their jobs must say, and reading their answers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.backends.broadcast import UnshiftedPub, expectations_of
from qiskit_fedqml.backends.devices.answers import read_expectations
from qiskit_fedqml.backends.devices.machine import WrongAnswerError
from qiskit_fedqml.backends.zne import extrapolated
from qiskit_fedqml.config.mitigation import Mitigation, Zne

_CONSTANTS = "constants"


def as_sent(pub: tuple[Any, ...], mitigation: Mitigation | None) -> tuple[Any, ...]:
    """Return a PUB; if it will be extrapolated, its circuit says what does not fade: each output's part of identity."""
    if mitigation is None or mitigation.zne is None or not isinstance(pub, UnshiftedPub):
        return pub
    circuit, observables, bindings = pub
    circuit = circuit.copy()
    terms = [row[0][0] for row in observables]
    constants = [float(o.coeffs[~(o.paulis.x | o.paulis.z).any(axis=1)].sum().real) for o in terms]
    circuit.metadata = {**(circuit.metadata or {}), _CONSTANTS: constants}
    return circuit, observables, bindings


def read_mitigated(result: Any, mitigation: Mitigation | None) -> NDArray[np.float64]:
    """Return a job's expectation values, extrapolated where it ran at several noise factors for this mitigation.

    Returns:
        Shape (samples, points, outputs).

    Raises:
        WrongAnswerError: The result does not hold one PUB with an array of real numbers.
    """
    zne = mitigation.zne if mitigation is not None else None
    if zne is None or len(result) != 1 or not hasattr(result[0].data, "evs_noise_factors"):
        return read_expectations(result)
    values = np.asarray(result[0].data.evs_noise_factors)
    if values.dtype.kind not in "fiu" or values.ndim != 4 or values.shape[-1] != len(zne.factors):
        raise WrongAnswerError(
            f"the job's values must be real numbers at {len(zne.factors)} noise factors on the last of four axes, but "
            f"are of type {values.dtype} and shape {values.shape}"
        )
    return expectations_of(_at_zero(values.astype(float), zne, result[0].metadata))


def _at_zero(values: NDArray[np.float64], zne: Zne, metadata: Mapping[str, Any]) -> NDArray[np.float64]:
    known = (metadata.get("circuit_metadata") or {}).get(_CONSTANTS)
    constants = np.zeros(len(values)) if known is None else np.asarray(known)
    if constants.dtype.kind not in "fiu" or constants.shape != (len(values),):
        raise WrongAnswerError("the job's results do not say what of its outputs is constant")
    by_factor = np.moveaxis(values, -1, 0)
    return extrapolated(by_factor, zne.factors, zne.extrapolator, constants.astype(float)[:, None, None])
