"""The state of a run after a server step, as one file of tensors that proves itself whole; nothing is pickled.

Whoever has state names it (:meth:`~qiskit_fedqml.federation.server_state.ServerState.named`). The file's metadata
list the names and the digest of each tensor, so nothing is read out of names.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from qiskit_fedqml.errors import ResultError, shown
from qiskit_fedqml.federation.messages import State, States
from qiskit_fedqml.files import save_tensors
from qiskit_fedqml.results.header import Header, load_header


@dataclass(frozen=True)
class Checkpoint:
    """A state with its header.

    Args:
        header: Run, plain values, and proof of the records.
        states: Tensors by the state's name and their own.
    """

    header: Header
    states: States

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all.

        Raises:
            ResultError: It cannot be written.
        """
        body = {
            "run_id": self.header.run_id,
            "values": self.header.values,
            "records": self.header.records.as_json(),
            "tensors": {
                name: {key: digest_of(tensor) for key, tensor in state.items()} for name, state in self.states.items()
            },
        }
        tensors = {f"{name}/{key}": tensor for name, state in self.states.items() for key, tensor in state.items()}
        text = json.dumps(body)
        save_tensors(path, tensors, {"checkpoint": text, "sha256": sha256(text.encode()).hexdigest()})


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, and check each of its tensors against its digest.

    Raises:
        ResultError: It is damaged, or of version 0.1, which proved nothing.
    """
    header, body = load_header(path)
    try:
        tensors = load_file(path)
        names = body["tensors"] if "tensors" in body else {name: of["tensors"] for name, of in body["states"].items()}
        states = {name: {key: tensors[f"{name}/{key}"] for key in keys} for name, keys in names.items()}
    except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
        raise ResultError(f"{path} is damaged: {error}.") from error
    if damaged := next(_damaged(states, body), None):
        raise ResultError(f"{path} is damaged: the digest of {shown(damaged)} is another one.")
    return Checkpoint(header, states)


def _damaged(states: States, body: Mapping[str, Any]) -> Iterator[str]:
    """Give the names of what is not as it was written; before there were digests of tensors, each state had one."""
    if "tensors" not in body:
        yield from (name for name, state in states.items() if _digest_of_state(state) != body["states"][name]["sha256"])
        return
    for name, state in states.items():
        digests = body["tensors"][name]
        yield from (f"{name}/{key}" for key, tensor in state.items() if digest_of(tensor) != digests[key])


def digest_of(tensor: torch.Tensor) -> str:
    """Return the SHA-256 of a tensor: type, shape and bytes."""
    digest = sha256(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
    if tensor.numel():
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _digest_of_state(state: State) -> str:
    digest = sha256()
    for name, tensor in state.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():
            digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
