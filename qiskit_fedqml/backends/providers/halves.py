"""``BackendEstimatorV2`` in two halves: what it sends to a backend, and what it reads from the backend's results.

As a whole it keeps its jobs to itself and waits for them, so that they could not be found again after a kill. Here the
first half ends when the backend has accepted all circuits, and the second half begins when their results are there,
maybe in another process. Both are the library's own code, run over a backend that stands in for the real one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BackendEstimatorV2
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.providers import BackendV2, Options
from qiskit.transpiler import Target, generate_preset_pass_manager

from qiskit_fedqml.backends.devices.machine import WrongAnswerError

Terms = list[tuple[str, float]]
"""An observable: Pauli labels on the measured qubits, with their coefficients."""


def precision_of(shots: int) -> float:
    """Return a precision for which estimators take exactly so many shots: ⌈1/precision²⌉, rounded as it may be."""
    return 1 / math.sqrt(shots - 0.5)


@dataclass(frozen=True)
class Reading:
    """What is needed to read the results of a job, as plain values.

    Args:
        observables: The observables in one row.
        shape: The shape in which they were asked for.
        points: The shape of the points.
        shots: Shots of each circuit.
    """

    observables: list[Terms]
    shape: tuple[int, ...]
    points: tuple[int, ...]
    shots: int

    @classmethod
    def of(cls, pub: Any, shots: int) -> "Reading":
        """Return how the results of a PUB are to be read."""
        asked = EstimatorPub.coerce(pub)
        observables = [list(dict(terms).items()) for terms in np.asarray(asked.observables).ravel()]
        # Other qubits are not measured, and would make the second half slow.
        columns = list(zip(*(label for terms in observables for label, _ in terms), strict=True))
        used = [k for k, paulis in enumerate(columns) if set(paulis) != {"I"}] or [0]
        short = [[("".join(label[k] for k in used), float(c)) for label, c in terms] for terms in observables]
        return cls(short, asked.observables.shape, asked.parameter_values.shape, shots)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Reading":
        """Read what ``vars`` gave, and JSON made of it."""
        terms = [[(str(label), float(c)) for label, c in of] for of in values["observables"]]
        return cls(terms, tuple(values["shape"]), tuple(values["points"]), int(values["shots"]))

    def expectations(self, counts: Sequence[Any]) -> NDArray[np.float64]:
        """Return the expectation values in the PUB's shape.

        Args:
            counts: Of each circuit that the first half has sent, in its order.

        Raises:
            WrongAnswerError: They are those of another number of circuits.
        """
        inbox = _Inbox(counts)
        rows = np.empty(len(self.observables), dtype=object)
        rows[:] = [dict(terms) for terms in self.observables]
        num_qubits = len(self.observables[0][0][0])
        pub = EstimatorPub.coerce(
            (QuantumCircuit(num_qubits), rows.reshape(self.shape), BindingsArray(None, shape=self.points)),
            precision_of(self.shots),
        )
        result = BackendEstimatorV2(backend=inbox).run([pub]).result()
        return np.asarray(result[0].data.evs, dtype=float)


def send(pub: Any, backend: BackendV2, shots: int, seed: int | None, accepted: Callable[[Any], None]) -> None:
    """Send the circuits of a PUB, parameters bound and measurements added, as one job or as many as must be.

    Args:
        pub: Its circuit is in the backend's gates.
        backend: Where they are sent.
        shots: Shots of each circuit.
        seed: Seed of a simulator; None where the backend knows none.
        accepted: Called with each job that the backend returns.
    """
    outbox = _Outbox(backend, accepted)
    estimator = BackendEstimatorV2(backend=outbox, options={"seed_simulator": seed})
    try:
        estimator.run([pub], precision=precision_of(shots)).result()
    except _SentError:
        return


class _SentError(Exception):
    """All circuits are sent: the library asks for results."""


class _Sent:
    def result(self) -> Any:
        raise _SentError


class _Outbox(BackendV2):
    """Sends what it is given to another backend, with the last stage of its transpiler where it has one of its own.

    Providers put there what depends on the values of angles, such as bringing them into a device's range.
    """

    def __init__(self, backend: BackendV2, accepted: Callable[[Any], None]) -> None:
        super().__init__(name=backend.name)
        self._backend, self._accepted = backend, accepted
        has_stage = hasattr(backend, "get_scheduling_stage_plugin")
        stages = generate_preset_pass_manager(optimization_level=0, backend=backend) if has_stage else None
        self._last_stage = stages.scheduling if stages else None

    @property
    def target(self) -> Target:
        return self._backend.target

    @property
    def max_circuits(self) -> int | None:
        return self._backend.max_circuits

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: list[QuantumCircuit], **options: Any) -> _Sent:
        circuits = run_input if self._last_stage is None else self._last_stage.run(run_input, num_processes=1)
        known = {name: value for name, value in options.items() if value is not None}
        self._accepted(self._backend.run(circuits, **known))
        return _Sent()


class _Inbox(BackendV2):
    """Has the counts of circuits that have run elsewhere."""

    def __init__(self, counts: Sequence[Any]) -> None:
        super().__init__(name="inbox")
        self._counts = list(counts)
        self._target = Target()

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: list[QuantumCircuit], **_: Any) -> "_Inbox":
        if len(run_input) != len(self._counts):
            raise WrongAnswerError(f"the job's results hold {len(self._counts)} circuits, not {len(run_input)}")
        return self

    def result(self) -> "_Inbox":
        """Return what has the counts."""
        return self

    def get_counts(self) -> list[Any]:
        """Return the counts of each circuit."""
        return self._counts


def counts_of(result: Any) -> list[Any]:
    """Return the counts of each circuit in a backend's result.

    Raises:
        WrongAnswerError: It holds none.
    """
    if not getattr(result, "success", True):
        raise WrongAnswerError(f"the job's results say that it failed ({getattr(result, 'status', '')})")
    counts = result.get_counts()
    return counts if isinstance(counts, list) else [counts]
