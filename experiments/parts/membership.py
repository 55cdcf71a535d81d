"""Whether an example was trained on, guessed from the final model of a federation."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from torch.utils.data import TensorDataset

from parts.command_line import experiment_file
from qiskit_fedqml import load_experiment
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.data.digit_pixels import digit_pixels
from qiskit_fedqml.errors import ConfigurationError

CLIENTS = 5
DIGITS = (3, 5, 8, 9)
"""Those that are taken for each other most."""

_FEWEST_DEVIATION = 1e-3


def pool_of(size: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the examples of which each run trains on some, the same for all runs: pixels from 0 to 1, and classes.

    Raises:
        ConfigurationError: There are not so many.
    """
    pixels, labels = digit_pixels()
    order = np.random.default_rng(0).permutation(np.flatnonzero(np.isin(labels, DIGITS)))
    if size > len(order):
        raise ConfigurationError(f"--pool must be at most {len(order)}, the number of these digits, but is {size}.")
    return pixels[order[:size]] / 16, np.searchsorted(DIGITS, labels[order[:size]])


def members_of(size: int, seed: int) -> NDArray[np.bool_]:
    """Return which examples of the pool a run trains on: each with probability ½, whatever the others do."""
    return np.random.default_rng([1, seed]).random(size) < 0.5


def memberships(size: int, seed: int) -> tuple[list[TensorDataset], TensorDataset]:
    """Return the members of a run, shared out to five clients by their places in the pool, and the others for tests.

    Args:
        size: How many examples the pool has.
        seed: Seed of who is a member.
    """
    pixels, labels = (torch.tensor(array) for array in pool_of(size))
    is_member = members_of(size, seed)
    parts = [[place for place in range(k, size, CLIENTS) if is_member[place]] for k in range(CLIENTS)]
    others = np.flatnonzero(~is_member)
    return [TensorDataset(pixels[part].float(), labels[part]) for part in parts], TensorDataset(
        pixels[others].float(), labels[others]
    )


def membership_experiment(size: int, seed: int, changes: Mapping[str, Any]) -> Experiment:
    """Return the experiment of a federation that learns its examples by heart.

    Args:
        size: How many examples the pool has, of which about half are trained on.
        seed: The run's, and that of who is a member.
        changes: Further settings, by dotted key.
    """
    settings: dict[str, Any] = {
        "seed": seed,
        "data": {"python": "parts.membership:memberships", "arguments": {"size": size, "seed": seed}},
        "model.hidden": [64],
        "federation.clients": CLIENTS,
        "federation.clients_per_round": CLIENTS,
        "federation.rounds": 20,
        "federation.local_epochs": 2,
        "federation.batch_size": 5,
        "federation.learning_rate": 0.03,
        "federation.lockstep": "auto",
        "aggregation.weights": "uniform",
        **changes,
    }
    return load_experiment(experiment_file("digits"), settings)


def confidences(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ln(p / (1 − p)) of the probability p of each example's own class (arXiv:2112.03570, Sec. IV.C).

    Args:
        logits: Shape (examples, classes).
        labels: Class indices, shape (examples,).
    """
    own = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    others = np.where(np.arange(logits.shape[1]) == labels[:, None], -np.inf, logits)
    return np.asarray(own - np.logaddexp.reduce(others, axis=1))


def likelihood_ratios(scores: NDArray[np.float64], members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how much likelier each run's confidence is of a model trained on the example than of one that was not.

    The likelihood-ratio attack LiRA (Carlini et al., 2022, arXiv:2112.03570, Algorithm 1): normal distributions are
    fitted to the confidences of all other runs, which are the attacker's shadow models. Their variances are the mean
    over all examples, as the paper has it for few shadow models.

    Args:
        scores: Each run's confidences, shape (runs, examples).
        members: Which examples each run was trained on, of the same shape.

    Returns:
        Log ratios, of the same shape; 0 where the other runs all have or all lack the example.
    """
    found = np.zeros_like(scores)
    for run in range(len(scores)):
        others = np.arange(len(scores)) != run
        fits = []
        for kind in (members[others], ~members[others]):
            of = np.where(kind, scores[others], np.nan)
            known = kind.sum(axis=0) > 0
            mean = np.divide(np.nansum(of, axis=0), kind.sum(axis=0), out=np.zeros(of.shape[1]), where=known)
            deviation = max(float(np.sqrt(np.nanmean((of - mean) ** 2))), _FEWEST_DEVIATION)
            fits.append((mean, deviation, known))
        (with_it, spread, is_in), (without, spread_out, is_out) = fits
        ratio = norm.logpdf(scores[run], with_it, spread) - norm.logpdf(scores[run], without, spread_out)
        found[run] = np.where(is_in & is_out, ratio, 0.0)
    return found


def roc(scores: NDArray[np.float64], members: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return false and true positive rates of saying "member" above each threshold, from (0, 0) to (1, 1).

    Args:
        scores: Higher for members, of any shape.
        members: Who is one, of the same shape.
    """
    order = np.argsort(-scores, axis=None, kind="stable")
    ordered, truth = scores.ravel()[order], members.ravel()[order]
    is_last = np.append(np.diff(ordered) != 0, True)  # equal scores are on one side of any threshold
    false, true = np.cumsum(~truth)[is_last] / (~truth).sum(), np.cumsum(truth)[is_last] / truth.sum()
    return np.append(0.0, false), np.append(0.0, true)


def area(scores: NDArray[np.float64], members: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve: the chance that a member scores higher than another example."""
    false, true = roc(scores, members)
    return float(np.trapezoid(true, false))


def true_positives_at(rate: float, scores: NDArray[np.float64], members: NDArray[np.bool_]) -> float:
    """Return the true positive rate at the highest threshold-wise false positive rate of at most ``rate``."""
    false, true = roc(scores, members)
    return float(true[false <= rate].max())
