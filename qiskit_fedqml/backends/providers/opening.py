"""A provider's machine, made by the factory that an entry names."""

from typing import Any

from qiskit.primitives import BaseEstimatorV2
from qiskit.providers import BackendV2
from qiskit.transpiler import Target

from qiskit_fedqml.backends.devices.cost import unstated_durations
from qiskit_fedqml.backends.devices.machine import Memory
from qiskit_fedqml.backends.providers.errors import said
from qiskit_fedqml.backends.providers.machine import ProviderMachine
from qiskit_fedqml.backends.providers.primitive import GenericPrimitive, OwnPrimitive
from qiskit_fedqml.config.devices import ProviderEntry
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.parts import find_part
from qiskit_fedqml.errors import BackendError, listed


def open_provider(name: str, entry: ProviderEntry, memory: Memory, *, needs_seconds: bool) -> ProviderMachine:
    """Return the machine that an entry's factory makes.

    Args:
        name: The backend's name.
        entry: Its entry.
        memory: Keeps the ids of jobs.
        needs_seconds: Whether the run has a budget of QPU seconds.

    Raises:
        ConfigurationError: The factory cannot be found.
        BackendError: It fails, or returns something else than a backend; or QPU seconds are needed, and the backend
            does not state how long its gates take.
    """
    factory = find_part(PythonReference(python=entry.factory), f"backends.{name}.factory")
    try:
        made = factory(**entry.arguments)
    except Exception as error:  # anyone's code, which may raise anything
        failure = BackendError(f"the factory {entry.factory!r} fails ({said(error)}).")
    else:
        backend, estimator = _parts(made, entry)
        _check_durations(entry, backend.target, needs_seconds=needs_seconds)
        primitive = GenericPrimitive(entry, backend) if estimator is None else OwnPrimitive(entry, estimator)
        return ProviderMachine(entry, backend, primitive, memory)
    raise failure


def _parts(made: Any, entry: ProviderEntry) -> tuple[BackendV2, BaseEstimatorV2 | None]:
    """Return the backend that a factory made, and the estimator where it made one."""
    backend, estimator = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    is_pair = estimator is None or isinstance(estimator, BaseEstimatorV2)
    if not isinstance(backend, BackendV2) or not is_pair or (isinstance(made, tuple) and estimator is None):
        what = f"a pair of {_kind(backend)} and {_kind(estimator)}" if isinstance(made, tuple) else _kind(made)
        raise BackendError(
            f"the factory {entry.factory!r} must return a BackendV2 of Qiskit, or a pair of a BackendV2 and an "
            f"EstimatorV2 that runs on it, but returns {what}."
        )
    if backend.target.num_qubits is None:
        raise BackendError(f"the target of {backend.name} does not state its number of qubits.")
    return backend, estimator


def _kind(value: object) -> str:
    return f"an object of type {type(value).__name__}"


def _check_durations(entry: ProviderEntry, target: Target, *, needs_seconds: bool) -> None:
    """Check that QPU seconds are known where a key needs them."""
    keys = ("budget_seconds", "price_per_minute", "max_execution_seconds")
    needed = [key for key in keys if getattr(entry, key) is not None]
    needed += ["rep_delay_seconds"] if entry.rep_delay_seconds else []
    needed += ["the run's budget_seconds"] if needs_seconds else []
    missing = unstated_durations(target)
    if needed and missing:
        raise BackendError(
            f"its target states no durations of {listed(missing)}, so that QPU seconds are not known, and "
            f"{', '.join(needed)} cannot be used; budget_executions, price_per_shot and price_per_task need none."
        )
