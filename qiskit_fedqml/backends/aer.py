"""Simulated machines: Aer, ideal or with noise, exact or with shots."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.transpiler import generate_preset_pass_manager
from qiskit.transpiler.passmanager import PassManager
from qiskit_aer import AerSimulator

from qiskit_fedqml.backends.aer_estimator import AerEstimator, simulation_method
from qiskit_fedqml.backends.base import Evaluation, Program, evaluate_broadcast
from qiskit_fedqml.backends.noise import STATED_BASIS, Noise
from qiskit_fedqml.errors import BackendError


class AerBackend:
    """A machine simulated by Aer.

    Args:
        name: Its name.
        noise: Its noise, or None for an ideal machine.
        shots: Shots of each circuit; None gives exact expectation values.
        optimization_level: The transpiler's effort, 0 to 3.
        transpiler_seed: The transpiler's seed: the same one finds the same layout.
    """

    simulator = "aer"

    def __init__(
        self,
        name: str,
        noise: Noise | None = None,
        shots: int | None = None,
        optimization_level: int = 3,
        transpiler_seed: int = 0,
    ) -> None:
        self._name = name
        self.noise = noise
        self._shots = shots
        self._optimization_level = optimization_level
        self._transpiler_seed = transpiler_seed

    @property
    def name(self) -> str:
        """The backend's name."""
        return self._name

    @property
    def shots(self) -> int | None:
        """Shots of each circuit; None is exact."""
        return self._shots

    def without_shots(self) -> "AerBackend":
        """Return the same machine with exact expectation values."""
        return AerBackend(self.name, self.noise, None, self._optimization_level, self._transpiler_seed)

    def describe(self) -> dict[str, Any]:
        """Return simulator, noise, its calibration's date, number of qubits (None: any) and shots (None: exact)."""
        target = self.noise.target if self.noise else None
        return {
            "type": "aer",
            "simulator": self.simulator,
            "noise": self.noise.source if self.noise else None,
            "calibration_date": self.noise.date if self.noise else None,
            "num_qubits": target.num_qubits if target else None,
            "shots": self.shots,
        }

    def _pass_manager(self, circuit: QuantumCircuit) -> PassManager:
        options: dict[str, Any] = {"seed_transpiler": self._transpiler_seed}
        if self.noise is None:
            simulator = AerSimulator(method=simulation_method(circuit, None))
            return generate_preset_pass_manager(self._optimization_level, backend=simulator, **options)
        if self.noise.target is None:
            return generate_preset_pass_manager(self._optimization_level, basis_gates=list(STATED_BASIS), **options)
        return generate_preset_pass_manager(self._optimization_level, target=self.noise.target, **options)

    def transpile(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return the circuit in the machine's gates, on its best qubits as the transpiler finds them.

        Raises:
            BackendError: The circuit doesn't fit the machine.
        """
        try:
            return self._pass_manager(circuit).run(circuit)
        except QiskitError as error:
            raise BackendError(f"Backend {self.name!r} cannot take the circuit: {error.message}") from error

    def estimator(self, seed: int | None = None) -> AerEstimator:
        """Return an estimator for transpiled circuits with the machine's noise and shots."""
        return AerEstimator(self.noise, self.shots, seed)

    def evaluate(
        self, program: Program, angles: NDArray[np.float64], *, jacobian: bool, seed: int | None = None
    ) -> Evaluation:
        """Evaluate a program as one broadcast PUB in one job.

        Args:
            program: The program, compiled for this backend.
            angles: Angles in radians, shape (batch, angles).
            jacobian: Whether derivatives are wanted.
            seed: Seed of the shots.

        Raises:
            BackendError: Aer failed.
        """
        try:
            return evaluate_broadcast(
                program,
                angles,
                jacobian=jacobian,
                estimator=self.estimator(seed),
                precision=None,
                shots=self.shots,
            )
        except BackendError as error:
            raise BackendError(f"Backend {self.name!r}: {error}") from error
