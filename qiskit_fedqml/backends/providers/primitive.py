"""How PUBs become a provider's jobs: through Qiskit's ``BackendEstimatorV2``, or the provider's own estimator."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives import BackendEstimatorV2, BaseEstimatorV2
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.providers import BackendV2

from qiskit_fedqml.backends.broadcast import expectations_of
from qiskit_fedqml.backends.devices.answers import read_expectations
from qiskit_fedqml.backends.devices.draws import seed_of
from qiskit_fedqml.backends.devices.machine import Primitive
from qiskit_fedqml.backends.providers.halves import Reading, counts_of, precision_of, send
from qiskit_fedqml.config.devices import DeviceEntry


class ProviderPrimitive(Primitive, Protocol):
    """A primitive that sends and reads by itself."""

    @property
    def finder(self) -> object:
        """What may have a method ``retrieve_job`` or ``restore_job``."""
        ...

    def send(self, pub: Any, accepted: Callable[[Any], None], shots: int | None = None) -> dict[str, Any]:
        """Send a PUB; return what is needed to read its results, as JSON values.

        Args:
            pub: The PUB.
            accepted: Called with each job that the provider has accepted.
            shots: Shots of each circuit; None takes the entry's.
        """
        ...

    def results(self, jobs: Sequence[Any]) -> list[Any]:
        """Return what the jobs of a PUB answer; this asks the provider."""
        ...

    def expectations(self, results: Sequence[Any], reading: dict[str, Any]) -> NDArray[np.float64]:
        """Return the expectation values in answers, shape (samples, points, outputs)."""
        ...


class _Plain:
    """What both have in common: each circuit runs as it is."""

    measures_all_qubits = False

    def is_plain(self) -> bool:
        """Return True."""
        return True

    def size(self, pub: Any, device: BackendV2, shots: int | None = None) -> tuple[int, int]:
        """Raise AssertionError: nobody asks for it where circuits run as they are."""
        raise AssertionError

    def payload_bytes(self, pub: Any, device: BackendV2, shots: int | None = None) -> int:
        """Return 0: each provider has a format of its own."""
        return 0


class GenericPrimitive(_Plain):
    """Qiskit's ``BackendEstimatorV2`` on a backend.

    Args:
        entry: Says how many shots.
        backend: The backend.
    """

    def __init__(self, entry: DeviceEntry, backend: BackendV2) -> None:
        self._entry, self.finder = entry, backend

    def with_entry(self, entry: DeviceEntry) -> "GenericPrimitive":
        """Return the same for another entry."""
        return GenericPrimitive(entry, self.finder)

    def estimator(
        self,
        mode: Any,
        tags: list[str],
        seed: int | None = None,
        shots: int | None = None,
        *,
        extrapolates: bool = False,
    ) -> BaseEstimatorV2:
        """Return ``BackendEstimatorV2`` on the backend."""
        options = {"default_precision": precision_of(shots or self._entry.shots), "seed_simulator": seed}
        return BackendEstimatorV2(backend=self.finder, options=options)

    def send(self, pub: Any, accepted: Callable[[Any], None], shots: int | None = None) -> dict[str, Any]:
        """Send a PUB; a simulator's outcomes derive from its angles, as in a rehearsal."""
        has_seed = hasattr(self.finder.options, "seed_simulator")
        seed = seed_of(_angles(pub)) if has_seed else None
        shots = shots or self._entry.shots
        send(pub, self.finder, shots, seed, accepted)
        return vars(Reading.of(pub, shots))

    def results(self, jobs: Sequence[Any]) -> list[Any]:
        """Return the counts of each circuit."""
        return [counts for job in jobs for counts in counts_of(job.result())]

    def expectations(self, results: Sequence[Any], reading: dict[str, Any]) -> NDArray[np.float64]:
        """Return the expectation values in answers, shape (samples, points, outputs)."""
        return expectations_of(Reading.from_json(reading).expectations(results))


class OwnPrimitive(_Plain):
    """A provider's own estimator.

    Args:
        entry: Says how many shots.
        estimator: The estimator.
    """

    def __init__(self, entry: DeviceEntry, estimator: BaseEstimatorV2) -> None:
        self._entry, self.finder = entry, estimator

    def with_entry(self, entry: DeviceEntry) -> "OwnPrimitive":
        """Return the same for another entry."""
        return OwnPrimitive(entry, self.finder)

    def estimator(
        self,
        mode: Any,
        tags: list[str],
        seed: int | None = None,
        shots: int | None = None,
        *,
        extrapolates: bool = False,
    ) -> BaseEstimatorV2:
        """Return the provider's estimator."""
        return self.finder

    def send(self, pub: Any, accepted: Callable[[Any], None], shots: int | None = None) -> dict[str, Any]:
        """Send a PUB."""
        accepted(self.finder.run([pub], precision=precision_of(shots or self._entry.shots)))
        return {}

    def results(self, jobs: Sequence[Any]) -> list[Any]:
        """Return the result of each job."""
        return [job.result() for job in jobs]

    def expectations(self, results: Sequence[Any], reading: dict[str, Any]) -> NDArray[np.float64]:
        """Return the expectation values in answers, shape (samples, points, outputs)."""
        (result,) = results
        return read_expectations(result)


def _angles(pub: Any) -> NDArray[np.float64]:
    return np.asarray(EstimatorPub.coerce(pub).parameter_values.as_array())
