"""What runs of a study are compared by: testing accuracy and testing loss, in the units that a reader wants."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.study.statistics import Interval, in_decimals, mean_interval, paired_difference
from qiskit_fedqml.study.study import Study

_SETTLED = 10
"""So many last rounds' mean is taken as well as the last one, because single rounds swing; of short runs, a quarter."""


def final_accuracy(run: RunResult) -> float:
    """Return the testing accuracy after the last round, as the paper's tables have it."""
    return run.final.test_accuracy


def settled_accuracy(run: RunResult) -> float:
    """Return the mean testing accuracy of the last ten rounds, of a run of fewer than 40 rounds of the last quarter."""
    return float(np.mean([record.test_accuracy for record in _last_rounds(run)]))


def settled_loss(run: RunResult) -> float:
    """Return the mean testing loss of the same rounds as :func:`settled_accuracy`."""
    return float(np.mean([record.test_loss for record in _last_rounds(run)]))


def settled_training_loss(run: RunResult) -> float:
    """Return the mean training loss of the same rounds as :func:`settled_accuracy`; NaN where a round has none."""
    return float(np.mean([np.nan if r.train_loss is None else r.train_loss for r in _last_rounds(run)]))


def num_last_rounds(num_rounds: int) -> int:
    """Return of how many last rounds means are taken, of a run of so many rounds: ten, or a quarter of a short run."""
    return max(min(_SETTLED, num_rounds // 4), 1)


def last_rounds_in_words(lengths: Iterable[int]) -> str:
    """Return of which rounds means are, such as ``"last 5 rounds"``.

    Args:
        lengths: How many rounds each run has; at least one.
    """
    counts = sorted({num_last_rounds(length) for length in lengths})
    if counts == [1]:
        return "last round"
    return f"last {counts[0]} rounds" if len(counts) == 1 else f"last {counts[0]} to {counts[-1]} rounds"


def _last_rounds(run: RunResult) -> Sequence[RoundRecord]:
    return run.rounds[-num_last_rounds(len(run.rounds)) :]


@dataclass(frozen=True)
class Outcome:
    """A figure of a run, and how it is written.

    Args:
        name: Its name, such as ``"Accuracy"``.
        value_of: Gives it for a run.
        unit: What it is written in, ``""`` without a unit.
        unit_of_differences: What differences are written in.
        scale: Multiplies it where it is written; 100 for percent.
        decimals: Digits after the point.
        larger_is_better: Whether more of it is better.
    """

    name: str
    value_of: Callable[[RunResult], float]
    unit: str
    unit_of_differences: str
    scale: float
    decimals: int
    larger_is_better: bool

    @property
    def heading(self) -> str:
        """The heading of a table's column of it, such as ``"Accuracy (%)"``."""
        return _with_unit(self.name, self.unit)

    def heading_over(self, rounds: str) -> str:
        """Return the heading of a column of means over these rounds, such as ``"Accuracy, last 5 rounds (%)"``."""
        return _with_unit(f"{self.name}, {rounds}", self.unit)

    @property
    def heading_change(self) -> str:
        """The heading of a column of what a setting changes, such as ``"Accuracy, change (points)"``."""
        return _with_unit(f"{self.name}, change", self.unit_of_differences)

    def heading_less(self, reference: str) -> str:
        """Return the heading of a column, or the label of an axis, of differences to a reference."""
        return _with_unit(f"{self.name} minus {reference}", self.unit_of_differences)

    def mean(self, study: Study, scheme: str) -> Interval:
        """Return a scheme's mean over its seeds."""
        return mean_interval(study.values(scheme, self.value_of).values())

    def less(self, study: Study, scheme: str, reference: str) -> Interval:
        """Return what a scheme has less the reference scheme's runs of the same seeds."""
        return paired_difference(study.values(scheme, self.value_of), study.values(reference, self.value_of))

    def text(self, interval: Interval, *, signed: bool = False) -> str:
        """Return a mean or difference with its interval, as a table has it."""
        return in_decimals(interval, self.decimals, scale=self.scale, signed=signed)


def _with_unit(text: str, unit: str) -> str:
    return f"{text} ({unit})" if unit else text


ACCURACY = Outcome("Accuracy", settled_accuracy, "%", "points", 100.0, 2, larger_is_better=True)
LOSS = Outcome("Testing loss", settled_loss, "", "", 1.0, 3, larger_is_better=False)
TRAINING_LOSS = Outcome("Training loss", settled_training_loss, "", "", 1.0, 3, larger_is_better=False)
OUTCOMES = (ACCURACY, LOSS)
