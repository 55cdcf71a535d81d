"""Settings with which a run fits, and whether they leave enough to learn from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.planning.changes import Change, Key
from qiskit_fedqml.planning.work import Work

FEW_STEPS = 20
"""Fewer steps of the clients' optimiser, one after another, count as too few to learn anything.

Measured on `experiments/digits.yaml` without noise (four classes, 3 seeds, Adam at 0.02): an accuracy of 38% after 8
steps, 75% after 20, 90% after 60; at a learning rate of 0.005, 42% after 20. Guessing gives 25%.
"""


@dataclass(frozen=True)
class Proposal:
    """Settings with which a run fits.

    Args:
        changes: What is changed but the number of rounds.
        rounds: So many rounds fit.
        num_rounds: So many rounds the experiment asks for.
        steps: Steps of a client's optimiser in all rounds, one after another.
        work: What is sent in all.
        departure: How far all that is from what the experiment asks for.
    """

    changes: tuple[Change, ...]
    rounds: int
    num_rounds: int
    steps: int
    work: Work
    departure: float

    def settings(self, budget_seconds: float | None = None) -> dict[Key, Any]:
        """Return all settings by key, with the number of rounds and perhaps a budget of the run."""
        found: dict[Key, Any] = {key: value for change in self.changes for key, value in change.settings.items()}
        if self.rounds < self.num_rounds:
            found["federation", "rounds"] = self.rounds
        if budget_seconds is not None:
            found["backends", "budget_seconds"] = budget_seconds
        return found

    def as_json(self) -> dict[str, Any]:
        """Return plain values; keys of settings are dotted."""
        return {
            "changes": [change.words for change in self.changes],
            "settings": {".".join(key): value for key, value in self.settings().items()},
            "rounds": self.rounds,
            "optimizer_steps": self.steps,
            "jobs": self.work.jobs,
            "executions": self.work.executions,
            "qpu_seconds": self.work.qpu_seconds,
            "departure": self.departure,
        }


def few_steps(experiment: Experiment, steps: int) -> str:
    """Return a warning if so few steps of the optimiser cannot teach a model anything; else nothing."""
    if steps >= FEW_STEPS or experiment.model.initial is not None:
        return ""
    if not steps:
        return (
            "Nothing is trained by these settings: the clients test the model as it began. Let it begin from one that "
            "was trained in simulation (model.initial)."
        )
    config, reach = experiment.federation, ""
    if config.optimizer == "adam":
        most = steps * config.learning_rate
        reach = f" With adam at a learning rate of {config.learning_rate:g}, they move a weight by {most:.2g} at most."
    return (
        f"A client's optimiser takes {steps} steps in all these rounds. Fewer than {FEW_STEPS} teach a model next to "
        "nothing: on digits 0 to 3 without noise, where guessing gives 25%, the accuracy is 38% after 8 steps, 75% "
        f"after 20 and 90% after 60.{reach} More rounds with fewer shots, or a model that was trained in simulation "
        "(model.initial), help more."
    )


def nested(settings: Mapping[Key, Any]) -> dict[str, Any]:
    """Return settings by key as an experiment file has them."""
    data: dict[str, Any] = {}
    for key, value in settings.items():
        section = data
        for part in key[:-1]:
            section = section.setdefault(part, {})
        section[key[-1]] = value
    return data
