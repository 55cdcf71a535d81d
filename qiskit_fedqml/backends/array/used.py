"""Which machines of an array an experiment uses."""

from typing import TYPE_CHECKING

from qiskit_fedqml.config.experiment import Experiment

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
