"""What a model predicts, and how well."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp
from torch import nn
from torch.nn.functional import cross_entropy

from qiskit_fedqml.data.examples import ExampleSource
from qiskit_fedqml.model.losses import Loss

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


def loss_and_accuracy(
    logits: NDArray[np.float64], labels: NDArray[np.int64], loss: Loss = cross_entropy
) -> tuple[float, float]:
    """Return the mean loss and the share of examples whose largest logit is their class's.

    Args:
        logits: Shape (examples, classes).
        labels: Class indices, shape (examples,).
        loss: The loss; cross-entropy is summed in double precision, one of the user's own in that of training.
    """
    outputs, classes = torch.from_numpy(logits), torch.from_numpy(labels)
    if loss is not cross_entropy:
        device = next((b.device for b in loss.buffers()), None) if isinstance(loss, nn.Module) else None
        outputs, classes = outputs.float().to(device), classes.to(device)
    with torch.no_grad():
        mean = float(loss(outputs, classes))
    return mean, float((logits.argmax(axis=1) == labels).mean())


def highest_probability(observables: Sequence[SparsePauliOp]) -> float:
    """Return the most that the softmax of expectations can be; for Z of two classes it is 1 / (1 + e⁻²), or 88%.

    Args:
        observables: One for each class. Its expectations lie within the sum of its coefficients' sizes, but for the
            identity's, which are constant.
    """
    centres = np.array([np.real(of.coeffs[~(of.paulis.x | of.paulis.z).any(axis=1)]).sum() for of in observables])
    widths = np.array([np.abs(of.coeffs[(of.paulis.x | of.paulis.z).any(axis=1)]).sum() for of in observables])
    highest, lowest = centres + widths, centres - widths
    others = [np.logaddexp.reduce(np.delete(lowest, k)) for k in range(len(highest))]
    return float(np.max(1 / (1 + np.exp(np.array(others) - highest))))
