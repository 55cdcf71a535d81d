"""Trials of a study, and what they gave, as values."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.results.result import RunResult


@dataclass(frozen=True)
class Trial:
    """One run of a study.

    Args:
        scheme: What its results are called; "" where a study has one scheme alone.
        experiment: What to run; its seed distinguishes trials of one scheme.
    """

    scheme: str
    experiment: Experiment

    @property
    def seed(self) -> int:
        """The experiment's seed. Trials of two schemes with the same seed are a pair."""
        return self.experiment.seed

    @property
    def name(self) -> str:
        """What it is called: its scheme and its seed."""
        return f"{self.scheme}, seed {self.seed}" if self.scheme else f"seed {self.seed}"

    def folder(self, out: Path) -> Path:
        """Return the trial's result folder."""
        return out / folder_name(self.scheme) / f"seed{self.seed}"


def folder_name(scheme: str) -> str:
    """Return what the folder of a scheme's runs is called."""
    return re.sub(r"[^\w.×]+", "_", scheme.lower()).strip("_")


@dataclass(frozen=True)
class Study:
    """What trials gave.

    Args:
        runs: The runs by scheme and seed, in the order of the trials.
    """

    runs: Mapping[tuple[str, int], RunResult]

    @cached_property
    def schemes(self) -> tuple[str, ...]:
        """The schemes, in order."""
        return tuple(dict.fromkeys(scheme for scheme, _ in self.runs))

    def lengths_of(self, *schemes: str) -> list[int]:
        """Return how many rounds each run of some schemes has."""
        return [len(run.rounds) for (scheme, _), run in self.runs.items() if scheme in schemes]

    def of(self, scheme: str) -> dict[int, RunResult]:
        """Return a scheme's runs by seed."""
        return {seed: run for (name, seed), run in self.runs.items() if name == scheme}

    def values(self, scheme: str, value_of: Callable[[RunResult], float]) -> dict[int, float]:
        """Return a value of each of a scheme's runs by seed."""
        return {seed: value_of(run) for seed, run in self.of(scheme).items()}
