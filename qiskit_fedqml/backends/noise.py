"""The noise of a machine, from its calibration or from stated rates."""

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.exceptions import QiskitError
from qiskit.transpiler import Target
from qiskit_aer.noise import amplitude_damping_error, depolarizing_error
from qiskit_aer.noise.device.models import basic_device_gate_errors

from qiskit_fedqml.backends.calibration import Calibration
from qiskit_fedqml.backends.layout import of_qubits
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.noise import Noise

logger = logging.getLogger(__name__)


def confusion_matrix(read_1_if_0: float, read_0_if_1: float) -> NDArray[np.float64]:
    """Return the confusion matrix ``[measured, true]`` for the two probabilities to read wrongly."""
    return np.array([[1 - read_1_if_0, read_0_if_1], [read_1_if_0, 1 - read_0_if_1]])


def noise_from_calibration(calibration: Calibration, source: str, factor: float = 1.0) -> Noise:
    """Build the noise that a calibration states.

    Gate errors are Aer's device model: thermal relaxation during the gate (T1, T2 and the gate's duration), and as much
    depolarising error as is missing to the published gate error. Readout errors are the published probabilities of
    reading 1 for 0 and 0 for 1, each on its own (Aer's ``from_backend`` takes their mean for both).

    Qubits and gates that do not work, or whose errors are not published, are left out of the machine. Without T1, T2 or
    duration a gate has its published error with that part of the relaxation left to the depolarising error; without T2
    alone, it is 2 T1, as is a T2 above that. What is left out, and T1 and T2 that are missing, are logged.

    Args:
        calibration: The calibration.
        source: Where it comes from, in words.
        factor: Multiplies every error rate (:meth:`Calibration.scaled`), above 0. Circuits are still laid out by the
            rates as published, so that the strength of the noise alone changes.

    Raises:
        BackendError: A figure of the calibration is not possible, or no qubit is left.
    """
    target, gaps = calibration.target, calibration.gaps
    usable = [qubit for qubit in range(calibration.num_qubits) if qubit not in gaps.qubits]
    if not usable:
        raise BackendError(f"The calibration of {source} leaves no qubit that can be used: {gaps.left_out()}.")
    if gaps:
        logger.warning("The calibration of %s has gaps: %s.", source, gaps)
    scaled = calibration if factor == 1.0 else calibration.scaled(factor)
    return Noise(
        source=_times(source, factor),
        date=calibration.date,
        target=target,
        rates=scaled.target,
        gate_errors=_gate_errors(scaled.target, source),
        readout={qubit: confusion_matrix(*scaled.readout_probabilities(qubit)) for qubit in usable},
        gaps=gaps,
        relaxes_in_delays=True,
    )


def noise_of_qubits(calibration: Calibration, source: str, qubits: Sequence[int]) -> Noise:
    """Build the noise of some qubits of a machine, which get the numbers of their places.

    It is that of :func:`noise_from_calibration`, without the time that the other qubits take.

    Args:
        calibration: The calibration.
        source: Where it comes from, in words.
        qubits: The machine's qubits, all of which can be used.

    Raises:
        BackendError: A figure of the calibration is not possible.
    """
    return Noise(
        source=source,
        date=None,
        target=None,
        gate_errors=_gate_errors(of_qubits(calibration.target, qubits), source),
        readout={k: confusion_matrix(*calibration.readout_probabilities(q)) for k, q in enumerate(qubits)},
        basis=tuple(calibration.target.operation_names),
    )


def _gate_errors(target: Target, source: str) -> dict[tuple[str, tuple[int, ...]], Any]:
    """Return Aer's error of each gate on each of a target's qubits.

    Raises:
        BackendError: There is none, by the target's figures.
    """
    try:
        errors = basic_device_gate_errors(target=target)
    except (QiskitError, TypeError, ValueError, ArithmeticError) as error:
        raise BackendError(f"The calibration of {source} gives no physical noise: {error}") from error
    return {(name, tuple(qubits)): error for name, qubits, error in errors}


def _times(source: str, factor: float) -> str:
    return source if factor == 1.0 else f"{source}, error rates × {factor:g}"


def noise_from_rates(
    depolarizing: tuple[float, float],
    amplitude_damping: tuple[float, float],
    readout: tuple[float, float],
    factor: float = 1.0,
) -> Noise:
    """Build noise from stated rates, the same on every qubit, for a machine that couples all of them.

    Args:
        depolarizing: Depolarising parameter λ after one-qubit gates (SX, X) and after CX, from 0 to 1: with λ the
            state is replaced by the maximally mixed one.
        amplitude_damping: Probability γ that an excited qubit decays during a one-qubit gate, and each of the two
            qubits during CX, from 0 to 1. It acts after the depolarising error.
        readout: Probabilities to read 1 where the qubit was 0, and 0 where it was 1.
        factor: Multiplies every rate; a readout's stay at most one half.

    Raises:
        BackendError: A rate is not a number from 0 to 1, the factor none above 0, or a rate times the factor above 1.
    """
    rates = (*depolarizing, *amplitude_damping, *readout)
    # NaN fails each of these comparisons.
    if wrong := [rate for rate in rates if not 0 <= rate <= 1]:
        raise BackendError(f"An error rate must be a number from 0 to 1, but got {wrong[0]}.")
    if not 0 < factor < math.inf:
        raise BackendError(f"Argument `factor` must be a number above 0, but got {factor}.")
    if (largest := max(rates[:4])) * factor > 1:
        raise BackendError(f"An error rate of {largest:g} times the factor {factor:g} is above 1.")
    scaled = [rate * factor for rate in rates]
    depolarizing, amplitude_damping = (scaled[0], scaled[1]), (scaled[2], scaled[3])
    # Beyond one half a readout would say more again.
    readout = (min(scaled[4], max(readout[0], 0.5)), min(scaled[5], max(readout[1], 0.5)))
    one = depolarizing_error(depolarizing[0], 1).compose(amplitude_damping_error(amplitude_damping[0]))
    decay = amplitude_damping_error(amplitude_damping[1])
    two = depolarizing_error(depolarizing[1], 2).compose(decay.tensor(decay))
    stated = {"sx": one, "x": one, "cx": two}
    return Noise(
        source=_times("stated rates", factor),
        date=None,
        target=None,
        default_errors={name: error for name, error in stated.items() if not error.ideal()},
        default_readout=confusion_matrix(*readout),
    )
