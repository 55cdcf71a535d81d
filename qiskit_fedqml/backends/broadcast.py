"""Any ``EstimatorV2`` as a backend: values and every shifted value as one broadcast PUB in one job."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2

from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.program import Evaluation, Program
from qiskit_fedqml.circuits.parameter_shift import derivatives, shifted_points
from qiskit_fedqml.errors import BackendError, FedQMLError


def evaluate_broadcast(
    program: Program,
    angles: NDArray[np.float64],
    *,
    jacobian: bool,
    estimator: BaseEstimatorV2,
    precision: float | None,
    shots: int | None,
    simulator: str,
) -> Evaluation:
    """Evaluate a program as one broadcast PUB in one job.

    The observables lie on a leading axis, so that commuting ones share executions; the forward values and the shifts by
    ±π/2 of each reachable angle lie on the last axis.

    Args:
        program: What to evaluate.
        angles: Angles in radians, shape (batch, angles).
        jacobian: Whether derivatives are wanted.
        estimator: Runs the job.
        precision: Passed to the estimator with the PUB; None leaves it to the estimator.
        shots: Shots of each circuit, for the count of executions; None if exact.
        simulator: What computes the numbers.
    """
    shifted = program.shifted if jacobian else ()
    pub = broadcast_pub(program, shifted_points(angles, shifted))
    expectations = expectations_of(estimator.run([pub], precision=precision).result()[0].data.evs)
    return program.evaluation(
        np.ascontiguousarray(expectations[:, 0]),
        derivatives(expectations, shifted, angles.shape[1]) if jacobian else None,
        shots=shots,
        simulator=simulator,
    )


class UnshiftedPub(tuple[Any, ...]):
    """A PUB of a test: no derivative is taken of its values, so that they may be extrapolated."""


def broadcast_pub(program: Program, points: NDArray[np.float64]) -> tuple[QuantumCircuit, list[Any], Any]:
    """Return one PUB: observables of shape (outputs, 1, 1) at points of shape (batch, shifts, angles)."""
    in_circuit = set(program.circuit.parameters)
    bound = [(j, angle) for j, angle in enumerate(program.angles) if angle in in_circuit]
    values = points[..., [j for j, _ in bound]]
    bindings: Any = {tuple(angle for _, angle in bound): values} if bound else values  # an array keeps its shape
    return program.circuit, [[[o]] for o in program.observables], bindings


def expectations_of(evs: Any) -> NDArray[np.float64]:
    """Return what such a PUB gave, (outputs, batch, shifts), as an array of shape (batch, shifts, outputs)."""
    return np.moveaxis(np.asarray(evs, dtype=float), 0, -1)


@contextmanager
def foreign_errors(whose: str) -> Iterator[None]:
    """Map what anyone's code raises inside, which may be anything.

    Args:
        whose: The code, as the beginning of a sentence.

    Raises:
        BackendError: It failed.
    """
    try:
        yield
    except FedQMLError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0][:300]
        raise BackendError(f"{whose} failed with {type(error).__name__}: {reason}") from error


class EstimatorBackend:
    """A backend made of any ``EstimatorV2``, for circuits that need no transpiling (or were transpiled already).

    Args:
        estimator: Runs the PUBs; it keeps its own seed, so the seeds passed here are not used.
        precision: Target precision of every evaluation, values and derivatives alike; None leaves it to the estimator.
        name: The backend's name; None takes the estimator's class.
    """

    simulator = "estimator"

    def __init__(self, estimator: BaseEstimatorV2, precision: float | None = None, name: str | None = None) -> None:
        self._estimator = estimator
        self._precision = precision
        self._name = name

    def __getstate__(self) -> dict[str, Any]:
        if holds_connection(self._estimator):
            raise BackendError(
                f"Estimator {self.name} holds a connection to a service and cannot be pickled; open it again in the "
                "other process."
            )
        return self.__dict__

    def __deepcopy__(self, memo: dict[int, Any]) -> "EstimatorBackend":
        estimator = self._estimator
        copied = estimator if holds_connection(estimator) else deepcopy(estimator, memo)
        return EstimatorBackend(copied, self._precision, self._name)

    @property
    def name(self) -> str:
        """The name that it was given, or the estimator's class."""
        return self._name or type(self._estimator).__name__

    @property
    def shots(self) -> int | None:
        """Shots that give the precision, or None if it is 0 or left to the estimator."""
        return int(np.ceil(1 / self._precision**2)) if self._precision else None

    def describe(self) -> dict[str, Any]:
        """Return the estimator's class, and the precision."""
        return {"name": type(self._estimator).__name__, "precision": self._precision}

    def transpile(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return the circuit as it is."""
        return circuit

    def success_probability(self, program: Program) -> None:
        """Return None: an estimator says nothing of its errors."""

    def estimator(self, seed: int | None = None) -> BaseEstimatorV2:
        """Return the estimator."""
        return self._estimator

    def evaluate(
        self,
        program: Program,
        angles: NDArray[np.float64],
        *,
        jacobian: bool,
        seed: int | None = None,
        key: JobKey | None = None,
    ) -> Evaluation:
        """Evaluate as one broadcast PUB in one job.

        Raises:
            BackendError: The estimator failed.
        """
        with foreign_errors(f"Estimator {self.name}"):
            return evaluate_broadcast(
                program,
                angles,
                jacobian=jacobian,
                estimator=self._estimator,
                precision=self._precision,
                shots=self.shots,
                simulator=self.simulator,
            )


_CONNECTIONS = frozenset(
    {"requests", "urllib3", "httpx", "http", "aiohttp", "grpc", "websocket", "socket", "ssl", "boto3", "botocore"}
)
"""Libraries whose objects are connections to other computers, or know how to log in there."""


def holds_connection(holder: object, most: int = 10_000) -> bool:
    """Tell whether an object's attributes lead to a connection, within so many objects."""
    seen: set[int] = set()
    waiting = [holder]
    while waiting and len(seen) < most:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if not isinstance(value, type) and any(
            str(base.__module__).partition(".")[0] in _CONNECTIONS for base in type(value).__mro__
        ):
            return True
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            waiting.extend(value)
        elif not isinstance(value, type):
            waiting.extend(getattr(value, "__dict__", {}).values())
    return False
