"""What rebuilt pictures look like: how like the images they are, as rows, and side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from parts.image_likeness import decibels, similarity
from parts.inversion import Round, from_first_layer, inversion_experiment, mean_digits, round_of, through_circuit
from parts.privacy_design import CASES, PROTECTIONS, Case, protections
from qiskit_fedqml.study.statistics import in_decimals, mean_interval

_SHOWN = 4


@dataclass(frozen=True)
class Rebuilt:
    """Pictures that were rebuilt of a round.

    Args:
        case: The round's.
        protection: What protects the clients.
        seed: The run's.
        images: What was to be found, shape (images, 64).
        pictures: What was found, of the same shape.
        means: The mean digit of each image's class, of the same shape.
    """

    case: Case
    protection: str
    seed: int
    images: NDArray[np.float64]
    pictures: NDArray[np.float64]
    means: NDArray[np.float64]


def rebuilt(seeds: int) -> Iterator[Rebuilt]:
    """Run the rounds of all cases and protections, and give what is rebuilt of each."""
    for case in CASES:
        for protection, settings in protections(is_one_step=True).items():
            for seed in range(1, seeds + 1):
                changes = {**case.changes, **settings}
                found = round_of(inversion_experiment(case.images, seed, has_head=case.has_head, changes=changes))
                images, means = np.concatenate(list(found.images)), mean_digits(seed)
                pictures = _pictures(case, found, means)
                yield Rebuilt(case, protection, seed, images, pictures, means[np.concatenate(list(found.labels))])


def _pictures(case: Case, found: Round, means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each image the picture that attackers get; where they get several, the one that is most like it."""
    if not case.has_head:
        starts = [[means[int(labels[0])], means.mean(axis=0)] for labels in found.labels]
        return np.array([through_circuit(found, client, of) for client, of in enumerate(starts)])
    chosen = []
    for client, images in enumerate(found.images):
        pictures = from_first_layer(found.updates[client] if case.sees == "update" else found.aggregate)
        pictures = pictures if len(pictures) else means
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
            guessed = mean_interval(measure(of.means, of.images).mean() for of in runs)
            row[f"{name} of the mean digit"] = in_decimals(guessed, digits)
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
        part[0, 0].set_title(PROTECTIONS[kind], fontsize=10, loc="left")
        rows = [of for of in first if of.protection == kind]
        for row, images in zip(part, [rows[0].images, *(of.pictures for of in rows)], strict=True):
            for axis, image in zip(row, images, strict=False):
                axis.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_color("0.8")
    for axis, title in zip(axes[:, 0], titles, strict=True):
        axis.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9)
    return figure
