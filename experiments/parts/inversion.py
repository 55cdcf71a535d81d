"""Pictures rebuilt from what one client sends after a step on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import softmax
from torch.utils.data import TensorDataset

from parts.command_line import experiment_file
from parts.poisoned_digits import CLASSES, digits
from qiskit_fedqml import load_experiment
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.federation.runs.assembly import Federation, assemble

CLIENTS = 4
"""All of a round."""
LEARNING_RATE = 0.1

_STEP = 1e-5
"""Of central differences in pixels."""
_EVALUATIONS = 100

Changes = Mapping[str, NDArray[np.float64]]
"""What has changed in each tensor of a model, in float64."""


@dataclass(frozen=True)
class Round:
    """What attackers see of a round, and what is to be found.

    Args:
        federation: The run, with a model to evaluate gradients on.
        updates: What each client's training has changed, as the server sees it.
        aggregate: What the round has changed in the global model, as all see who get that.
        images: Each client's images, shape (images, 64).
        labels: Their classes.
    """

    federation: Federation
    updates: Sequence[Changes]
    aggregate: Changes
    images: Sequence[NDArray[np.float64]]
    labels: Sequence[NDArray[np.int64]]


def few_digits(images: int, seed: int) -> tuple[list[TensorDataset], TensorDataset]:
    """Return four clients with so many digits each, of all classes in turn, and others for tests.

    Args:
        images: How many.
        seed: Seed of the order of the digits.
    """
    (everything,), test = digits(1, seed)
    pixels, labels = everything.tensors
    ranks = torch.stack([(labels == c).cumsum(0) for c in range(len(CLASSES))])[labels, torch.arange(len(labels))]
    in_turn = torch.argsort(ranks * len(CLASSES) + labels, stable=True)
    parts = [in_turn[images * k : images * (k + 1)] for k in range(CLIENTS)]
    return [TensorDataset(pixels[part], labels[part]) for part in parts], test


def inversion_experiment(images: int, seed: int, *, has_head: bool, changes: Mapping[str, Any]) -> Experiment:
    """Return the experiment of clients that train one step on all of their images.

    Args:
        images: How many each has.
        seed: The run's.
        has_head: Whether a layer of 16 units comes before the paper's circuit, or nothing before a circuit of pixels.
        changes: Further settings, by dotted key.
    """
    circuit = {"python": "parts.pixel_circuit:pixel_circuit"}
    settings: dict[str, Any] = {
        "seed": seed,
        "data": {"python": "parts.inversion:few_digits", "arguments": {"images": images, "seed": seed}},
        "federation.clients": CLIENTS,
        "federation.clients_per_round": CLIENTS,
        "federation.rounds": 1,
        "federation.batch_size": images,
        "federation.optimizer": "sgd",
        "federation.learning_rate": LEARNING_RATE,
        "aggregation.weights": "uniform",
        **({} if has_head else {"model": {"head": "none", "circuit": circuit}}),
        **changes,
    }
    return load_experiment(experiment_file("digits"), settings)


def round_of(experiment: Experiment) -> Round:
    """Let the clients train for a round, and return what is seen of it.

    Raises:
        FedQMLError: As a run.
    """
    federation = assemble(experiment, None, None)
    before = federation.initial.model
    updates = list(federation.executor.run(federation.algorithm.next_tasks(federation.initial)))
    after, _ = federation.algorithm.apply(federation.initial, iter(updates))
    shards = [federation.data.clients.open(client) for client in range(CLIENTS)]
    examples = [shard.take(range(len(shard))) for shard in shards]
    return Round(
        federation,
        [_change(before, update.state) for update in updates if update.state is not None],
        _change(before, after.model),
        [of.features.astype(np.float64) for of in examples],
        [of.labels for of in examples],
    )


def _change(before: State, after: State) -> Changes:
    return {name: (after[name].double() - tensor.double()).numpy() for name, tensor in before.items()}


def from_first_layer(change: Changes) -> NDArray[np.float64]:
    """Return a picture for each unit of the first layer: the change of its weights over that of its bias.

    A linear layer's gradient by its weights is that by its bias times the input, so with one image each unit that is
    active gives the image (Phong et al., 2018, Sec. 3; Geiping et al., 2020, arXiv:2003.14053, Prop. 3.1); with
    several, a mean of those for which it is active.

    Returns:
        Shape (units, 64), from 0 to 1, the unit with the largest change of its bias first; units that have not changed
        are left out.
    """
    weight, bias = (change[f"head.0.{name}"] for name in ("weight", "bias"))
    active = np.flatnonzero(np.abs(bias) > 0)
    order = active[np.argsort(-np.abs(bias[active]), kind="stable")]
    return np.clip(weight[order] / bias[order, None], 0.0, 1.0)


def through_circuit(found: Round, client: int, starts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the image whose gradient is nearest to what was sent, as in DLG (Zhu et al., 2019, arXiv:1906.08935).

    Where the paper has L-BFGS from random numbers, here a trust-region method for least squares looks for it between 0
    and 1, with derivatives by central differences; the label is known, which is easily found out (arXiv:2001.02610).

    Args:
        found: A round of one step on one image, of a circuit without a head.
        client: Whose image is looked for.
        starts: The images from which the search begins, each of shape (64,); the best end is returned.
    """
    network, label = found.federation.evaluator.model.network, int(found.labels[client][0])
    assert network is not None
    weights = found.federation.initial.model["quantum.weight"].double().numpy()
    sent = -found.updates[client]["quantum.weight"] / LEARNING_RATE

    def gradients(images: NDArray[np.float64]) -> NDArray[np.float64]:
        values, jacobian = network.evaluate(images, weights, jacobian=True, of="weights")
        of_logits = softmax(values, axis=1) - np.eye(values.shape[1])[label]
        return np.asarray(np.einsum("bo,bow->bw", of_logits, jacobian[:, :, network.num_inputs :]))

    def slopes(image: NDArray[np.float64]) -> NDArray[np.float64]:
        steps = _STEP * np.eye(len(image))
        both = gradients(np.concatenate([image + steps, image - steps]))
        return np.asarray((both[: len(image)] - both[len(image) :]).T / (2 * _STEP))

    ends = [
        least_squares(
            lambda image: gradients(image[None])[0] - sent,
            np.clip(start, 0.01, 0.99),
            jac=slopes,
            bounds=(-1e-3, 1.0 + 1e-3),
            max_nfev=_EVALUATIONS,
        )
        for start in starts
    ]
    return np.asarray(np.clip(min(ends, key=lambda end: end.cost).x, 0.0, 1.0))


def mean_digits(seed: int) -> NDArray[np.float64]:
    """Return the mean of the digits of each class that are kept for tests, shape (classes, 64).

    It is what an attacker guesses that knows the label and has seen no update.
    """
    pixels, labels = (tensor.numpy() for tensor in digits(1, seed)[1].tensors)
    return np.array([pixels[labels == label].mean(axis=0, dtype=np.float64) for label in range(len(CLASSES))])
