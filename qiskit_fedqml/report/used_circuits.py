"""The circuits of runs, as designed and on machines."""

from dataclasses import dataclass

from qiskit_fedqml.backends.calibration import Calibration
from qiskit_fedqml.backends.chip import Chip
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.circuits.spec import CircuitSpec


@dataclass(frozen=True)
class Designed:
    """A circuit as designed.

    Args:
        spec: The circuit.
        runs: Names of the runs that trained it.
    """

    spec: CircuitSpec
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Compiled:
    """A circuit on a simulated machine.

    Args:
        machine: The machine's name.
        program: The circuit in its gates.
        runs: Names of the runs that used it so.
        calibration: Of the device that it simulates, error rates as they acted; None without one, or with blocks.
        chip: That device's qubits and couplings; None without a calibration.
    """

    machine: str
    program: Program
    runs: tuple[str, ...]
    calibration: Calibration | None = None
    chip: Chip | None = None
