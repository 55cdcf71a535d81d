"""The best model of a run so far, kept with its checkpoints where `federation.keep_best` asks for it."""

from dataclasses import dataclass
from typing import Any

from qiskit_fedqml.federation.messages import State, States
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.results.checkpoint import Checkpoint

_NAME = "best"


@dataclass(frozen=True)
class BestModel:
    """The global model after the best round.

    Args:
        round: The round.
        model: The trained tensors.
    """

    round: int
    model: State

    @classmethod
    def of(cls, checkpoint: Checkpoint | None, server: ServerState) -> "BestModel | None":
        """Return the one that belongs to a checkpoint, or None where no other than the last is known.

        Args:
            checkpoint: The checkpoint, or None.
            server: The server's state that was in it.
        """
        if checkpoint is None or _NAME not in checkpoint.states:
            return BestModel(server.step, server.model) if server.step else None
        model = {name: tensor.to(server.model[name].device) for name, tensor in checkpoint.states[_NAME].items()}
        return cls(int(checkpoint.header.values[_NAME]), model)


def named(server: ServerState, best: BestModel | None) -> tuple[dict[str, Any], States]:
    """Return plain values and named states of a checkpoint; the best model is left out where it is the last one."""
    values, states = server.named()
    if best is None or best.round == server.step:
        return values, states
    return values | {_NAME: best.round}, states | {_NAME: best.model}
