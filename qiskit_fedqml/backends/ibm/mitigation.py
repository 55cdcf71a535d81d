"""Mitigation on a device: the key `mitigation` as options of qiskit-ibm-runtime's estimators, and reading its answers.

The library mitigates readout by TREX (E. van den Berg et al., arXiv:2012.09738): random flips before and after the
measurement make its error symmetric, and circuits without gates in the same job measure its factor for each qubit.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.backends.broadcast import UnshiftedPub, expectations_of
from qiskit_fedqml.backends.devices.answers import read_expectations
from qiskit_fedqml.backends.devices.machine import WrongAnswerError
from qiskit_fedqml.backends.zne import extrapolated
from qiskit_fedqml.config.backends import IBMEntry
from qiskit_fedqml.config.mitigation import Mitigation, Zne

_SHOTS_A_FLIP = 256
"""Most shots with the same random flips: with more, what is left of the readout's asymmetry exceeds their noise."""
_CALIBRATION_SHOTS = 1024
"""Least executions of the circuits that calibrate the readout, which give its factor to about 1%."""
_CONSTANTS = "constants"


def options_of(entry: IBMEntry, *, is_executor: bool, extrapolates: bool) -> dict[str, Any]:
    """Return an entry's options for the estimator, with its mitigation among them.

    Args:
        entry: The entry.
        is_executor: Whether they are the executor's, which twirls on this computer.
        extrapolates: Whether they are for a test, which may be extrapolated.
    """
    options, mitigation = dict(entry.options), entry.mitigation
    if mitigation is None:
        return options
    resilience: dict[str, Any] = {}
    if mitigation.readout:
        resilience["measure_mitigation"] = True
        twirling = options.get("twirling", {})
        if is_executor and not twirling.keys() & {"num_randomizations", "shots_per_randomization"}:
            # The library's own numbers would run at least 64 shots.
            flips = ceil(entry.shots / _SHOTS_A_FLIP)
            shots = ceil(entry.shots / flips)
            options["twirling"] = {**twirling, "num_randomizations": flips, "shots_per_randomization": shots}
            resilience["measure_noise_learning"] = {"num_randomizations": max(flips, ceil(_CALIBRATION_SHOTS / shots))}
    if mitigation.zne is not None and extrapolates:
        # With two factors the library's fits have no error bars, and its exponential may be infinite, so that the
        # values at each factor are taken from it.
        factors = [float(factor) for factor in mitigation.zne.factors]
        zne = {"amplifier": "gate_folding", "noise_factors": factors, "extrapolator": "fallback"}
        resilience |= {"zne_mitigation": True, "zne": zne}
    return options | ({"resilience": resilience} if resilience else {})


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
