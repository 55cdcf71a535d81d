"""What a model predicts, and how well."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from qiskit_fedqml.data.examples import Examples
from qiskit_fedqml.model.classifier import HybridClassifier

TEST_BATCH = 500
"""Examples that are tested together, in one evaluation of the circuit."""


def predict(model: HybridClassifier, examples: Examples, rows: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
    """Return the model's logits, shape (examples, classes), for all examples or some rows, with dropout off."""
    model.eval()
    device = next(model.parameters()).device
    rows = np.arange(len(examples.labels)) if rows is None else rows
    with torch.no_grad():
        batches = [
            model(torch.from_numpy(examples.features[rows[start : start + TEST_BATCH]]).to(device)).double().cpu()
            for start in range(0, len(rows), TEST_BATCH)
        ]
    return torch.cat(batches).numpy()


def loss_and_accuracy(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Return the mean cross-entropy and the share of examples whose largest logit is their class's."""
    loss = cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
    return float(loss), float((logits.argmax(axis=1) == labels).mean())
