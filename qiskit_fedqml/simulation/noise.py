"""Noise as a value: gate errors, readout errors, and the gates and couplings of the machine that has them."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Delay, QuantumCircuit
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import SuperOp, average_gate_fidelity
from qiskit.transpiler import Target
from qiskit_aer.noise import LocalNoisePass, NoiseModel, QuantumError, ReadoutError

from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.gaps import Gaps

logger = logging.getLogger(__name__)

STATED_BASIS = ("rz", "sx", "x", "cx")
"""Gates of a machine with stated rates: those of IBM's devices, where RZ is virtual and so has no error."""


@dataclass(frozen=True)
class Noise:
    """The noise of one machine.

    Args:
        source: Where it comes from, in words.
        date: Date of its calibration, or None if it has none.
        target: The machine's gates and couplings, or None for the gates ``basis`` on any qubits.
        gate_errors: Error after each gate, by gate name and qubits.
        default_errors: Error after each gate by gate name, on qubits that ``gate_errors`` doesn't name.
        readout: Confusion matrix of each qubit, 2×2, ``[measured, true]``; columns sum to 1.
        default_readout: Confusion matrix of the qubits that ``readout`` doesn't name.
        basis: The machine's gates, where there is no target.
        rates: The target with the error rates as they are published of the machine, times its factor; None where there
            is no calibration.
        gaps: What cannot be used of the machine.
        relaxes_in_delays: Whether qubits relax in delays, which is not simulated, so that circuits with them are
            refused.

    Raises:
        BackendError: A confusion matrix is not one.
    """

    source: str
    date: str | None
    target: Target | None
    gate_errors: Mapping[tuple[str, tuple[int, ...]], QuantumError] = field(default_factory=dict)
    default_errors: Mapping[str, QuantumError] = field(default_factory=dict)
    readout: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    default_readout: NDArray[np.float64] = field(default_factory=lambda: np.eye(2))
    basis: tuple[str, ...] = STATED_BASIS
    rates: Target | None = None
    gaps: Gaps = field(default_factory=Gaps)
    relaxes_in_delays: bool = False

    def __post_init__(self) -> None:
        for qubit, matrix in [("by default", self.default_readout), *self.readout.items()]:
            of = np.asarray(matrix)
            # NaN fails each of these comparisons.
            if of.shape != (2, 2) or not ((of >= 0).all() and (np.abs(of.sum(axis=0) - 1) < 1e-6).all()):
                where = qubit if isinstance(qubit, str) else f"of qubit {qubit}"
                raise BackendError(
                    f"The confusion matrix {where} of {self.source} must be 2×2, its entries probabilities and its "
                    f"columns of sum 1, but it is {of.tolist()}."
                )

    def error_after(self, gate: str, qubits: tuple[int, ...]) -> QuantumError | None:
        """Return the error after a gate, or None where it has none.

        Raises:
            BackendError: The gate cannot be used of this machine, or it is a delay in which qubits relax.
        """
        if gate == "delay" and self.relaxes_in_delays:
            raise BackendError(f"The circuit has delays, in which qubits of {self.source} relax; that isn't simulated.")
        if reason := self.gaps.why_not(gate, qubits):
            raise BackendError(f"The gate cannot be used on {self.source}: {reason}.")
        return self.gate_errors.get((gate, qubits), self.default_errors.get(gate))

    def refuse_delays(self, circuit: QuantumCircuit) -> None:
        """Raise BackendError where a circuit has delays, and qubits relax in them."""
        if self.relaxes_in_delays and "delay" in circuit.count_ops():
            self.error_after("delay", ())

    def refuse_unknown(self, circuit: QuantumCircuit) -> None:
        """Raise BackendError where an instruction's error is not known, as :meth:`error_after` does."""
        self.refuse_delays(circuit)
        if self.gaps:
            for instruction in circuit.data:
                qubits = tuple(circuit.find_bit(q).index for q in instruction.qubits)
                if instruction.operation.name != "barrier":
                    self.error_after(instruction.operation.name, qubits)

    def confusion(self, qubit: int) -> NDArray[np.float64]:
        """Return the confusion matrix of a qubit, 2×2, ``[measured, true]``.

        Raises:
            BackendError: The qubit cannot be used of this machine.
        """
        if qubit in self.gaps.qubits:
            raise BackendError(f"Qubit {qubit} of {self.source} cannot be read: {self.gaps.qubits[qubit]}.")
        return self.readout.get(qubit, self.default_readout)

    def success_probability(self, circuit: QuantumCircuit, measured: Sequence[int]) -> float:
        """Return the estimated chance that no gate and no readout errs, Π(1 − ε_gate) · Π(1 − ε_readout).

        Args:
            circuit: A circuit in the machine's gates and on its qubits.
            measured: The qubits that are measured at its end.

        Returns:
            From 0 to 1. ε of a gate is the average gate infidelity of the channel after it; ε of a readout the mean of
            its two probabilities to read wrongly.
        """
        probability = 1.0
        for instruction in circuit.data:
            on = tuple(circuit.find_bit(q).index for q in instruction.qubits)
            probability *= 1 - self._infidelity(instruction.operation.name, on)
        for qubit in measured:
            probability *= float(np.trace(self.confusion(qubit))) / 2
        return min(max(probability, 0.0), 1.0)

    def _infidelity(self, gate: str, qubits: tuple[int, ...]) -> float:
        known = self._infidelities
        if (gate, qubits) not in known:
            error = self.error_after(gate, qubits)
            infidelity = 0.0 if error is None else float(1 - average_gate_fidelity(SuperOp(error)))
            if not math.isfinite(infidelity):
                raise BackendError(f"The error of {gate!r} on qubits {qubits} of {self.source} is not a channel.")
            known[gate, qubits] = min(max(infidelity, 0.0), 1.0)
        return known[gate, qubits]

    @cached_property
    def _infidelities(self) -> dict[tuple[str, tuple[int, ...]], float]:
        return {}

    @cached_property
    def transfers(self) -> dict[tuple[str, tuple[int, ...]], NDArray[np.float64]]:
        """Pauli transfer matrices of the gate errors that were simulated so far; those by default have no qubits."""
        return {}

    @cached_property
    def model(self) -> NoiseModel:
        """The same as Aer's noise model, its readout errors as asymmetric as the machine's."""
        model = NoiseModel(basis_gates=list(self.target.operation_names if self.target else self.basis))
        for name, error in self.default_errors.items():
            model.add_all_qubit_quantum_error(error, name)
        for (name, qubits), error in self.gate_errors.items():
            model.add_quantum_error(error, name, list(qubits))
        if not np.array_equal(self.default_readout, np.eye(2)):
            model.add_all_qubit_readout_error(ReadoutError(self.default_readout.T))
        for qubit, matrix in self.readout.items():
            model.add_readout_error(ReadoutError(matrix.T), [qubit])
        return model


def noise_from_model(model: NoiseModel, source: str = "Aer noise model", target: Target | None = None) -> Noise:
    """Take the noise of an Aer noise model, such as that of ``NoiseModel.from_backend``.

    A gate on qubits for which the model has no error is without error, as in Aer. So a model of a device should come
    with the device's ``target``: without it circuits are not kept to its couplings.

    Args:
        model: Its gate errors and readout errors, specific and default. Relaxation in delays, which ``from_backend``
            adds as a pass, is not simulated: circuits with delays are refused.
        source: Where it comes from, in words.
        target: The machine's gates and couplings; None for the model's basis gates on any qubits.

    Raises:
        BackendError: The model holds what a :class:`Noise` cannot say: a readout error of several qubits together, a
            gate error of the measurement, or passes of its own that change other instructions than delays.
    """
    if not isinstance(model, NoiseModel):
        raise BackendError(f"Argument `model` must be Aer's NoiseModel, but is of {type(model).__name__}.")
    # The model has no public way to read its errors one by one.
    local, readout, passes = model._local_quantum_errors, model._local_readout_errors, model._custom_noise_passes
    if others := [type(of).__name__ for of in passes if not _changes_delays_alone(of)]:
        raise BackendError(
            f"{source} has a pass of its own that changes circuits ({others[0]}), which isn't simulated."
        )
    if "measure" in local or "measure" in model._default_quantum_errors:
        raise BackendError(f"{source} has a gate error of 'measure', which must be given as readout error instead.")
    together = [qubits for qubits in readout if len(qubits) != 1]
    if together:
        raise BackendError(f"{source} has a readout error of qubits {together[0]} together; each must have its own.")
    local_alone = [name for name in local if name not in model._default_quantum_errors]
    if target is None and (pairs := [name for name in local_alone if any(len(on) > 1 for on in local[name])]):
        logger.warning(
            "%s has errors of %s on some qubits alone, and on others that gate is without error. Give the device's "
            "`target` to keep circuits to its couplings.",
            source,
            pairs[0],
        )
    default = model._default_readout_error
    return Noise(
        source=source,
        date=None,
        target=target,
        gate_errors={(name, tuple(q)): error for name, of in local.items() for q, error in of.items()},
        default_errors=dict(model._default_quantum_errors),
        readout={qubits[0]: np.asarray(error.probabilities).T for qubits, error in readout.items()},
        default_readout=np.eye(2) if default is None else np.asarray(default.probabilities).T,
        basis=tuple(name for name in model.basis_gates if name in get_standard_gate_name_mapping()),
        relaxes_in_delays=bool(passes),
    )


def _changes_delays_alone(noise_pass: object) -> bool:
    if not isinstance(noise_pass, LocalNoisePass) or type(noise_pass).run is not LocalNoisePass.run:
        return False
    return bool(noise_pass._ops) and all(issubclass(kind, Delay) for kind in noise_pass._ops)
