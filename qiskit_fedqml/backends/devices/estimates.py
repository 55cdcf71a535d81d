"""What the jobs of a question are expected to cost, and where one would be too long."""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from qiskit_fedqml.backends.devices.cost import JobCost, Timing, rep_delay_seconds
from qiskit_fedqml.backends.devices.layouts import DeviceLayouts
from qiskit_fedqml.backends.devices.machine import Machine
from qiskit_fedqml.backends.devices.question import Part, Question
from qiskit_fedqml.backends.packing.packed import PackedCircuit
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.config.devices import DeviceEntry

_LONGEST_JOB_SECONDS = 3 * 3600
"""QPU seconds that the service grants one job."""
_LARGEST_JOB_BYTES = 200_000_000
"""Angles of one job; the service takes inputs of some 300 MB."""


class Estimates:
    """Estimates the jobs of one device.

    Args:
        entry: Its entry.
        machine: The device.
        layouts: Where circuits are on it.

    Raises:
        BackendError: The repetition delay is not in the device's range.
    """

    def __init__(self, entry: DeviceEntry, machine: Machine, layouts: DeviceLayouts) -> None:
        self._entry, self._machine, self._layouts = entry, machine, layouts
        self._rep_delay_seconds = rep_delay_seconds(entry, machine.qiskit_backend)
        self._timings: WeakKeyDictionary[Program, Timing] = WeakKeyDictionary()
        self._packed: WeakKeyDictionary[Program, PackedCircuit] = WeakKeyDictionary()

    def packed_circuit(self, program: Program) -> PackedCircuit | None:
        """Return the circuit of a program's copies, or None where it has no several copies."""
        if len(program.copies) < 2:
            return None
        if program not in self._packed:
            self._packed[program] = PackedCircuit(program.copies)
        return self._packed[program]

    def payload_bytes(self, question: Question, part: Part) -> int:
        """Return the size of a part as it is sent."""
        pub = question.pub(part, self.packed_circuit(question.program))
        shots = self._entry.shots_of(is_test=question.key.is_test)
        return self._machine.primitive.payload_bytes(pub, self._machine.qiskit_backend, shots)

    def exceeds(self, question: Question, cost: JobCost) -> bool:
        """Return whether one job of this cost would be too long or too large."""
        longest = self._entry.max_execution_seconds or _LONGEST_JOB_SECONDS
        num_angles = len(question.program.angles) * max(1, len(question.program.copies))
        return (cost.seconds or 0.0) > longest or cost.circuits * num_angles * 8 > _LARGEST_JOB_BYTES

    def costs(self, question: Question, part: Part) -> list[JobCost]:
        """Return the cost of each job that a part would be sent in."""
        cost = self.cost(question, part)
        if part.num_samples < 2 or not self.exceeds(question, cost):
            return [cost]
        return [cost for half in part.halves() for cost in self.costs(question, half)]

    def cost(self, question: Question, part: Part) -> JobCost:
        """Return the cost of a part in one job."""
        program, shots = question.program, self._entry.shots_of(is_test=question.key.is_test)
        circuits = question.num_circuits(part) * program.num_groups
        size = circuits, circuits * shots
        if not self._machine.primitive.is_plain():
            pub = question.pub(part, self.packed_circuit(program))
            size = self._machine.primitive.size(pub, self._machine.qiskit_backend, shots)
        return self._timing(program).cost(*size)

    def _timing(self, program: Program) -> Timing:
        if program not in self._timings:
            packed = self.packed_circuit(program) or program
            measured: Sequence[int] = packed.measured
            if self._machine.primitive.measures_all_qubits:
                left_out = self._layouts.gaps().qubits
                measured = [q for q in range(self._machine.qiskit_backend.num_qubits) if q not in left_out]
            length = self._machine.circuit_seconds(packed.circuit, measured, self._layouts.target())
            self._timings[program] = Timing(length, self._rep_delay_seconds, self._machine.seconds_per_job)
        return self._timings[program]
