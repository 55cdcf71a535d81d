"""Curves of a run in TensorBoard or MLflow, while it runs.

Trackers are sent rounds that are recorded already, and training knows nothing of them: the result is the same to the
bit with and without. A tracker that fails, such as a server out of reach, does not stop the run: a warning is logged,
and when the run has ended the tracker is given once more all that it lacks. If it fails then too, a second warning says
what may be missing, which is sent when the finished run is resumed.

QPU seconds are those known when the round ends; what the service reports later is in the result folder alone.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.tracking import TrackingConfig, without_secrets
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.tracking.trackers import MlflowTracker, Point, TensorBoardTracker, Tracker, import_library

logger = logging.getLogger(__name__)


class Tracking:
    """Tells trackers of a run's rounds; a context manager around the run.

    Args:
        trackers: By the names that warnings call them.
        done: The rounds before this start of the run.
        folder: The result folder, or None.
    """

    def __init__(
        self, trackers: Mapping[str, Tracker], done: Sequence[RoundRecord], folder: Path | None = None
    ) -> None:
        self._trackers = trackers
        self._folder = folder
        self._failed: set[str] = set()
        self._num_shown = dict.fromkeys(trackers, 0)
        self._curve: list[Point] = []
        self._num_examples = 0
        for record in done if trackers else ():
            self._add(record)

    def __enter__(self) -> "Tracking":
        self._show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.end()
            return
        for name, tracker in self._trackers.items():
            if name in self._failed:  # a stopped run does not wait for a server again
                continue
            if wrong := _attempt(partial(tracker.close, is_finished=False)):
                logger.warning("%s cannot be sent that this run was stopped: %s.", name, wrong)

    def end(self) -> None:
        """Give each tracker what it lacks and end its run; a finished run needs this alone."""
        for name, tracker in self._trackers.items():
            if wrong := _attempt(partial(tracker.show, self._curve)):
                still = "still " if name in self._failed else ""
                logger.warning("%s %scannot be sent this run's rounds: %s.%s", name, still, wrong, self._missing(name))
            elif wrong := _attempt(partial(tracker.close, is_finished=True)):
                logger.warning("%s has all rounds of this run, but not that it has ended: %s.", name, wrong)

    def round_finished(self, record: RoundRecord) -> None:
        """Tell of a round that has been recorded."""
        if self._trackers:
            self._add(record)
            self._show()

    def _add(self, record: RoundRecord) -> None:
        self._num_examples += record.examples
        self._curve.append(Point(record.round, metrics_of(record, self._num_examples)))

    def _show(self) -> None:
        for name, tracker in self._trackers.items():
            if name in self._failed:
                continue
            if wrong := _attempt(partial(tracker.show, self._curve)):
                logger.warning(
                    "%s cannot be sent this run's rounds: %s. The run continues; this is tried again at its end.",
                    *(name, wrong),
                )
                self._failed.add(name)
            else:
                self._num_shown[name] = len(self._curve)

    def _missing(self, name: str) -> str:
        """Return a sentence on what a tracker may lack; rounds whose answer was lost may have arrived."""
        first, last = self._num_shown[name] + 1, len(self._curve)
        if first > last:
            return ""
        rounds = f"Round {last}" if first == last else f"Rounds {first} to {last}"
        hint = f"; `fedqml resume {self._folder}` sends what is missing" if self._folder else ""
        return f" {rounds} may be missing there{hint}."


def _attempt(action: Callable[[], None]) -> str:
    """Do something; return what went wrong, or nothing."""
    try:
        action()
    except Exception as error:
        return without_secrets(" ".join(str(error).split()) or type(error).__name__).rstrip(".")
    return ""


def metrics_of(record: RoundRecord, num_examples: int) -> dict[str, float]:
    """Return what trackers show of a round.

    Args:
        record: The round.
        num_examples: Examples processed in training up to its end.
    """
    values: dict[str, float | None] = {
        "train_loss": record.train_loss,
        "test_loss": record.test_loss,
        "test_accuracy": record.test_accuracy,
        **{f"test_{name}": value for name, value in record.metrics.items()},
        "validation_loss": record.validation_loss,
        "validation_accuracy": record.validation_accuracy,
        "examples_so_far": float(num_examples),
        "seconds": record.seconds,
        "qpu_seconds": record.qpu_seconds,
    }
    if (nodes := record.nodes) is not None:
        values |= {"consensus_distance": nodes.consensus_distance, "node_accuracy": nodes.accuracy}
    values |= {f"{key}_on_{name}": v for name, tests in record.evaluations.items() for key, v in tests.items()}
    return {name: value for name, value in values.items() if value is not None}


def check_tracking(config: TrackingConfig, *, has_folder: bool) -> None:
    """Check that what an experiment asks for is there, before anything runs.

    Raises:
        ConfigurationError: An extra is not installed, or there is no result folder for TensorBoard.
    """
    if config.tensorboard:
        if not has_folder:
            raise ConfigurationError("`tracking.tensorboard` writes into the result folder, but the run has none.")
        import_library("torch.utils.tensorboard", "tensorboard")
    if config.mlflow:
        import_library("mlflow", "mlflow")


def open_trackers(
    experiment: Experiment, run: Mapping[str, Any], folder: Path | None, num_done: int
) -> dict[str, Tracker]:
    """Return the trackers that an experiment asks for; they connect when they are first sent rounds.

    Args:
        experiment: The experiment.
        run: Its description, as stored in ``run.json``.
        folder: The result folder, or None.
        num_done: Number of rounds before this start of the run.
    """
    config, configuration = experiment.tracking, tracked_configuration(experiment)
    trackers: dict[str, Tracker] = {}
    if config.tensorboard and folder:
        texts = {"configuration": configuration, "run": run}
        trackers["TensorBoard"] = TensorBoardTracker(folder / "tensorboard", num_done, texts)
    if config.mlflow:
        trackers["MLflow"] = MlflowTracker(config.mlflow, folder, configuration, run)
    return trackers


def tracked_configuration(experiment: Experiment) -> dict[str, Any]:
    """Return the resolved configuration without what names the user's account, which a server may show to others."""
    resolved = experiment.resolved()
    entries = resolved["backends"]["backends"]
    resolved["backends"]["backends"] = {
        name: {key: value for key, value in entry.items() if key not in ("account", "instance")}
        for name, entry in entries.items()
    }
    return resolved
