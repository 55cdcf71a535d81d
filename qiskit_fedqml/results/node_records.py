"""What is recorded of the nodes of a federation without a server."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any


@dataclass(frozen=True, slots=True)
class NodesRecord:
    """The nodes after a step.

    Args:
        present: Nodes that were there.
        messages: Models that were sent along edges, each direction by itself.
        consensus_distance: √(1/n · Σ_i ‖x_i − x̄‖²) over all n nodes, present or not, with x̄ the mean of their models
            x_i; over all trained tensors together.
        accuracy: Mean of the accuracies of the nodes' own models on the test data, on the server's backend; None where
            they were not tested after this step.
        lowest_accuracy: The lowest of them.
        highest_accuracy: The highest of them.
    """

    present: int
    messages: int
    consensus_distance: float
    accuracy: float | None = None
    lowest_accuracy: float | None = None
    highest_accuracy: float | None = None

    @classmethod
    def of(cls, present: int, messages: int, consensus_distance: float, accuracies: Sequence[float]) -> "NodesRecord":
        """Make a record of each node's accuracy, or of none."""
        if not accuracies:
            return cls(present, messages, consensus_distance)
        of_nodes = fmean(accuracies), min(accuracies), max(accuracies)
        return cls(present, messages, consensus_distance, *of_nodes)

    def as_json(self) -> dict[str, Any]:
        """Return the record as plain values; accuracies are not written where there are none."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "NodesRecord":
        """Read a record from a line's values.

        Raises:
            TypeError: One is missing, or there is an unknown one.
        """
        return cls(**values)
