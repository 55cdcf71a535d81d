"""Rehearsals: the same adapter and the same jobs on qiskit-ibm-runtime's fake devices, on this computer.

The outcomes of a job derive from the angles that it holds, so that the same job always gives the same answer, in
whatever order jobs run. The executor measures every qubit of a device; on a large one that cannot be simulated, so that
there the circuit is run on the qubits that it uses, with their noise.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.providers import BackendV2
from qiskit.quantum_info import PauliList, SparsePauliOp
from qiskit_aer import AerSimulator

from qiskit_fedqml.backends.calibration import Calibration, calibration_of, fake_device
from qiskit_fedqml.backends.devices.answers import read_expectations
from qiskit_fedqml.backends.devices.cost import SECONDS_PER_JOB, circuit_seconds
from qiskit_fedqml.backends.devices.draws import seed_of
from qiskit_fedqml.backends.devices.machine import JobStatus, Primitive, RunBy, UnreadableError
from qiskit_fedqml.backends.ibm.errors import one_line
from qiskit_fedqml.backends.ibm.primitive import IBMPrimitive
from qiskit_fedqml.backends.noise import noise_from_calibration
from qiskit_fedqml.config.backends import IBMEntry
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.noise import Noise

logger = logging.getLogger(__name__)

_MOST_QUBITS = 12
"""Most qubits of a device that is simulated whole."""


class RehearsalMachine:
    """A fake device in place of a real one.

    Args:
        entry: Its entry.

    Raises:
        BackendError: There is no such fake device, or an option is refused.
    """

    simulator: RunBy = "rehearsal"
    seconds_per_job = SECONDS_PER_JOB
    reports_charges = False
    circuit_seconds = staticmethod(circuit_seconds)

    def __init__(self, entry: IBMEntry) -> None:
        primitive = IBMPrimitive(entry)
        self.primitive: Primitive = primitive
        self._device = fake_device(str(entry.device))
        self._jobs: dict[str, Any] = {}
        if not primitive.is_executor and (entry.resilience_level or entry.options):
            logger.warning("EstimatorV2 mitigates on the server: a rehearsal on %s leaves that out.", self.device)

    @property
    def device(self) -> str:
        """The fake device's name."""
        return str(self._device.name)

    @property
    def account(self) -> str | None:
        """None: nobody is charged."""
        return None

    @property
    def qiskit_backend(self) -> BackendV2:
        """The fake device."""
        return self._device

    def calibration(self) -> Calibration:
        """Return the fake device's calibration."""
        return calibration_of(self._device)

    def refresh(self) -> None:
        """Do nothing: a fake device's calibration stays."""

    @contextmanager
    def together(self) -> Iterator[None]:
        """Do nothing: jobs run when they are sent."""
        yield

    def check_ready(self) -> None:
        """Do nothing: a fake device is always there."""

    def remaining_seconds(self) -> float | None:
        """Return None: there is no account."""
        return None

    def submit(self, pub: Any, tag: str) -> str:
        """Run one PUB as one job."""
        circuit, observables, bindings = pub
        values = next(iter(bindings.values())) if isinstance(bindings, dict) else bindings
        mode: BackendV2 = self._device
        try:
            if self._device.num_qubits > _MOST_QUBITS:
                qubits = _used(circuit, observables)
                mode = self._simulator(qubits)
                observables = [[[_restricted(o, qubits) for o in row] for row in of] for of in observables]
                circuit = _on(circuit, qubits)
            job = self.primitive.estimator(mode, [tag], seed_of(values)).run([(circuit, observables, bindings)])
        except Exception as error:
            raise BackendError(f"{self.device} cannot take the job: {_said(error)}.") from error
        self._jobs[job.job_id()] = job
        return str(job.job_id())

    def find(self, tag: str) -> list[str]:
        """Return nothing: a rehearsal's job ends with its process."""
        return []

    def status(self, job_id: str) -> JobStatus:
        """Return "done": the answer is waited for when it is read."""
        if job_id in self._jobs:
            return JobStatus("done")
        return JobStatus("failed", "its process ended", is_internal=True, charged_seconds=0.0)

    def result(self, job_id: str) -> NDArray[np.float64]:
        """Return the expectation values of a job, shape (samples, points, outputs)."""
        try:
            values = read_expectations(self._jobs.pop(job_id).result())
        except Exception as error:
            raise BackendError(f"the simulation of {self.device} failed: {_said(error)}.") from error
        if not np.isfinite(values).all():
            raise BackendError(f"the simulation of {self.device} gave values that are not finite.")
        return values

    def usage(self, job_id: str) -> float | None:
        """Return None: nobody charges for a rehearsal, so what was planned counts."""
        return None

    def cancel(self, job_id: str) -> bool:
        """Return False: a rehearsal's job has run."""
        return False

    @cached_property
    def _noise(self) -> Noise:
        return noise_from_calibration(self.calibration(), self.device)

    def _simulator(self, qubits: Sequence[int]) -> AerSimulator:
        """Return the device without the other qubits."""
        place = {qubit: k for k, qubit in enumerate(qubits)}
        noise = Noise(
            source=self.device,
            date=None,
            target=None,
            gate_errors={
                (name, tuple(place[q] for q in on)): error
                for (name, on), error in self._noise.gate_errors.items()
                if set(on) <= place.keys()
            },
            readout={place[q]: matrix for q, matrix in self._noise.readout.items() if q in place},
            basis=tuple(self._device.operation_names),
        )
        return AerSimulator(noise_model=noise.model, n_qubits=len(qubits))


def _said(error: Exception) -> str:
    """Return what Qiskit, or this package, says of an error; of others the kind alone."""
    if isinstance(error, (QiskitError, UnreadableError)):
        return one_line(str(getattr(error, "message", error))).rstrip(".")
    return type(error).__name__


def _used(circuit: QuantumCircuit, observables: Any) -> list[int]:
    in_gates = {circuit.find_bit(q).index for i in circuit.data if i.operation.name != "barrier" for q in i.qubits}
    measured = {int(q) for of in observables for row in of for o in row for q in np.flatnonzero(_support(o))}
    return sorted(in_gates | measured)


def _support(observable: SparsePauliOp) -> NDArray[np.bool_]:
    support: NDArray[np.bool_] = (observable.paulis.z | observable.paulis.x).any(axis=0)
    return support


def _restricted(observable: SparsePauliOp, qubits: Sequence[int]) -> SparsePauliOp:
    of, terms = list(qubits), observable.paulis
    return SparsePauliOp(PauliList.from_symplectic(terms.z[:, of], terms.x[:, of], terms.phase), observable.coeffs)


def _on(circuit: QuantumCircuit, qubits: Sequence[int]) -> QuantumCircuit:
    """Return a circuit on these of its qubits alone."""
    small = QuantumCircuit(len(qubits), global_phase=circuit.global_phase)
    place = {circuit.qubits[qubit]: k for k, qubit in enumerate(qubits)}
    for instruction in circuit.data:
        on = [place[q] for q in instruction.qubits if q in place]
        if instruction.operation.name == "barrier":
            small.barrier(on)
        else:
            small.append(instruction.operation, on)
    return small
