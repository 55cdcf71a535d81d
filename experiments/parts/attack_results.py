"""What the runs of the attacks show: accuracy and the attackers' success, as values and as rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parts.attack_design import ATTACKS, CLEAN, DEFENCES, UNDEFENDED
from parts.poisoned_digits import CLASSES, TARGET, digits, flipped_class, with_trigger
from qiskit_fedqml import RunResult, load_classifier
from qiskit_fedqml.study.outcomes import ACCURACY, settled_accuracy
from qiskit_fedqml.study.statistics import Interval, in_decimals, mean_interval
from qiskit_fedqml.study.study import Study, Trial

STOPPED = "stops"
"""What a table has where attackers end the run."""


def scheme_of(attack: str, defence: str) -> str:
    """Return what the runs of an attack and a defence are called."""
    return f"{attack}: {defence}"


@dataclass(frozen=True)
class Findings:
    """What is known of each attack and defence.

    Args:
        study: The runs.
        attacks: The attacks, in order; the first is none.
        defences: The defences, in order; the first is none.
        clients: How many clients there are.
        attackers: How many of them attack.
        triggered: How often each run's final model takes images of other classes with the trigger for the backdoor's
            class, by scheme and seed; from :func:`triggered_rates`.
    """

    study: Study
    attacks: Sequence[str]
    defences: Sequence[str]
    clients: int
    attackers: int
    triggered: Mapping[tuple[str, int], float]

    def accuracy(self, attack: str, defence: str) -> Interval | None:
        """Return the accuracy after training; None where attackers end the run."""
        scheme = scheme_of(attack, defence)
        return ACCURACY.mean(self.study, scheme) if scheme in self.study.schemes else None

    def lost(self, attack: str, defence: str) -> Interval | None:
        """Return the accuracy of clean FedAvg less this one, in pairs of the same seed."""
        scheme = scheme_of(attack, defence)
        if scheme not in self.study.schemes:
            return None
        return ACCURACY.less(self.study, scheme_of(CLEAN, UNDEFENDED), scheme)

    def success(self, attack: str, defence: str, wants: str) -> Interval | None:
        """Return how often the model answers what attackers want, of the examples where they want it."""
        scheme = scheme_of(attack, defence)
        if wants == "target":
            rates = [rate for (name, _), rate in self.triggered.items() if name == scheme]
        else:
            value_of = flipped_rate if wants == "flipped classes" else _errors
            rates = list(self.study.values(scheme, value_of).values())
        return mean_interval(rates) if rates else None

    def best(self, attack: str) -> tuple[str, Interval]:
        """Return the defence with the highest accuracy, and what it loses to clean FedAvg."""
        lost = {defence: of for defence in self.defences[1:] if (of := self.lost(attack, defence))}
        best = min(lost, key=lambda defence: lost[defence].mean)
        return best, lost[best]


def _errors(run: RunResult) -> float:
    return 1 - settled_accuracy(run)


def flipped_rate(run: RunResult) -> float:
    """Return how often a run's final model answers the class to which labels are flipped."""
    confusion, of_class = np.array(run.confusion), np.arange(len(CLASSES))
    return float(confusion[of_class, flipped_class(of_class)].sum() / confusion.sum())


def triggered_rates(study: Study, runs: Path, clients: int) -> dict[tuple[str, int], float]:
    """Return how often final models take images of other classes with the trigger for the backdoor's class.

    Args:
        study: The runs; those with a backdoor count, and those without an attack if there are such.
        runs: The folder of their result folders, which have the models.
        clients: How many clients there are, as the data say.
    """
    concerned = {name for name, attack in ATTACKS.items() if attack.wants == "target"}
    attacks = {scheme.partition(":")[0] for scheme in study.schemes}
    if not concerned & attacks:
        return {}
    found = {}
    for (scheme, seed), run in study.runs.items():
        if scheme.partition(":")[0] in concerned | {CLEAN}:
            images, labels = digits(clients, seed)[1].tensors
            marked = with_trigger(images[labels != TARGET]).numpy()
            answers = load_classifier(Trial(scheme, run.experiment).folder(runs)).predict_features(marked).labels
            found[scheme, seed] = float(np.mean([answer == str(CLASSES[TARGET]) for answer in answers]))
    return found


def accuracy_rows(found: Findings) -> list[dict[str, str]]:
    """Return a row for each attack, with a column for each defence."""
    return [
        {
            "Attack": ATTACKS[attack].title,
            **{DEFENCES[name].title: _percent(found.accuracy(attack, name)) for name in found.defences},
        }
        for attack in found.attacks
    ]


def success_rows(found: Findings) -> list[dict[str, str]]:
    """Return a row for each attack that wants certain answers, and one for how often those come without it."""
    rows = {}
    for attack in found.attacks:
        if (wants := ATTACKS[attack].wants) == "errors":
            continue
        without = f"nobody attacks, {'images with the trigger' if wants == 'target' else 'classes as if flipped'}"
        for runs, title in ((CLEAN, without), (attack, ATTACKS[attack].title)):
            cells = {DEFENCES[name].title: _percent(found.success(runs, name, wants)) for name in found.defences}
            rows[title] = {"Attack": title, **cells}
    return list(rows.values())


def best_rows(found: Findings) -> list[dict[str, str]]:
    """Return what each attack costs without a defence, and with the one that costs least."""
    rows = []
    for attack in found.attacks[1:]:
        best, lost = found.best(attack)
        undefended = found.lost(attack, UNDEFENDED)
        assert undefended is not None
        rows.append(
            {
                "Attack": ATTACKS[attack].title,
                "FedAvg loses (points)": in_decimals(undefended, 1, scale=100.0),
                "Best defence": DEFENCES[best].title,
                "Loses (points)": in_decimals(lost, 1, scale=100.0),
                "Defences that lose at most 3 points": _listed(found, attack),
            }
        )
    return rows


def _listed(found: Findings, attack: str) -> str:
    lost = {name: of for name in found.defences[1:] if (of := found.lost(attack, name))}
    return ", ".join(DEFENCES[name].title for name, of in lost.items() if of.mean <= 0.03) or "none"


def long_rows(found: Findings) -> list[dict[str, Any]]:
    """Return a row of plain numbers for each attack and defence, all in percent or points."""
    rows = []
    for attack in found.attacks:
        for defence in found.defences:
            figures = {
                "accuracy_percent": found.accuracy(attack, defence),
                "lost_points": found.lost(attack, defence),
                "success_percent": found.success(attack, defence, ATTACKS[attack].wants),
            }
            rows.append({"attack": attack, "defence": defence, "wants": ATTACKS[attack].wants} | _plain(figures))
    return rows


def _plain(figures: Mapping[str, Interval | None]) -> dict[str, str]:
    cells = {}
    for name, of in figures.items():
        cells[name] = "" if of is None else f"{100 * of.mean:.3f}"
        cells[f"{name}_half_width"] = "" if of is None or of.half_width is None else f"{100 * of.half_width:.3f}"
    return cells


def _percent(interval: Interval | None) -> str:
    return STOPPED if interval is None else in_decimals(interval, 1, scale=100.0)
