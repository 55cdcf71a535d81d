"""Simulated machines: ideal or with noise, exact or with shots, by the sweeps or by Aer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.backends.broadcast import evaluate_broadcast
from qiskit_fedqml.backends.figures import success_probability
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.packing.blocks import BlockFinder, BlockLayout
from qiskit_fedqml.backends.packing.sharing import BlockShares
from qiskit_fedqml.backends.program import Asked, Evaluation, Program
from qiskit_fedqml.backends.simulated.aer_estimator import AerEstimator, simulation_method
from qiskit_fedqml.backends.simulated.choice import Simulation, SimulatorChoice, chosen_simulation
from qiskit_fedqml.backends.simulated.extrapolation import evaluate_extrapolated, folded_programs
from qiskit_fedqml.backends.simulated.joint import evaluate_together
from qiskit_fedqml.backends.simulated.loops import compile_loops
from qiskit_fedqml.backends.simulated.transpiling import transpiled
from qiskit_fedqml.circuits.angles import num_qubits_in_use
from qiskit_fedqml.config.blocks import Blocks
from qiskit_fedqml.config.mitigation import Mitigation
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.estimator import SweepEstimator
from qiskit_fedqml.simulation.exact import ExactProgram
from qiskit_fedqml.simulation.machine_estimator import MachineEstimator, checked_shots
from qiskit_fedqml.simulation.memory import state_bytes
from qiskit_fedqml.simulation.noise import Noise


@dataclass
class _Known:
    """What is known of a program: how it is simulated, with folded gates too, and its success probability."""

    simulation: Simulation | None = None
    folded: tuple[Program, ...] | None = None
    success: float | None = None


class AerBackend:
    """A machine simulated on this computer.

    Args:
        name: Its name.
        noise: Its noise, or None for an ideal machine.
        shots: Shots of each circuit; None gives exact expectation values.
        optimization_level: The transpiler's effort, 0 to 3.
        transpiler_seed: The transpiler's seed: the same one finds the same layout.
        simulator: ``"sweep"`` evaluates values and derivatives in two sweeps and refuses what these cannot express;
            ``"aer"`` runs every shifted circuit by Aer; ``"auto"`` takes the sweeps where they apply, and else Aer,
            with a line in the log that says why.
        mitigation: What is done about the noise. Readout error is taken out of values and derivatives by the inverse of
            the qubits' confusion matrices; values may so leave an observable's range a little, and are not cut off,
            which would bias them. Evaluations without derivatives that train nothing are extrapolated to zero noise.
        blocks: How the machine is cut into blocks, so that each client has one of its own; None is off. It needs the
            noise of a calibration, and spreads clients.
        test_shots: Shots of each circuit in evaluations that train nothing; None takes ``shots``.

    Raises:
        BackendError: ``shots`` or ``test_shots`` is not a number from 1, the latter comes without the former, there is
            no such simulator, or the machine has no blocks.
    """

    def __init__(
        self,
        name: str,
        noise: Noise | None = None,
        shots: int | None = None,
        optimization_level: int = 3,
        transpiler_seed: int = 0,
        simulator: SimulatorChoice = "auto",
        mitigation: Mitigation | None = None,
        blocks: Blocks | None = None,
        test_shots: int | None = None,
    ) -> None:
        if simulator not in get_args(SimulatorChoice):
            raise BackendError(
                f"Argument `simulator` must be one of {get_args(SimulatorChoice)}, but got {simulator!r}."
            )
        self._name = name
        self.noise = noise
        if shots is None and test_shots is not None:
            raise BackendError("Argument `test_shots` has no effect without `shots`.")
        self._shots, self._test_shots = checked_shots(shots), checked_shots(test_shots)
        self._optimization_level = optimization_level
        self._transpiler_seed = transpiler_seed
        self._choice = simulator
        self._mitigation = mitigation
        self._mitigates_readout = mitigation is not None and mitigation.readout
        self._blocks = blocks
        if blocks is not None and (blocks.spread != "clients" or noise is None or noise.target is None):
            raise BackendError("Argument `blocks` needs `spread: clients` and the noise of a calibration.")
        self._shares = BlockShares(blocks, one_each=True)
        self._known: WeakKeyDictionary[Program, _Known] = WeakKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": None}  # programs are compiled again in another process

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _known=WeakKeyDictionary())

    @property
    def name(self) -> str:
        """The backend's name."""
        return self._name

    @property
    def simulator(self) -> str:
        """The simulator that is tried first."""
        return "aer" if self._choice == "aer" else "sweep"

    @property
    def shots(self) -> int | None:
        """Shots of each circuit; None is exact."""
        return self._shots

    def without_shots(self) -> "AerBackend":
        """Return the same machine with exact expectation values."""
        return self._changed(None, self._mitigation)

    def without_mitigation(self) -> "AerBackend":
        """Return the same machine with values as it gives them."""
        return self._changed(self._shots, None)

    def _changed(self, shots: int | None, mitigation: Mitigation | None) -> "AerBackend":
        options = (self._optimization_level, self._transpiler_seed, self._choice, mitigation, self._blocks)
        return AerBackend(self.name, self.noise, shots, *options, None if shots is None else self._test_shots)

    def describe(self) -> dict[str, Any]:
        """Return simulator, noise, its calibration's date, number of qubits (None: any) and shots (None: exact).

        ``test_shots`` are those of tests, where they are other ones; ``gaps`` says what the calibration leaves out, and
        ``mitigation`` what is mitigated, where there is such.
        """
        target = self.noise.target if self.noise else None
        gaps = {"gaps": str(self.noise.gaps)} if self.noise and self.noise.gaps else {}
        mitigation = {"mitigation": str(self._mitigation)} if self._mitigation else {}
        return {
            **gaps,
            **mitigation,
            "type": "aer",
            "simulator": self._choice,
            "noise": self.noise.source if self.noise else None,
            "calibration_date": self.noise.date if self.noise else None,
            "num_qubits": target.num_qubits if target else None,
            "shots": self.shots,
            **({"test_shots": self._test_shots} if self._test_shots is not None else {}),
        }

    def memory_bytes(self, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> int:
        """Return the bytes that one state of the circuit takes, in the part of it that reaches a measured qubit."""
        is_mixed = simulation_method(circuit, self.noise) == "density_matrix"
        return state_bytes(num_qubits_in_use(circuit, observables), is_mixed=is_mixed)

    def transpile(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return the circuit in the machine's gates, on its best qubits as the transpiler finds them.

        An ideal machine takes a circuit of standard gates on one and two qubits as it is.

        Raises:
            BackendError: The circuit doesn't fit the machine, or has delays in which its qubits relax.
        """
        try:
            if self.noise is not None:
                self.noise.refuse_delays(circuit)
            return transpiled(circuit, self.noise, self._optimization_level, self._transpiler_seed)
        except (QiskitError, BackendError) as error:
            reason = error.message if isinstance(error, QiskitError) else str(error)
            raise BackendError(f"Backend {self.name!r} cannot take the circuit: {reason}") from error

    def block_layout(self, circuit: QuantumCircuit, measured: Sequence[int]) -> BlockLayout | None:
        """Return the blocks of a circuit of which some qubits are measured; None where blocks are off.

        Raises:
            BackendError: The circuit doesn't fit the machine.
        """
        if self._blocks is None or self.noise is None or self.noise.target is None:
            return None
        seeds = [self._transpiler_seed]
        finder = BlockFinder(self.noise.target, self.noise.gaps, self._blocks, self._optimization_level, seeds)
        try:
            return finder.find(circuit, measured)
        except BackendError as error:
            raise BackendError(f"Backend {self.name!r} cannot take the circuit: {error}") from error

    def give_blocks_to(self, clients: Sequence[int]) -> None:
        """Let each of these clients have a block of its own for the whole run."""
        self._shares.clients = tuple(clients)

    def calibration_of(self, program: Program, client: int | None = None) -> dict[str, Any]:
        """Return the machine whose noise it is, its date, and a client's blocks, as plain values."""
        figures = {}
        if program.copies and self.noise is not None and self.noise.rates is not None:
            figures = self._shares.figures(program, client, self.noise.rates, self.noise.gaps)
        return {
            "device": self.noise.source if self.noise else None,
            "date": str(self.noise.date) if self.noise else None,
            **figures,
        }

    def success_probability(self, program: Program, client: int | None = None) -> float:
        """Return the estimated chance that no gate and no readout of a program errs; 1 on an ideal machine.

        As for a device it is by the published error rates where the noise is that of a calibration (where relaxation
        alone exceeds them, the simulated gates err more), and else by the channels' infidelities. Of a program with
        copies it is that of a client's block; for the server, which has none, of the best one.
        """
        if program.copies:
            program = self._own(program, client)
        if self.noise is None:
            return 1.0
        known = self._known.setdefault(program, _Known())
        if known.success is None:  # it takes as long as a step of training
            circuit, measured, rates = program.circuit, program.measured, self.noise.rates
            known.success = (
                self.noise.success_probability(circuit, measured)
                if rates is None
                else success_probability(circuit, rates, measured)
            )
        return known.success

    def estimator(self, seed: int | None = None) -> MachineEstimator:
        """Return an estimator for transpiled circuits with the machine's noise and shots."""
        by_aer = self._aer_estimator(seed, self.shots)
        if self._choice == "aer":
            return by_aer
        otherwise = by_aer if self._choice == "auto" else None
        return SweepEstimator(self.noise, self.shots, seed, otherwise, mitigates_readout=self._mitigates_readout)

    def _aer_estimator(self, seed: int | None, shots: int | None) -> AerEstimator:
        return AerEstimator(self.noise, shots, seed, mitigates_readout=self._mitigates_readout)

    def simulation(self, program: Program) -> Simulation:
        """Return how a program is simulated; it is compiled at the first time.

        Raises:
            BackendError: A channel is not physical, or the sweeps cannot express it and the simulator is ``"sweep"``.
        """
        known = self._known.setdefault(program, _Known())
        if known.simulation is None:
            arguments = self.name, self._choice, program, self.noise
            is_exact, mitigates = self.shots is None, self._mitigates_readout
            known.simulation = chosen_simulation(*arguments, is_exact=is_exact, mitigates_readout=mitigates)
        return known.simulation

    def prepare(self, program: Program) -> None:
        """Compile the loops that evaluate a program; raises BackendError as :meth:`evaluate` does."""
        own = self._own(program, None) if program.copies else program
        ask = partial(self._evaluate, own, np.zeros((1, len(own.angles))), 0, self.shots)
        compile_loops(self.simulation(own).program, self.shots, ask)

    def evaluate(
        self,
        program: Program,
        angles: NDArray[np.float64],
        *,
        jacobian: bool,
        seed: int | None = None,
        key: JobKey | None = None,
    ) -> Evaluation:
        """Evaluate a program by the sweeps, or as one broadcast PUB in one job of Aer.

        Args:
            program: The program, compiled for this backend.
            angles: Angles in radians, shape (batch, angles).
            jacobian: Whether derivatives are wanted.
            seed: Seed of the shots; None takes one from the system.
            key: What it is for, which says how many shots it has, and whose block is simulated where there are some.

        Raises:
            BackendError: The angles are not finite or of another shape, the simulation failed, or the program cannot be
                mitigated.
        """
        zne = self._mitigation.zne if self._mitigation else None
        shots = (self._test_shots or self.shots) if key is not None and key.is_test else self.shots
        try:
            program.check_angles(angles)
            if program.copies:
                program = self._own(program, None if key is None else key.client)
            if zne is None or jacobian or (key is not None and key.is_training):
                return self._evaluate(program, angles, seed, shots, jacobian=jacobian)
            known = self._known.setdefault(program, _Known())
            known.folded = known.folded or folded_programs(program, zne)
            return evaluate_extrapolated(
                known.folded,
                zne,
                seed,
                lambda at, own: self._evaluate(at, angles, own, shots, jacobian=False),
            )
        except BackendError as error:
            raise self._named(error) from error

    def evaluate_jointly(
        self, program: Program, asked: Sequence[Asked], *, jacobian: bool, key: JobKey | None = None
    ) -> list[Evaluation]:
        """Evaluate a program, in which clients train, for several of them; each one's shots have a seed of their own.

        Args:
            program: The program, compiled for this backend.
            asked: What each client asks.
            jacobian: Whether derivatives are wanted.
            key: What it is for.

        Raises:
            BackendError: As :meth:`evaluate`.
        """
        try:
            for of in asked:
                program.check_angles(of.angles)
            own = [self._own(program, of.client) if program.copies else program for of in asked]
            return evaluate_together(own, asked, self.shots, self.simulation, self._evaluate, jacobian=jacobian)
        except BackendError as error:
            raise self._named(error) from error

    def _named(self, error: BackendError) -> BackendError:
        start = f"Backend {self.name!r}"
        return error if str(error).startswith(start) else BackendError(f"{start}: {error}")

    def _evaluate(
        self, program: Program, angles: NDArray[np.float64], seed: int | None, shots: int | None, *, jacobian: bool
    ) -> Evaluation:
        """Evaluate a program as it is."""
        simulation = self.simulation(program)
        if simulation.program is None:
            return evaluate_broadcast(
                program,
                angles,
                jacobian=jacobian,
                estimator=self._aer_estimator(seed, shots),
                precision=None,
                shots=shots,
                simulator="aer",
            )
        if isinstance(simulation.program, ExactProgram):
            values, derivatives = simulation.program.evaluate(angles, jacobian=jacobian)
        else:
            rng = np.random.default_rng(seed)
            values, derivatives = simulation.program.estimate(angles, shots or 0, rng, jacobian=jacobian)
        return program.evaluation(values, derivatives, shots=shots, simulator="sweep")

    def _own(self, program: Program, client: int | None) -> Program:
        """Return the copy on a client's block; on the best one for the server, which has none."""
        return program.copies[self._shares.blocks_of(program, client)[0]]
