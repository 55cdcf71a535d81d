"""Which machines of an array an experiment uses."""

from typing import TYPE_CHECKING, Any

from qiskit_fedqml.backends.array.own import described
from qiskit_fedqml.config.assignment import Assignment
from qiskit_fedqml.config.backends import BackendsFile
from qiskit_fedqml.config.devices import DeviceEntry
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.own_machines import ObjectEntry, OwnEntry
from qiskit_fedqml.errors import ConfigurationError, listed

if TYPE_CHECKING:
    from qiskit_fedqml.backends.array.registry import BackendRegistry


def used_backends(experiment: Experiment, registry: "BackendRegistry") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the name of each client's backend, and the names of all that are used and whose jobs wait in a queue.

    Raises:
        ConfigurationError: The assignment names a client that doesn't exist.
    """
    assignment = registry.assign(experiment.federation.clients)
    return assignment, tuple(name for name in used_machines(experiment, registry) if registry.is_queued(name))


def used_machines(experiment: Experiment, registry: "BackendRegistry") -> tuple[str, ...]:
    """Return the names of all backends that are used: by clients, by the server, and in further tests.

    Raises:
        ConfigurationError: The assignment names a client that doesn't exist.
    """
    assignment = registry.assign(experiment.federation.clients)
    return tuple(sorted({*assignment, *experiment.evaluation.backends, experiment.backends.assignment.server}))


def own_machines(experiment: Experiment, registry: "BackendRegistry") -> dict[str, dict[str, Any]]:
    """Return what the machines of the user's own that are used say of themselves, as plain values.

    Raises:
        BackendError: One cannot be opened.
    """
    if experiment.model.quantum == "classical":
        return {}
    entries = experiment.backends.backends
    own = [name for name in used_machines(experiment, registry) if isinstance(entries[name], OwnEntry)]
    return {name: described(registry[name]) for name in own}


def own_server(registry: "BackendRegistry") -> dict[str, dict[str, Any]]:
    """Return what the server's machine says of itself, by its name; nothing where it is none of the user's own.

    Raises:
        BackendError: It cannot be opened.
    """
    name = registry.file.assignment.server
    return {name: described(registry[name])} if isinstance(registry.file.backends[name], OwnEntry) else {}


def server_backends(experiment: Experiment) -> BackendsFile:
    """Return the entries on which the server itself tests; those of the clients are elsewhere.

    Raises:
        ConfigurationError: One is a device.
    """
    server = experiment.backends.assignment.server
    entries = {name: experiment.backends.backends[name] for name in (server, *experiment.evaluation.backends)}
    if devices := [name for name, entry in entries.items() if isinstance(entry, DeviceEntry)]:
        raise ConfigurationError(
            f"A server whose clients are elsewhere tests on simulators only, but {listed(devices)} must wait in a "
            "queue. `fedqml evaluate --backend` tests the finished model on a device."
        )
    if objects := [name for name, entry in entries.items() if isinstance(entry, ObjectEntry)]:
        raise ConfigurationError(
            f"{listed(objects)} would be an object that is given from Python, but a server whose clients are elsewhere "
            "is given none; name a function that makes it (`type: python`)."
        )
    return BackendsFile(backends=entries, assignment=Assignment(server=server, default=server))
