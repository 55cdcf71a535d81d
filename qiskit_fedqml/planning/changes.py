"""Changes of an experiment's settings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.validation import validate

Key = tuple[str, ...]
"""A key of an experiment file, in its parts."""


@dataclass(frozen=True)
class Change:
    """Settings in the place of an experiment's.

    Args:
        words: What is changed.
        settings: Values by key.
        departure: How far that is from what the experiment asks for. One is a halving of the shots, one and a half a
            halving of the clients on devices, two a halving of the optimiser's steps.
    """

    words: str
    settings: Mapping[Key, Any]
    departure: float


@dataclass(frozen=True)
class Machines:
    """Who has which machine.

    Args:
        assignment: Name of each client's backend.
        devices: Names of those that are used and whose jobs wait in a queue.
        copies: How many copies of the circuit devices without blocks would hold, where that is known and more than one.
    """

    assignment: tuple[str, ...]
    devices: tuple[str, ...]
    copies: Mapping[str, int] = field(default_factory=dict)

    def clients_of(self, name: str) -> tuple[int, ...]:
        """Return the clients of a machine."""
        return tuple(client for client, of in enumerate(self.assignment) if of == name)


def changed(experiment: Experiment, changes: Iterable[Change]) -> Experiment:
    """Return the experiment with other settings.

    Raises:
        ConfigurationError: They do not fit together.
    """
    data = experiment.resolved()
    for change in changes:
        for key, value in change.settings.items():
            section = data
            for part in key[:-1]:
                section = section[part]
            section[key[-1]] = value
    return validate(Experiment, data, "the experiment with other settings")
