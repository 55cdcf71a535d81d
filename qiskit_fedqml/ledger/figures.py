"""The figures of records that a ledger proves: tests and losses, but no times and no charges, which change later."""

from collections.abc import Iterable
from hashlib import sha256

from qiskit_fedqml.ledger.links import encoded
from qiskit_fedqml.results.records import RoundRecord

_FIGURES = (
    *("round", "train_loss", "test_loss", "test_accuracy", "validation_loss", "validation_accuracy"),
    *("evaluations", "metrics"),
)


def digest_of_figures(records: Iterable[RoundRecord]) -> str:
    """Return the SHA-256 of the figures of all rounds."""
    digest = sha256()
    for record in records:
        digest.update(encoded([getattr(record, name) for name in _FIGURES]) + b"\n")
    return digest.hexdigest()
