"""The size of a run, in sentences."""

from dataclasses import dataclass

_MANY = 100
"""Trained parameters for each training example, from which a model will learn its examples by heart."""


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
    """

    examples: int
    test_examples: int
    classes: tuple[str, ...]
    clients: int
    smallest: int
    largest: int
    parameters: int

    def __str__(self) -> str:
        held = f"{self.smallest:,}" if self.smallest == self.largest else f"{self.smallest:,} to {self.largest:,}"
        each = " each" if self.clients > 1 else ""
        return (
            f"{self.examples:,} training examples of {len(self.classes)} classes, {self.test_examples:,} for tests; "
            f"{self.clients:,} {'client' if self.clients == 1 else 'clients'} with {held}{each}; "
            f"{self.parameters:,} trained parameters"
        )

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
