"""What attacks on privacy find: how like rebuilt pictures are, and who is taken for a member."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from parts.image_likeness import decibels, similarity
from parts.inversion import Round, from_first_layer, inversion_experiment, mean_digit, round_of, through_circuit
from parts.membership import area, confidences, likelihood_ratios, members_of, pool_of, roc, true_positives_at
from parts.privacy_design import CASES, DELTA, MODELS, UNPROTECTED, Case, protections
from qiskit_fedqml import load_classifier
from qiskit_fedqml.report.drawing import COLOURS, DASHES
from qiskit_fedqml.study.statistics import in_decimals, mean_interval
from qiskit_fedqml.study.study import Study, Trial

FALSE_POSITIVES = 0.01
_SHOWN = 4
_PROTECTION = {
    UNPROTECTED: "no differential privacy",
    "examples": "privacy of examples",
    "clients": "privacy of clients",
}


@dataclass(frozen=True)
class Rebuilt:
    """Pictures that were rebuilt of a round.

    Args:
        case: The round's.
        protection: What protects the clients.
        seed: The run's.
        images: What was to be found, shape (images, 64).
        pictures: What was found, of the same shape.
    """

    case: Case
    protection: str
    seed: int
    images: NDArray[np.float64]
    pictures: NDArray[np.float64]


def rebuilt(seeds: int) -> Iterator[Rebuilt]:
    """Run the rounds of all cases and protections, and give what is rebuilt of each."""
    for case in CASES:
        for protection, settings in protections(is_one_step=True).items():
            for seed in range(1, seeds + 1):
                changes = {**case.changes, **settings}
                found = round_of(inversion_experiment(case.images, seed, has_head=case.has_head, changes=changes))
                images = np.concatenate(list(found.images))
                yield Rebuilt(case, protection, seed, images, _pictures(case, found, seed))


def _pictures(case: Case, found: Round, seed: int) -> NDArray[np.float64]:
    """Return for each image the picture that attackers get; where they get several, the one that is most like it."""
    if not case.has_head:
        return np.array([through_circuit(found, client, mean_digit(seed)) for client in range(len(found.images))])
    chosen = []
    for client, images in enumerate(found.images):
        pictures = from_first_layer(found.updates[client] if case.sees == "update" else found.aggregate)
        pictures = pictures if len(pictures) else mean_digit(seed)[None]
        if len(images) == 1 and case.sees == "update":
            chosen.append(pictures[0])
        else:
            chosen += [pictures[decibels(pictures, image).argmax()] for image in images]
    return np.array(chosen)


def inversion_rows(found: Sequence[Rebuilt]) -> list[dict[str, str]]:
    """Return a row for each case and protection, with intervals over the seeds."""
    rows = []
    for case, protection in dict.fromkeys((of.case.title, of.protection) for of in found):
        runs = [of for of in found if (of.case.title, of.protection) == (case, protection)]
        row = {"Client's step": case, "Differential privacy": protection}
        for name, measure, digits in (("PSNR (dB)", decibels, 1), ("SSIM", similarity, 2)):
            row[name] = in_decimals(mean_interval(measure(of.pictures, of.images).mean() for of in runs), digits)
            guessed = [measure(np.broadcast_to(mean_digit(of.seed), of.images.shape), of.images).mean() for of in runs]
            row[f"{name} of the mean digit"] = in_decimals(mean_interval(guessed), digits)
        rows.append(row)
    return rows


def picture_figure(found: Sequence[Rebuilt]) -> Figure:
    """Draw four images of the first seed, one of each class, and what is rebuilt of them: rows are cases."""
    first = [of for of in found if of.seed == 1]
    kinds = list(dict.fromkeys(of.protection for of in first))
    titles = ["what was to be found", *dict.fromkeys(of.case.title for of in first)]
    figure = Figure(figsize=(2.6 + 3.2 * len(kinds), 0.85 * len(titles)), layout="constrained")
    axes = figure.subplots(len(titles), _SHOWN * len(kinds), squeeze=False)
    for place, kind in enumerate(kinds):
        part = axes[:, _SHOWN * place : _SHOWN * (place + 1)]
        part[0, 0].set_title(_PROTECTION[kind], fontsize=10, loc="left")
        rows = [of for of in first if of.protection == kind]
        for row, images in zip(part, [rows[0].images, *(of.pictures for of in rows)], strict=True):
            for axis, image in zip(row, images, strict=False):
                axis.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_color("0.8")
    for axis, title in zip(axes[:, 0], titles, strict=True):
        axis.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9)
    return figure


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
                axis.plot(false, true, dash, color=colour, linewidth=1.4, label=f"{_PROTECTION[protection]}, {attack}")
        ends = np.array([1e-3, 1.0])
        axis.plot(ends, ends, color="0.6", linewidth=1, label="by chance")
        axis.set(xscale="log", yscale="log", xlim=(1e-3, 1), ylim=(1e-3, 1), title=model)
        axis.set_xlabel("Others that are taken for members")
        axis.grid(alpha=0.3, linewidth=0.6)
    figure.axes[0].set_ylabel("Members that are found")
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def in_words(runs: int, size: int, clients: int) -> str:
    """Return what the figures are, and what they do not show."""
    paragraphs = [text.format(runs=runs, size=size, clients=clients) for text in _ABOUT]
    return "\n\n".join(fill(" ".join(text.split()), 120) for text in paragraphs)


_ABOUT = (
    """**Pictures from a step.** Each of four clients takes one step of SGD on all of its images of digits 0 to 3,
    unless a row says otherwise. PSNR (at most 60 dB here) and SSIM compare what is rebuilt with the image: means
    over all clients and images. "Of the mean digit" is the same for an attacker that has seen no update and guesses
    the mean of digits that no client holds. With a layer of 16 units before the paper's circuit, the change of a
    unit's weights divided by that of its bias is the image (arXiv:2003.14053); with several images each unit gives
    another mixture, and the most similar one is compared with each image, so that those figures are what an
    attacker has among 16 pictures and not what it would choose. With a circuit of 64 pixels and 64 weights alone,
    the image is looked for whose gradient is what was sent, as in DLG (arXiv:1906.08935): by least squares, from
    the mean digit on, with the label known. "Aggregate" is what the round of four clients changes in the global
    model.""",
    """**Members of the training data.** {size} digits 3, 5, 8 and 9 of which each is a member of a run's training
    data with probability ½; {runs} runs, {clients} clients, a head of 64 units, 20 rounds of 2 local epochs, which
    overfit. The attacker has the final model. "Loss": an example whose loss is low is taken for a member (Yeom et
    al., 2018, arXiv:1709.01604, Adversary 2). "LiRA": the likelihood ratio of the confidence among all other runs,
    the shadow models (Carlini et al., 2022, arXiv:2112.03570). AUC is ½ by chance, and its intervals are over runs.
    "Found at 1%" is the part of members that is found while 1% of the others are taken for members, over all runs
    together.""",
    """**Not shown:** attackers that choose the model which clients start from, or that see several rounds of one
    client; optimisation with knowledge of what digits look like; LiRA with many shadow models, which finds
    more.""",
)
