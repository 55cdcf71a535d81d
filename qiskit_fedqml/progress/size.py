"""The size of a run, in sentences."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from qiskit_fedqml.errors import listed

_MANY = 100
"""Trained parameters for each training example, from which a model will learn its examples by heart."""

_SEVERAL = 2
_MOST_MACHINES = 6


@dataclass(frozen=True)
class RunSize:
    """How large a run is.

    Args:
        examples: Training examples of all clients.
        test_examples: Those of the server.
        classes: Names of the classes.
        clients: How many clients there are.
        smallest: Examples of the client that has the fewest.
        largest: Examples of the client that has the most.
        parameters: Trained parameters.
        machines: How many clients each machine has, by its name; empty where that is not fixed.
    """

    examples: int
    test_examples: int
    classes: tuple[str, ...]
    clients: int
    smallest: int
    largest: int
    parameters: int
    machines: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        held = f"{self.smallest:,}" if self.smallest == self.largest else f"{self.smallest:,} to {self.largest:,}"
        each = " each" if self.clients > 1 else ""
        return (
            f"{self.examples:,} training examples of {len(self.classes)} classes, {self.test_examples:,} for tests; "
            f"{self.clients:,} {'client' if self.clients == 1 else 'clients'} with {held}{each}{self._array}; "
            f"{self.parameters:,} trained parameters"
        )

    @property
    def _array(self) -> str:
        """How many clients are on which machine; empty where there is one machine."""
        if len(self.machines) < _SEVERAL:
            return ""
        return ", " + listed((f"{count:,} on {name}" for name, count in self.machines.items()), _MOST_MACHINES)

    @property
    def warning(self) -> str:
        """Why this model is too large for its data; empty if it is not."""
        if self.parameters <= _MANY * self.examples:
            return ""
        return (
            f"{self.parameters:,} trained parameters are {self.parameters // self.examples:,} for each training "
            "example; a smaller head (`model.hidden`), or fewer features (`features.pooling: average`), learns less "
            "of them by heart"
        )
