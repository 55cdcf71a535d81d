"""Words that come from a node: shown to people and written into records, so they are made harmless first."""

from qiskit_fedqml import errors
from qiskit_fedqml.errors import FedQMLError, TrainingError, shortened
from qiskit_fedqml.flower.protocol import Failure


def plain(text: str, most: int = 500) -> str:
    """Return a text on one line, without control characters, and cut."""
    return shortened(" ".join("".join(c if c.isprintable() else " " for c in text).split()), most)


def error_of(failure: Failure, who: str) -> FedQMLError:
    """Return a node's error as the one that it was there.

    Args:
        failure: What the node answered.
        who: What the error calls the node.
    """
    kind = getattr(errors, failure.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, FedQMLError)):
        kind = TrainingError
    error: FedQMLError = kind(f"{who}: {plain(failure.text)}")
    return error
