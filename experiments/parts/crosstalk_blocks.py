"""Two neighbouring blocks of a device, as one circuit: simulated block by block, and together with crosstalk."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit

from parts.crosstalk import Interaction, with_crosstalk
from qiskit_fedqml import BackendRegistry, paper_circuit
from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.calibration import Calibration, calibration_of, fake_device
from qiskit_fedqml.backends.devices.cost import circuit_seconds
from qiskit_fedqml.backends.figures import success_probability
from qiskit_fedqml.backends.ibm.components import ComponentSimulation, components, on_qubits, restricted
from qiskit_fedqml.backends.layout import of_qubits
from qiskit_fedqml.backends.noise import noise_of_qubits
from qiskit_fedqml.backends.packing.packed import PackedCircuit
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.backends.simulated.aer_estimator import AerEstimator
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.estimator import SweepEstimator
from qiskit_fedqml.simulation.machine_estimator import MachineEstimator, Run
from qiskit_fedqml.simulation.measurement import Basis
from qiskit_fedqml.simulation.noise import Noise


class _AerEstimator(AerEstimator):
    """Aer with the trace put right: its noisy gates lose 10⁻⁸ of a block's, which scales what the neighbour gives."""

    def _probabilities(self, circuit: QuantumCircuit, basis: Basis, points: NDArray[np.float64]) -> NDArray[np.float64]:
        probabilities = super()._probabilities(circuit, basis, points)
        normalised: NDArray[np.float64] = probabilities / probabilities.sum(axis=1, keepdims=True)
        return normalised


def paper_program(entry: dict[str, Any]) -> Program:
    """Return the paper's circuit, with an angle for each of its gates, compiled for an entry of a backends file."""
    spec = paper_circuit()
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    backend = BackendRegistry.from_mapping({"backends": {"ideal": {"type": "aer"}, "machine": entry}})["machine"]
    return compile_program(backend, angles.circuit, angles.params, spec.observables)


@dataclass(frozen=True)
class BlockPair:
    """Two blocks of a device, next to each other.

    Args:
        device: The fake device's name.
        calibration: Its calibration.
        program: The circuit, with a copy on each of the two blocks.
        path: A qubit of the first block, the idle one if there is one, and a qubit of the second block.
        success_probability: The chance that no gate and no readout of either errs.
    """

    device: str
    calibration: Calibration
    program: Program
    path: tuple[int, ...]
    success_probability: float

    @cached_property
    def packed(self) -> PackedCircuit:
        """Both copies as one circuit."""
        return PackedCircuit(self.program.copies)

    @cached_property
    def qubits(self) -> tuple[int, ...]:
        """The qubits of the first block, then those of the second."""
        return tuple(qubit for copy in self.program.copies for qubit in copy.qubits)

    @cached_property
    def noise(self) -> Noise:
        """The noise of both, whose qubits have the numbers of their places in :attr:`qubits`."""
        return noise_of_qubits(self.calibration, self.device, self.qubits)

    @cached_property
    def seconds(self) -> float:
        """The time from the first gate to the measurement."""
        target, measured = self.calibration.target, self.packed.measured
        readout = max(target["measure"][(qubit,)].duration for qubit in measured)
        return circuit_seconds(self.packed.circuit, measured, target) - readout

    def rehearsed(self, pub: tuple[Any, ...]) -> NDArray[np.float64]:
        """Return the expectations of a PUB of :attr:`packed` as a rehearsal has them, shape (rows, 1, outputs)."""
        return self._by_sweeps.run(self._parts_of(pub)[2], 0, None)[:, None]

    def block_by_block(self, pub: tuple[Any, ...]) -> NDArray[np.float64]:
        """Return the same by a density matrix of each block, in double precision throughout."""
        return self._by_aer.run(self._parts_of(pub)[2], 0, None)[:, None]

    def together(
        self, pub: tuple[Any, ...], interactions: Sequence[Interaction], slices: int = 4
    ) -> NDArray[np.float64]:
        """Return the same of both blocks in one density matrix, with interactions between the device's qubits."""
        operators, parameters, points = self._parts_of(pub)
        place = {qubit: number for number, qubit in enumerate(self.qubits)}
        moved = [replace(each, qubits=tuple(place[qubit] for qubit in each.qubits)) for each in interactions]
        target = of_qubits(self.calibration.target, self.qubits)
        circuit = with_crosstalk(on_qubits(self.packed.circuit, self.qubits), target, self.noise, moved, slices)
        columns = [parameters.index(parameter) for parameter in circuit.parameters]
        small = [restricted(operator, self.qubits) for operator in operators]
        run = Run(np.random.default_rng(0))
        return _AerEstimator(self.noise).estimate(circuit, small, points[:, columns], None, run)[0].T[:, None]

    @cached_property
    def _by_aer(self) -> ComponentSimulation:
        return self._alone(_AerEstimator)

    @cached_property
    def _by_sweeps(self) -> ComponentSimulation:
        return self._alone(SweepEstimator)

    def _alone(self, estimator: type[MachineEstimator]) -> ComponentSimulation:
        """Return a simulation of each block alone."""
        operators, parameters, _ = self._parts_of(self.packed.pub(np.zeros((1, 2, len(self.program.angles)))))
        parts = components(self.packed.circuit, operators, parameters)
        assert parts is not None

        def estimator_on(qubits: Sequence[int]) -> MachineEstimator:
            return estimator(noise_of_qubits(self.calibration, self.device, qubits))

        return ComponentSimulation(parts, {}, len(operators), estimator_on)

    @staticmethod
    def _parts_of(pub: tuple[Any, ...]) -> tuple[list[Any], list[Any], NDArray[np.float64]]:
        """Return a PUB's observables, parameters and points of shape (rows, parameters)."""
        ((parameters, values),) = pub[2].items()
        return [o for of in pub[1] for row in of for o in row], list(parameters), values.reshape(len(values), -1)


def best_pairs(device: str, separation: int, most: int) -> tuple[list[BlockPair], float]:
    """Return neighbouring blocks of a fake device as the package cuts it, and how many neighbours a block has.

    Args:
        device: The device.
        separation: Idle qubits between two blocks.
        most: How many pairs; no block is in two of them. The ones most likely to succeed come first.

    Returns:
        The pairs, and the mean number of couplings (of paths over one idle qubit) to other blocks.

    Raises:
        BackendError: There is no such fake device, it cannot be cut so, or it has fewer pairs.
    """
    calibration = calibration_of(fake_device(device))
    program = paper_program({"type": "ibm", "device": device, "shots": 512, "blocks": {"separation": separation}})
    if not program.copies:
        raise BackendError(f"{device} holds one block alone.")
    neighbours, found, touching = _neighbours(calibration), [], 0
    for first, second in combinations(program.copies, 2):
        paths = _paths(neighbours, first.qubits, second.qubits, separation)
        touching += len(paths)
        if paths:
            success = float(
                np.prod([success_probability(of.circuit, calibration.target, of.measured) for of in (first, second)])
            )
            pair = replace(first, copies=(first, second))
            found.append(BlockPair(device, calibration, pair, paths[0], success))
    chosen: list[BlockPair] = []
    for pair in sorted(found, key=lambda each: (-each.success_probability, each.path)):
        if len(chosen) < most and not any(set(pair.qubits) & set(other.qubits) for other in chosen):
            chosen.append(pair)
    if len(chosen) < most:
        raise BackendError(f"{device} has {len(chosen)} pairs of neighbouring blocks, but {most} are wanted.")
    return chosen, 2 * touching / len(program.copies)


def _neighbours(calibration: Calibration) -> dict[int, set[int]]:
    """Return the qubits that each qubit is coupled with."""
    found: dict[int, set[int]] = {}
    for a, b in calibration.target.build_coupling_map().get_edges():
        found.setdefault(a, set()).add(b)
        found.setdefault(b, set()).add(a)
    return found


def _paths(
    neighbours: dict[int, set[int]], first: Sequence[int], second: Sequence[int], separation: int
) -> list[tuple[int, ...]]:
    """Return the couplings between two blocks, or the paths over one idle qubit."""
    if not separation:
        return [(a, b) for a in first for b in second if b in neighbours[a]]
    return [(a, m, b) for a in first for m in sorted(neighbours[a]) for b in second if b in neighbours[m] - {a}]
