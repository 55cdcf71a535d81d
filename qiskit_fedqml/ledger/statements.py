"""What a client signs of its update, and what a link says of it."""

from dataclasses import asdict, dataclass
from typing import Any

from qiskit_fedqml.backends.job import Usage
from qiskit_fedqml.federation.messages import ClientUpdate, State, Status
from qiskit_fedqml.ledger.links import encoded


@dataclass(frozen=True)
class Statement:
    """What a client says of one task. All that the server makes of its update follows from this and the tensors.

    Args:
        client: The client.
        step: The server step that its model came before; in synchronous federations the round.
        start: The digest of that model.
        update: The digest of its update's tensors; None where it has none, as of a client that only tests.
        examples: Examples that it holds.
        success_probability: Of the circuit on its machine; None without one.
        status: What came of its task.
    """

    client: int
    step: int
    start: str
    update: str | None
    examples: int
    success_probability: float | None
    status: str

    def message(self, chain: str) -> bytes:
        """Return what is signed.

        Args:
            chain: The digest of the chain's first link, so that no signature is good for another run.
        """
        return encoded({"chain": chain, **asdict(self)})

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def as_update(self, backend: str, reason: str, state: State | None) -> ClientUpdate:
        """Return the update as the server got it, as far as the aggregate depends on it."""
        status = Status(self.status)
        return ClientUpdate(
            client_id=self.client,
            backend=backend,
            simulator="",
            num_examples=self.examples,
            train_loss=None,
            seconds=0.0,
            usage=Usage(),
            status=status,
            reason="" if status is Status.OK else reason,
            state=state,
            success_probability=self.success_probability,
        )


def entry_of(update: ClientUpdate, weight: float) -> dict[str, Any]:
    """Return what a link says of a client whose server step is done.

    Args:
        update: The update with what became of it.
        weight: Its weight in the aggregate; 0 where it doesn't count.
    """
    said = {"status": str(update.status), "reason": update.reason, "share": update.share, "weight": weight}
    return {"client": update.client_id, "backend": update.backend, **said}
