"""Backends of the user's own, given from Python, as entries and as the objects that they stand for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qiskit_fedqml.backends.array.own import (
    Given,
    backend_of,
    class_of,
    described,
    has_queue,
    is_maker,
    made_by,
    unwrapped,
)
from qiskit_fedqml.backends.base import Backend
from qiskit_fedqml.backends.simulated.models import is_fake_device
from qiskit_fedqml.config.backends import AerEntry, BackendEntry
from qiskit_fedqml.config.devices import ProviderEntry
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.own_machines import ObjectEntry, OwnEntry, PythonEntry
from qiskit_fedqml.config.parts import reference_to
from qiskit_fedqml.config.sources import Key
from qiskit_fedqml.config.strict import nearest
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.errors import ConfigurationError, NoBackendError, ResultError, shown


@dataclass(frozen=True)
class Machine:
    """What was given, as an entry, and as a backend where it is an object that no entry can make again."""

    entry: BackendEntry
    backend: Backend | None = field(default=None)


def with_own_backends(experiment: Experiment, given: Given | None) -> tuple[Experiment, dict[str, Backend]]:
    """Return an experiment with backends of the user's own in place of its entries, and those that are objects.

    Args:
        experiment: The experiment, whose assignment, or further tests, name the backends.
        given: The backends by name.

    Raises:
        ConfigurationError: Nothing uses a name, or a function has no name by which it is found again.
        NoBackendError: Something cannot be a backend.
        BackendError: Something has a queue and no name by which it is opened again, or cannot be made.
    """
    if given is None:
        return experiment, {}
    if not isinstance(given, Mapping):
        raise NoBackendError(
            'Argument `backends` must be a mapping of names to machines, such as {"mine": machine}, but is of type '
            f"{type(given).__name__}."
        )
    file = experiment.backends
    used = {*(name for _, name in file.assignment.names()), *experiment.evaluation.backends}
    if experiment.model.quantum == "classical":
        raise ConfigurationError(
            "Argument `backends` has no effect with model.quantum: classical, which runs no circuit."
        )
    for name in given:
        if name not in used:
            raise ConfigurationError(
                f"Argument `backends`: no client, not the server and no test uses {shown(name)}{nearest(name, used)} "
                f"For clients to use it, the experiment has `backends: {{backends: {{ideal: {{type: aer}}, {name}: "
                f"{{type: object}}}}, assignment: {{default: {name}}}}}`."
            )
    made = {name: machine_of(name, thing, file.backends[name]) for name, thing in given.items()}
    changes: dict[Key, tuple[str, Any]] = {
        ("backends", "backends", name): (f"Argument `backends`, {name!r}", machine.entry.model_dump(mode="json"))
        for name, machine in made.items()
    }
    return experiment.changed(changes), _objects(made)


def given_again(experiment: Experiment, given: Given | None) -> dict[str, Backend]:
    """Return the objects of a run that is resumed, or whose model is loaded.

    Args:
        experiment: The run's, whose entries say what was given when it began.
        given: The backends by name.

    Raises:
        ConfigurationError: A backend was not given from Python.
        ResultError: An object is not what it was.
        NoBackendError: Something cannot be a backend.
        BackendError: As :func:`with_own_backends`.
    """
    found = {}
    for name, thing in (given or {}).items():
        entry = experiment.backends.backends.get(name)
        if not isinstance(entry, ObjectEntry):
            known = [n for n, e in experiment.backends.backends.items() if isinstance(e, ObjectEntry)]
            raise ConfigurationError(
                f"Argument `backends`: the run was given no object as {shown(name)}{nearest(name, known)}"
            )
        machine = unwrapped(name, thing)
        backend = backend_of(name, machine, entry.shots)
        if (class_of(machine), described(backend)) != (entry.class_, entry.described):
            raise ResultError(
                f"Backend {name!r} is not the object with which the run began: that was of {entry.class_} and said "
                f"{_differing(entry.described, described(backend)) or 'the same of itself'}."
            )
        found[name] = backend
    return found


def machine_of(name: str, thing: object, entry: BackendEntry | None = None) -> Machine:
    """Return an object of the user's own, or a function that makes one, as an entry.

    Args:
        name: The backend's name.
        thing: The object, function or class.
        entry: The entry in whose place it comes, whose shots it keeps where that is one of the user's own.

    Raises:
        FedQMLError: As :func:`with_own_backends`.
    """
    shots = entry.shots if isinstance(entry, OwnEntry) else None
    if is_maker(thing):
        return Machine(_entry_by_name(name, thing, entry, shots))
    if is_fake_device(thing) and class_of(thing).startswith("qiskit_ibm_runtime."):  # and no class made of one
        backend = backend_of(name, thing, shots)
        return Machine(AerEntry(type="aer", noise=type(thing).__name__, shots=backend.shots))
    backend = backend_of(name, thing, shots)
    values = {"type": "object", "class": class_of(thing), "described": described(backend), "shots": backend.shots}
    return Machine(validate(ObjectEntry, values, f"argument `backends[{name!r}]`"), backend)


def _entry_by_name(name: str, maker: Any, entry: BackendEntry | None, shots: int | None) -> BackendEntry:
    """Return the entry that names a function; of type `backend` where it opens a machine with a queue."""
    reference = reference_to(maker, f"backends[{name!r}]")
    values = {"type": "python", "python": reference.python, "arguments": reference.arguments, "shots": shots}
    by_name = validate(PythonEntry, values, f"argument `backends[{name!r}]`")
    if not has_queue(made_by(reference, name)):
        return by_name
    kept = entry.model_dump() if isinstance(entry, ProviderEntry) else {"type": "backend"}
    return ProviderEntry.model_validate({**kept, "factory": by_name.python, "arguments": by_name.arguments})


def _objects(made: Mapping[str, Machine]) -> dict[str, Backend]:
    return {name: machine.backend for name, machine in made.items() if machine.backend is not None}


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return ", ".join(f"{key}: {shown(before.get(key))}, not {shown(now.get(key))}" for key in keys[:5])
