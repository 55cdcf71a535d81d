"""What a model predicts, and how well."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from qiskit_fedqml.data.examples import ExampleSource

TEST_BATCH = 500
"""Examples that are tested together, in one evaluation of the circuit."""


def predict(model: nn.Module, examples: ExampleSource) -> NDArray[np.float64]:
    """Return a model's logits, shape (examples, classes), with dropout off."""
    model.eval()
    device = next(model.parameters()).device
    with torch.no_grad():
        batches = [
            model(torch.from_numpy(examples.take(positions).features).to(device)).double().cpu()
            for positions in np.split(np.arange(len(examples)), range(TEST_BATCH, len(examples), TEST_BATCH))
        ]
    return torch.cat(batches).numpy()


def loss_and_accuracy(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Return the mean cross-entropy and the share of examples whose largest logit is their class's."""
    loss = cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
    return float(loss), float((logits.argmax(axis=1) == labels).mean())
