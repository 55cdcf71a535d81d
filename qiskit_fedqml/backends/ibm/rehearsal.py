"""Rehearsals: the same adapter and the same jobs on qiskit-ibm-runtime's fake devices, on this computer.

The outcomes of a job derive from the angles that it holds, so that the same job always gives the same answer, in
whatever order jobs run. The executor measures every qubit of a device; on a large one that cannot be simulated, so that
there the circuit is run on the qubits that it uses, with their noise.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.providers import BackendV2
from qiskit_aer import AerSimulator

from qiskit_fedqml.backends.broadcast import UnshiftedPub
from qiskit_fedqml.backends.calibration import Calibration, calibration_of, fake_calibration, fake_device
from qiskit_fedqml.backends.devices.cost import SECONDS_PER_JOB, circuit_seconds
from qiskit_fedqml.backends.devices.draws import seed_of
from qiskit_fedqml.backends.devices.machine import JobStatus, Primitive, RunBy, UnreadableError
from qiskit_fedqml.backends.ibm.components import ComponentSimulation, components, on_qubits, restricted, support
from qiskit_fedqml.backends.ibm.errors import one_line
from qiskit_fedqml.backends.ibm.extrapolation import as_sent, read_mitigated
from qiskit_fedqml.backends.ibm.primitive import IBMPrimitive
from qiskit_fedqml.backends.noise import noise_of_qubits
from qiskit_fedqml.backends.packing.packed import NUM_BLOCKS
from qiskit_fedqml.backends.simulated.aer_estimator import AerEstimator
from qiskit_fedqml.config.devices import IBMEntry
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.estimator import SweepEstimator
from qiskit_fedqml.simulation.machine_estimator import MachineEstimator
from qiskit_fedqml.simulation.noise import Noise

logger = logging.getLogger(__name__)

_MOST_QUBITS = 12
"""Most qubits of a device that is simulated whole."""


class RehearsalMachine:
    """A fake device in place of a real one.

    Args:
        entry: Its entry.

    Raises:
        BackendError: There is no such fake device, an option is refused, or mitigation cannot be rehearsed.
    """

    simulator: RunBy = "rehearsal"
    seconds_per_job = SECONDS_PER_JOB
    reports_charges = False
    circuit_seconds = staticmethod(circuit_seconds)

    def __init__(self, entry: IBMEntry) -> None:
        primitive = IBMPrimitive(entry)
        if entry.mitigation is not None and not primitive.is_executor:
            raise BackendError("mitigation is rehearsed with the executor alone, which this qiskit-ibm-runtime lacks.")
        self.primitive: Primitive = primitive
        self._mitigation = entry.mitigation
        self._fake = str(entry.device)
        self._device = fake_device(self._fake)
        self._jobs: dict[str, Callable[[], NDArray[np.float64]]] = {}
        self._simulated: tuple[QuantumCircuit, ComponentSimulation | None] | None = None
        self._shots = entry.shots
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
        return self._calibration

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

    def submit(self, pub: Any, tag: str, shots: int | None = None) -> str:
        """Run one PUB as one job; a circuit of blocks is simulated block by block."""
        extrapolates = isinstance(pub, UnshiftedPub)
        circuit, observables, bindings = as_sent(pub, self._mitigation)
        values = next(iter(bindings.values())) if isinstance(bindings, dict) else bindings
        try:
            if simulation := self._blocks_of(pub):
                values_of_blocks = self._run_blocks(simulation, values, tag, shots, extrapolates=extrapolates)
                return self._kept(f"blocks-{tag}", lambda: values_of_blocks)
            mode: BackendV2 = self._device
            if self._device.num_qubits > _MOST_QUBITS:
                qubits = _used(circuit, observables)
                mode = AerSimulator(noise_model=self._noise_on(qubits).model, n_qubits=len(qubits))
                observables = [[[restricted(o, qubits) for o in row] for row in of] for of in observables]
                circuit = on_qubits(circuit, qubits)
            estimator = self.primitive.estimator(mode, [tag], seed_of(values), shots, extrapolates=extrapolates)
            job = estimator.run([(circuit, observables, bindings)])
            return self._kept(str(job.job_id()), lambda: read_mitigated(job.result(), self._mitigation))
        except Exception as error:
            raise BackendError(f"{self.device} cannot take the job: {_said(error)}.") from error

    def _kept(self, job_id: str, answer: Callable[[], NDArray[np.float64]]) -> str:
        self._jobs[job_id] = answer
        return job_id

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
            values = self._jobs.pop(job_id)()
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
    def _calibration(self) -> Calibration:
        return calibration_of(self._device)

    def _blocks_of(self, pub: Any) -> ComponentSimulation | None:
        """Return the simulation of a circuit of blocks; None for other circuits.

        That of the last circuit is kept, since the steps of a training have the same one.
        """
        circuit, observables, bindings = pub
        if NUM_BLOCKS not in (circuit.metadata or {}):
            return None
        if self._simulated is None or self._simulated[0] is not circuit:
            operators = [o for of in observables for row in of for o in row]
            parameters = next(iter(bindings)) if isinstance(bindings, dict) else ()
            parts = components(circuit, operators, parameters)
            constants = {k: float(o.coeffs.sum().real) for k, o in enumerate(operators) if not support(o).any()}
            simulation = parts and ComponentSimulation(parts, constants, len(operators), self._estimator_on)
            self._simulated = circuit, simulation or None
        return self._simulated[1]

    def _run_blocks(
        self,
        simulation: ComponentSimulation,
        values: NDArray[np.float64],
        tag: str,
        shots: int | None,
        *,
        extrapolates: bool,
    ) -> NDArray[np.float64]:
        """Simulate block by block; where jobs are mitigated, each block by a job of its own."""
        seed, points = seed_of(values), values.reshape(-1, values.shape[-1])
        if self.primitive.is_plain():
            return simulation.run(points, seed, shots or self._shots).reshape(*values.shape[:-1], -1)
        found = np.tile(simulation.outputs_without_qubits(), (*values.shape[:-1], 1))
        for number, part in enumerate(simulation.parts):
            mode = AerSimulator(noise_model=self._noise_on(part.qubits).model, n_qubits=len(part.qubits))
            pub = part.pub(values)
            own = as_sent(UnshiftedPub(pub) if extrapolates else pub, self._mitigation)
            drawn_by = (seed + number) & 0x7FFFFFFF
            estimator = self.primitive.estimator(mode, [tag], drawn_by, shots, extrapolates=extrapolates)
            found[..., list(part.outputs)] = read_mitigated(estimator.run([own]).result(), self._mitigation)
        return found

    def _estimator_on(self, qubits: Sequence[int]) -> MachineEstimator:
        noise = self._noise_on(qubits)
        return SweepEstimator(noise, self._shots, otherwise=AerEstimator(noise, self._shots))

    def _noise_on(self, qubits: Sequence[int]) -> Noise:
        """Return the noise of some qubits, which have the numbers of their places."""
        return _noise_of(self._fake, tuple(qubits))


@lru_cache(maxsize=256)
def _noise_of(fake: str, qubits: tuple[int, ...]) -> Noise:
    """Return the noise of some qubits of a fake device, worked out once a process: it takes seconds on large ones."""
    return noise_of_qubits(fake_calibration(fake), fake, qubits)


def _said(error: Exception) -> str:
    """Return what Qiskit, or this package, says of an error; of others the kind alone."""
    if isinstance(error, (QiskitError, UnreadableError)):
        return one_line(str(getattr(error, "message", error))).rstrip(".")
    return type(error).__name__


def _used(circuit: QuantumCircuit, observables: Any) -> list[int]:
    in_gates = {circuit.find_bit(q).index for i in circuit.data if i.operation.name != "barrier" for q in i.qubits}
    measured = {int(q) for of in observables for row in of for o in row for q in np.flatnonzero(support(o))}
    return sorted(in_gates | measured)
