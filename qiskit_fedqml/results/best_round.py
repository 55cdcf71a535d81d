"""Which round of a run is its best so far, and whether the rounds after it have gone on for too long."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.stopping import Metric
from qiskit_fedqml.results.records import RoundRecord

if TYPE_CHECKING:
    from qiskit_fedqml.config.experiment import Experiment


@dataclass
class ProgressMade:
    """What the records of a run say so far; it follows from them alone, so a resumed run has the same.

    Args:
        config: The `federation` section.
        most_epsilon: ``privacy.epsilon``, or None.
        best_round: The first round with the best value of ``keep_best``; 0 without that, and before the first round.
        waited: Rounds since the last one that was better by ``stop.min_delta``.
        is_spent: Whether one more round would spend more than ``privacy.epsilon``.
    """

    config: FederationConfig
    most_epsilon: float | None = None
    best_round: int = 0
    waited: int = 0
    is_spent: bool = False
    _best: float = inf
    _reference: float = inf

    @classmethod
    def of(cls, experiment: "Experiment", records: Sequence[RoundRecord]) -> "ProgressMade":
        """Return what records say; they are not looked at where nothing is asked of them."""
        config, privacy = experiment.federation, experiment.privacy
        made = cls(config, privacy.epsilon if privacy is not None else None)
        if config.stop is not None or config.keep_best is not None:
            for record in records:
                made.add(record)
        elif made.most_epsilon is not None and len(records):
            made.add(records[-1])
        return made

    def add(self, record: RoundRecord) -> None:
        """Take up the record of the next round."""
        if self.config.keep_best is not None and (value := _value_of(record, self.config.keep_best)) < self._best:
            self.best_round, self._best = record.round, value
        if self.most_epsilon is not None and record.next_epsilon is not None:
            self.is_spent = record.next_epsilon > self.most_epsilon
        if (stop := self.config.stop) is not None:
            value = _value_of(record, stop.metric)
            if value < self._reference - stop.min_delta:
                self._reference, self.waited = value, 0
            else:
                self.waited += 1

    @property
    def has_ended(self) -> bool:
        """Whether the run ends here, however many rounds it may have."""
        return self.is_spent or (self.config.stop is not None and self.waited >= self.config.stop.patience)


def _value_of(record: RoundRecord, metric: Metric) -> float:
    """Return what is better the lower it is, on the validation data where there are some."""
    has_validation = record.validation_loss is not None
    if metric == "loss":
        return float(record.validation_loss if has_validation else record.test_loss)  # type: ignore[arg-type]
    return -float(record.validation_accuracy if has_validation else record.test_accuracy)  # type: ignore[arg-type]
