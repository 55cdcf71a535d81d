"""Who is taken for a member of the training data: how often rightly, as rows and as curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from parts.membership import area, confidences, likelihood_ratios, members_of, pool_of, roc, true_positives_at
from parts.privacy_design import DELTA, MODELS, PROTECTIONS, protections
from qiskit_fedqml import load_classifier
from qiskit_fedqml.report.drawing import COLOURS, DASHES
from qiskit_fedqml.study.statistics import in_decimals, mean_interval
from qiskit_fedqml.study.study import Study, Trial

FALSE_POSITIVES = 0.01


def scheme_of(model: str, protection: str) -> str:
    """Return what the runs of a model and a protection are called."""
    return f"{model}: {protection}"


@dataclass(frozen=True)
class Guesses:
    """What attackers find of runs of one model and protection.

    Args:
        members: Who was trained on, shape (runs, examples).
        confidences: The final models' in each example's own class, of the same shape.
        ratios: The likelihood ratios of LiRA, of the same shape.
        is_right: Whether the models answer rightly, of the same shape.
        epsilon: What the runs have spent; None without differential privacy.
    """

    members: NDArray[np.bool_]
    confidences: NDArray[np.float64]
    ratios: NDArray[np.float64]
    is_right: NDArray[np.bool_]
    epsilon: float | None


def guesses(study: Study, runs: Path, size: int) -> dict[tuple[str, str], Guesses]:
    """Return what attackers find, by model and protection.

    Args:
        study: The runs.
        runs: The folder of their result folders, which have the models.
        size: How many examples the pool has.
    """
    pixels, labels = pool_of(size)
    found = {}
    for model in MODELS:
        for protection in protections(is_one_step=False):
            logits, members, epsilons = [], [], []
            for seed, run in study.of(scheme_of(model, protection)).items():
                folder = Trial(scheme_of(model, protection), run.experiment).folder(runs)
                logits.append(load_classifier(folder).predict_features(pixels).logits)
                members.append(members_of(size, seed))
                epsilons.append(getattr(run.final, "epsilon", None))
            scores, truth = np.array([confidences(each, labels) for each in logits]), np.array(members)
            is_right = np.array(logits).argmax(axis=2) == labels
            spent = max((e for e in epsilons if e is not None), default=None)
            found[model, protection] = Guesses(truth, scores, likelihood_ratios(scores, truth), is_right, spent)
    return found


def membership_rows(found: Mapping[tuple[str, str], Guesses]) -> list[dict[str, str]]:
    """Return a row for each model and protection; AUCs and accuracies have intervals over the runs."""
    rows = []
    for (model, protection), of in found.items():
        pairs = list(zip(of.confidences, of.ratios, of.members, of.is_right, strict=True))
        is_bounded = of.epsilon is not None and protection == "examples"
        bound = "" if not is_bounded else f"{100 * min(1.0, np.exp(of.epsilon) * FALSE_POSITIVES + DELTA):.1f}"
        rows.append(
            {
                "Model": model,
                "Differential privacy": protection,
                "ε": "" if of.epsilon is None else f"{of.epsilon:.2f}",
                "Members right (%)": _percent([right[member].mean() for _, _, member, right in pairs]),
                "Others right (%)": _percent([right[~member].mean() for _, _, member, right in pairs]),
                "AUC, loss": in_decimals(mean_interval(area(c, m) for c, _, m, _ in pairs), 3),
                "AUC, LiRA": in_decimals(mean_interval(area(r, m) for _, r, m, _ in pairs), 3),
                "Found at 1%, loss (%)": f"{100 * true_positives_at(FALSE_POSITIVES, of.confidences, of.members):.1f}",
                "Found at 1%, LiRA (%)": f"{100 * true_positives_at(FALSE_POSITIVES, of.ratios, of.members):.1f}",
                "At most, by ε (%)": bound,
            }
        )
    return rows


def _percent(values: Sequence[float]) -> str:
    return in_decimals(mean_interval(values), 1, scale=100.0)


def member_figure(found: Mapping[tuple[str, str], Guesses]) -> Figure:
    """Draw how many members are found against how many others are taken for members, for each model."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    for axis, model in zip(figure.subplots(1, len(MODELS), sharey=True), MODELS, strict=True):
        kinds = {protection: of for (name, protection), of in found.items() if name == model}
        for colour, (protection, of) in zip(COLOURS, kinds.items(), strict=False):
            for dash, (attack, scores) in zip(DASHES, (("LiRA", of.ratios), ("loss", of.confidences)), strict=False):
                false, true = roc(scores, of.members)
                axis.plot(false, true, dash, color=colour, linewidth=1.4, label=f"{PROTECTIONS[protection]}, {attack}")
        ends = np.array([1e-3, 1.0])
        axis.plot(ends, ends, color="0.6", linewidth=1, label="by chance")
        axis.set(xscale="log", yscale="log", xlim=(1e-3, 1), ylim=(1e-3, 1), title=model)
        axis.set_xlabel("Others that are taken for members")
        axis.grid(alpha=0.3, linewidth=0.6)
    figure.axes[0].set_ylabel("Members that are found")
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure
