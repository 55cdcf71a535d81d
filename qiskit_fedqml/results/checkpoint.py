"""The state of a run after a round, as one file of tensors; nothing is pickled."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.files import save_tensors

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """The state after a round.

    Args:
        round: The last finished round.
        state: The global model's trained tensors.
        optimizers: Kept optimiser states by client: for each parameter its tensors by name.
        centre: The state of the centre's optimiser: for each of its names its tensors.
    """

    round: int
    state: State
    optimizers: dict[int, dict[int, State]] = field(default_factory=dict)
    centre: dict[str, State] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all.

        Raises:
            ResultError: It cannot be written.
        """
        tensors = {f"model/{name}": tensor for name, tensor in self.state.items()}
        for client, parameters in self.optimizers.items():
            for index, values in parameters.items():
                tensors |= {f"optimizer/{client}/{index}/{name}": tensor for name, tensor in values.items()}
        for of, values in self.centre.items():
            tensors |= {f"centre/{of}/{name}": tensor for name, tensor in values.items()}
        save_tensors(path, tensors, {"round": str(self.round)})


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ResultError: It is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            round = int(file.metadata()["round"])
        tensors = load_file(path)
        return _from_tensors(round, tensors)
    except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
        raise ResultError(f"{path} is damaged: {error}.") from error


def _from_tensors(round: int, tensors: State) -> Checkpoint:
    found = Checkpoint(round, {})
    for key, tensor in tensors.items():
        kind, _, rest = key.partition("/")
        if kind == "model":
            found.state[rest] = tensor
        elif kind == "centre":
            of, _, name = rest.partition("/")
            found.centre.setdefault(of, {})[name] = tensor
        else:
            client, index, name = rest.split("/")
            found.optimizers.setdefault(int(client), {}).setdefault(int(index), {})[name] = tensor
    return found
