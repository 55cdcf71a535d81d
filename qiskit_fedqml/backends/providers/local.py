"""A ``BackendV2`` of Qiskit that runs on this computer, and has no queue, as a backend."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.primitives import BackendEstimatorV2, BaseEstimatorV2
from qiskit.providers import BackendV2
from qiskit.transpiler import generate_preset_pass_manager

from qiskit_fedqml.backends.broadcast import evaluate_broadcast, foreign_errors
from qiskit_fedqml.backends.figures import states_errors, success_probability
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.program import Evaluation, Program
from qiskit_fedqml.backends.providers.halves import precision_of
from qiskit_fedqml.errors import BackendError

_OPTIMIZATION_LEVEL = 3
_TRANSPILER_SEED = 0
_SHOTS = 1024
"""Where neither the user nor the backend's options say how many."""


class LocalBackend:
    """A ``BackendV2`` without a queue, or an ``EstimatorV2`` that runs on one, for which circuits are transpiled.

    Args:
        name: Its name.
        backend: The ``BackendV2``.
        shots: Shots of each circuit; None takes those of the backend's options, or leaves it to the estimator.
        estimator: Runs on the backend, with a seed of its own; None is Qiskit's ``BackendEstimatorV2``, with the seeds
            of this package where the backend has an option ``seed_simulator``.
    """

    simulator = "backend"

    def __init__(
        self, name: str, backend: BackendV2, shots: int | None = None, estimator: BaseEstimatorV2 | None = None
    ) -> None:
        self._name, self._backend, self._estimator = name, backend, estimator
        if shots is None and estimator is None:
            shots = int(getattr(backend.options, "shots", None) or _SHOTS)
        self._shots = shots

    @property
    def name(self) -> str:
        """The backend's name."""
        return self._name

    @property
    def shots(self) -> int | None:
        """Shots of each circuit; None where an estimator decides."""
        return self._shots

    @property
    def qiskit_backend(self) -> BackendV2:
        """The ``BackendV2``."""
        return self._backend

    @property
    def takes_seeds(self) -> bool:
        """Whether shots derive from the run's seed."""
        return self._estimator is None and hasattr(self._backend.options, "seed_simulator")

    def describe(self) -> dict[str, Any]:
        """Return name, number of qubits (None: any), shots, and whose the seed of the shots is."""
        estimator = {} if self._estimator is None else {"estimator": type(self._estimator).__name__}
        return {
            "name": str(self._backend.name or type(self._backend).__name__),
            **estimator,
            "num_qubits": self._backend.target.num_qubits,
            "shots": self.shots,
            "seed": "the run's" if self.takes_seeds else "its own",
        }

    def transpile(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return the circuit in the backend's gates and on its qubits.

        Raises:
            BackendError: It doesn't fit.
        """
        try:
            options = {"optimization_level": _OPTIMIZATION_LEVEL, "seed_transpiler": _TRANSPILER_SEED}
            return generate_preset_pass_manager(backend=self._backend, **options).run(circuit)
        except QiskitError as error:
            raise BackendError(
                f"Backend {self.name!r} cannot take the circuit: {error.message.rstrip('. ')}."
            ) from error

    def success_probability(self, program: Program) -> float | None:
        """Return the estimated chance that no gate and no readout of a program errs; None where that is not stated."""
        circuit, measured, target = program.circuit, program.measured, self._backend.target
        if not states_errors(circuit, measured, target):
            return None
        return success_probability(circuit, target, measured)

    def estimator(self, seed: int | None = None) -> BaseEstimatorV2:
        """Return an estimator for transpiled circuits."""
        if self._estimator is not None:
            return self._estimator
        options: dict[str, Any] = {"default_precision": precision_of(self._shots or _SHOTS)}
        if self.takes_seeds and seed is not None:
            options["seed_simulator"] = seed % 2**31  # Aer's are of 32 bits, with a sign
        return BackendEstimatorV2(backend=self._backend, options=options)

    def evaluate(
        self,
        program: Program,
        angles: NDArray[np.float64],
        *,
        jacobian: bool,
        seed: int | None = None,
        key: JobKey | None = None,
    ) -> Evaluation:
        """Evaluate as one broadcast PUB.

        Raises:
            BackendError: The backend failed.
        """
        program.check_angles(angles)
        with foreign_errors(f"Backend {self.name!r}"):
            return evaluate_broadcast(
                program,
                angles,
                jacobian=jacobian,
                estimator=self.estimator(seed),
                precision=None if self._shots is None else precision_of(self._shots),
                shots=self._shots,
                simulator=self.simulator,
            )
