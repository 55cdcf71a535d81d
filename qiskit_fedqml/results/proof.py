"""What proves that a file of records begins with the lines that a run wrote."""

from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any


@dataclass(frozen=True)
class Proof:
    """What proves the first lines of a file of records.

    Args:
        rounds: Number of lines.
        num_bytes: Their length.
        sha256: Their digest.
    """

    rounds: int
    num_bytes: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


NOTHING = Proof(0, 0, sha256().hexdigest())
"""Proves no line."""
