"""How circuits are laid out on a device, by the calibration that was read last."""

import logging
from collections.abc import Sequence

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target

from qiskit_fedqml.backends.devices.machine import Machine
from qiskit_fedqml.backends.figures import states_errors, success_probability, unstated_errors
from qiskit_fedqml.backends.layout import lay_out
from qiskit_fedqml.backends.packing.blocks import BlockFinder, BlockLayout
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.config.devices import DeviceEntry
from qiskit_fedqml.errors import BackendError, listed
from qiskit_fedqml.simulation.gaps import Gaps

logger = logging.getLogger(__name__)


class DeviceLayouts:
    """Finds layouts without what cannot be used of a device.

    Args:
        name: The backend's name in the registry.
        entry: Its entry.
        machine: The device.
    """

    def __init__(self, name: str, entry: DeviceEntry, machine: Machine) -> None:
        self._name, self._entry, self._machine = name, entry, machine
        self.logged_gaps = ""

    def target(self) -> Target:
        """Return what can be used of the device."""
        calibration = self._machine.calibration()
        has_gaps = calibration is not None and calibration.gaps.left_out()
        return calibration.target if calibration and has_gaps else self._machine.qiskit_backend.target

    def gaps(self) -> Gaps:
        """Return what cannot be used of the device by its calibration; a change is logged.

        Raises:
            BackendError: The calibration cannot be used.
        """
        calibration = self._machine.calibration()
        if calibration is None:
            return Gaps()
        try:
            gaps = calibration.gaps
        except BackendError as error:
            raise BackendError(f"Backend {self._name!r}: {error}") from error
        if gaps.left_out() != self.logged_gaps:
            self.logged_gaps = gaps.left_out()
            logger.warning("Backend %r: the calibration of %s has gaps: %s.", self._name, self._machine.device, gaps)
        return gaps

    def knows_errors(self, program: Program) -> bool:
        """Return whether the errors of what a program uses are published; those of blocks always are."""
        has_errors = bool(program.copies) or self._machine.calibration() is not None
        return has_errors or states_errors(program.circuit, program.measured, self.target())

    def candidates(self, circuit: QuantumCircuit) -> Sequence[QuantumCircuit]:
        """Return the circuit in several layouts, the one with the highest estimated success probability first.

        Raises:
            BackendError: The circuit doesn't fit the device.
        """
        entry, gaps, target = self._entry, self.gaps(), self.target()
        try:
            found = [
                lay_out(
                    circuit,
                    target,
                    gaps,
                    optimization_level=entry.optimization_level,
                    seed=seed,
                    initial_layout=entry.initial_layout,
                    backend=self._machine.qiskit_backend,
                )
                for seed in self._seeds
            ]
        except BackendError as error:
            raise BackendError(f"Backend {self._name!r} cannot take the circuit: {error}") from error
        return sorted(found, key=lambda transpiled: -success_probability(transpiled, target))

    def blocks(self, circuit: QuantumCircuit, measured: Sequence[int]) -> BlockLayout | None:
        """Return the blocks of a circuit of which some qubits are measured; None where blocks are off.

        Raises:
            BackendError: The circuit doesn't fit the device, or the device states no errors to choose blocks by.
        """
        entry = self._entry
        if entry.blocks is None:
            return None
        if self._machine.calibration() is None and (unstated := unstated_errors(self.target())):
            raise BackendError(
                f"Backend {self._name!r} cannot have blocks, which are chosen by the errors of gates and readout: the "
                f"target of {self._machine.device} states none of {listed(unstated)}. Leave `blocks` out."
            )
        finder = BlockFinder(self.target(), self.gaps(), entry.blocks, entry.optimization_level, self._seeds)
        try:
            return finder.find(circuit, measured)
        except BackendError as error:
            raise BackendError(f"Backend {self._name!r} cannot take the circuit: {error}") from error

    @property
    def _seeds(self) -> range:
        entry = self._entry
        trials = 1 if entry.initial_layout is not None else entry.layout_trials
        return range(entry.transpiler_seed, entry.transpiler_seed + trials)
