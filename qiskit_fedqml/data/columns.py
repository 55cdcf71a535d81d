"""Which columns of a table are used, and what they lack."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Columns:
    """What became of a table's columns.

    Args:
        features: The columns of numbers that are features.
        categories: Those of text, of which each value is a feature.
        left_out: All others but the label.
        missing: How many values each column lacks that is used, in the training and the test file; only those that
            lack some.
        dropped_rows: How many rows are left out because of that.
    """

    features: tuple[str, ...]
    categories: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    missing: Mapping[str, int] = field(default_factory=dict)
    dropped_rows: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return all of it as a run's description keeps it."""
        return {
            "features": list(self.features),
            "categories": list(self.categories),
            "left_out": list(self.left_out),
            "missing": dict(self.missing),
            "dropped_rows": self.dropped_rows,
        }
