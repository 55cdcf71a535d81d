"""The estimators of qiskit-ibm-runtime behind one adapter: how jobs are made, and how large they are."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TypeVar

from qiskit.primitives import BaseEstimatorV2
from qiskit.providers import BackendV2

from qiskit_fedqml.backends.broadcast import UnshiftedPub
from qiskit_fedqml.backends.ibm.errors import translate
from qiskit_fedqml.backends.ibm.mitigation import options_of
from qiskit_fedqml.config.devices import DeviceEntry, IBMEntry
from qiskit_fedqml.errors import BackendError, FedQMLError

Answer = TypeVar("Answer")


class IBMPrimitive:
    """One adapter over the library's two estimators.

    Args:
        entry: Says which, and with what options.

    Raises:
        BackendError: The estimator is not installed, or refuses an option.
    """

    def __init__(self, entry: IBMEntry) -> None:
        has_executor = find_spec("qiskit_ibm_runtime.executor_estimator") is not None
        if entry.primitive == "executor" and not has_executor:
            raise BackendError("This qiskit-ibm-runtime has no executor_estimator; use `primitive: estimator`.")
        self._entry = entry
        self.is_executor = has_executor and entry.primitive != "estimator"
        _checked(lambda: self._options([], extrapolates=True))

    @property
    def measures_all_qubits(self) -> bool:
        """Whether all qubits are measured: so does the executor."""
        return self.is_executor

    def with_entry(self, entry: DeviceEntry) -> "IBMPrimitive":
        """Return the adapter of another entry."""
        assert isinstance(entry, IBMEntry)
        return IBMPrimitive(entry)

    def estimator(
        self,
        mode: Any,
        tags: list[str],
        seed: int | None = None,
        shots: int | None = None,
        *,
        extrapolates: bool = False,
    ) -> BaseEstimatorV2:
        """Return an estimator on a device, batch or session, whose jobs carry these tags.

        Args:
            mode: The device, batch or session.
            tags: The tags.
            seed: Seed of a simulation.
            shots: Shots of each circuit; here and below None takes the entry's.
            extrapolates: Whether its jobs are tests, which are extrapolated where the entry says so.
        """
        options = self._options(tags, seed, shots, extrapolates=extrapolates)
        if self.is_executor:
            from qiskit_ibm_runtime.executor_estimator import Estimator

            return Estimator(mode=mode, options=options)
        from qiskit_ibm_runtime import EstimatorV2

        return EstimatorV2(mode=mode, options=options)

    def is_plain(self) -> bool:
        """Return whether each circuit runs as it is, as far as that is known here.

        ``EstimatorV2`` mitigates on the server, which does not say beforehand what it adds.
        """
        asked = self._entry.options.keys() & {"resilience", "twirling"}
        mitigates = self._entry.mitigation or self._entry.resilience_level or asked
        return not mitigates or not self.is_executor

    def size(self, pub: Any, device: BackendV2, shots: int | None = None) -> tuple[int, int]:
        """Return circuits and executions of a PUB by the executor's own preparation, randomisations included."""
        program, _ = self._prepare(pub, device, shots)
        circuits = sum(item.size() for item in program.items)
        return circuits, circuits * program.shots

    def payload_bytes(self, pub: Any, device: BackendV2, shots: int | None = None) -> int:
        """Return the size of a PUB as it is sent."""
        if self.is_executor:
            from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS

            *_, latest = QUANTUM_PROGRAM_PARAMS_CONVERTERS.values()
            return len(json.dumps(latest.encoder(*self._prepare(pub, device, shots)).model_dump(mode="json")))
        from qiskit.primitives.containers.estimator_pub import EstimatorPub
        from qiskit_ibm_runtime import RuntimeEncoder

        return len(json.dumps({"pubs": [EstimatorPub.coerce(pub)]}, cls=RuntimeEncoder))

    def _prepare(self, pub: Any, device: BackendV2, shots: int | None) -> Any:
        from qiskit_ibm_runtime.executor_estimator.prepare import prepare

        options = self._options([], shots=shots, extrapolates=isinstance(pub, UnshiftedPub))
        return _checked(lambda: prepare([pub], options, None, add_tags=False, backend=device))

    def _options(
        self, tags: list[str], seed: int | None = None, shots: int | None = None, *, extrapolates: bool = False
    ) -> Any:
        own: dict[str, Any] = {"default_shots": shots or self._entry.shots}
        if seed is not None:
            own["simulator"] = {"seed_simulator": seed}
        if self._entry.is_rehearsal and not self.is_executor:  # EstimatorV2 runs no other option locally, and says so
            from qiskit_ibm_runtime.options import EstimatorOptions as LegacyOptions

            return LegacyOptions(**own)
        own |= {"resilience_level": self._entry.resilience_level, "environment": {"job_tags": tags}}
        if self._entry.max_execution_seconds is not None:
            own["max_execution_time"] = self._entry.max_execution_seconds
        own |= options_of(self._entry, own["default_shots"], is_executor=self.is_executor, extrapolates=extrapolates)
        if not self.is_executor:
            from qiskit_ibm_runtime.options import EstimatorOptions as LegacyOptions

            return LegacyOptions(**own)
        from qiskit_ibm_runtime.options_models.estimator import EstimatorOptions

        return EstimatorOptions(**own)


def _checked(function: Callable[[], Answer]) -> Answer:
    """Return what a function returns that asks no service; what the library raises in it is about its input."""
    try:
        return function()
    except FedQMLError:
        raise
    except Exception as error:
        translation = translate(error, checks_input=True)
        if not isinstance(translation, FedQMLError):
            translation = BackendError(f"the estimator cannot prepare the job ({type(error).__name__}).")
        raise translation from error
