"""The options of buffered asynchronous aggregation."""

from typing import Annotated

from pydantic import Field

from qiskit_fedqml.config.strict import Integer, Number, PositiveInteger, StrictModel


class BufferedOptions(StrictModel):
    """FedBuff (arXiv:2106.06639).

    ``buffer`` is K, the number of updates that make a server step. An update that started s server steps ago counts
    (1 + s) to the power −``staleness_exponent``; one with s above ``max_staleness`` is not aggregated.
    """

    buffer: PositiveInteger
    """How many updates make a server step."""
    staleness_exponent: Annotated[Number, Field(ge=0.0, le=20.0)] = 0.5
    """An update from s server steps ago counts (1 + s) to the power of minus this."""
    max_staleness: Annotated[Integer, Field(ge=0, le=1_000_000)] | None = None
    """Updates from more server steps ago are not aggregated; none takes all."""


class Buffered(StrictModel):
    """Asynchronous federation: the server steps whenever so many updates have arrived."""

    buffered: BufferedOptions
    """Asynchronous federation: the server steps whenever so many updates have arrived."""

    def check_sizes(self, at_work: int, clients: int, least: int) -> None:
        """Refuse a buffer that cannot fill up, one that waits for all clients, and one that is never enough.

        Args:
            at_work: How many clients are at work at a time.
            clients: How many there are.
            least: How many must return in a server step.

        Raises:
            ValueError: It does.
        """
        if self.buffered.buffer > at_work:
            raise ValueError(
                f"algorithm.buffered.buffer ({self.buffered.buffer}) must be at most clients_per_round "
                f"({at_work}), the clients that are at work at a time"
            )
        if least > self.buffered.buffer:
            raise ValueError(
                f"min_clients ({least}) must be at most algorithm.buffered.buffer ({self.buffered.buffer}), the "
                "updates that make a server step"
            )
        if self.buffered.buffer == clients:
            raise ValueError("a buffer of all clients waits for each of them: that is the algorithm synchronous")
