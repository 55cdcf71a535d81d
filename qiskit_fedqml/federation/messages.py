"""What server and clients send each other. It imports neither Qiskit nor the network."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qiskit_fedqml.backends.job import Usage

State = dict[str, torch.Tensor]
"""The trained tensors by name."""


@dataclass(frozen=True)
class ClientTask:
    """One client's work in one round.

    Args:
        round: The round, from 1.
        client_id: The client, from 0.
        backend: Name of the client's backend.
        rows: Rows of the training data that the client holds.
        state: The global model, of which the client starts.
        trains: Whether it trains; otherwise it tests the global model on its data.
    """

    round: int
    client_id: int
    backend: str
    rows: NDArray[np.intp]
    state: State
    trains: bool = True


@dataclass(frozen=True)
class ClientUpdate:
    """What a client returns.

    Args:
        client_id: The client.
        backend: Name of its backend.
        simulator: What computed its circuits; ``"none"`` without a quantum layer.
        num_examples: Examples that it holds: its weight in the average.
        train_loss: Mean loss over the examples of the last local epoch, dropout on; of a client that only tests, the
            global model's loss on its data. None if it failed.
        seconds: Time that it took.
        usage: What it asked of its backend.
        status: ``"ok"``, ``"tested"``, or why there is nothing to aggregate.
        state: Its trained tensors, or None. They are the worker's own: use them before the next client runs.
        accuracy: The global model's on its data, if it only tests.
        calibration: Of its device: name, date, and the figures of the qubits used; None without one.
        started: When it started, on the clock of ``time.perf_counter``.
        success_probability: Estimated chance that no gate and no readout of the circuit errs on its backend; None
            without a circuit, or where the backend could not be opened.
        share: Its part of the round's average, from 0 to 1; the centre fills it in.
    """

    client_id: int
    backend: str
    simulator: str
    num_examples: int
    train_loss: float | None
    seconds: float
    usage: Usage
    status: str
    state: State | None
    accuracy: float | None = None
    calibration: dict[str, Any] | None = None
    started: float = 0.0
    success_probability: float | None = None
    share: float = 0.0
