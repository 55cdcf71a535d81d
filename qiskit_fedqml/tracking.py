"""Curves of a run in TensorBoard or MLflow, while it goes on.

Trackers are told of rounds that are recorded already, and training knows nothing of them: the result is the same to the
bit with and without. A tracker that fails, such as a server out of reach, does not stop the run: one warning is logged,
and when the run has ended the tracker is given once more all that it lacks.

QPU seconds are those known when the round ends; what the service reckons up later stands in the result folder alone.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.experiment import Experiment
from qiskit_fedqml.records import RoundRecord
from qiskit_fedqml.trackers import MlflowTracker, Point, TensorBoardTracker, Tracker, import_library
from qiskit_fedqml.tracking_config import TrackingConfig

logger = logging.getLogger(__name__)


class Tracking:
    """Tells trackers of a run's rounds; a context manager around the run.

    Args:
        trackers: By the names that warnings call them.
        done: The rounds before this start of the run.
    """

    def __init__(self, trackers: Mapping[str, Tracker], done: Sequence[RoundRecord]) -> None:
        self._trackers = trackers
        self._failed: set[str] = set()
        self._curve: list[Point] = []
        self._num_examples = 0
        for record in done:
            self._add(record)

    def __enter__(self) -> "Tracking":
        self._show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, tracker in self._trackers.items():
            if kind is None:
                self._try(name, partial(_end, tracker, self._curve))
            elif name not in self._failed:  # a stopped run does not wait for a server again
                self._try(name, partial(tracker.close, is_finished=False))

    def round_finished(self, record: RoundRecord) -> None:
        """Tell of a round that has been recorded."""
        self._add(record)
        self._show()

    def _add(self, record: RoundRecord) -> None:
        self._num_examples += record.examples
        self._curve.append(Point(record.round, metrics_of(record, self._num_examples)))

    def _show(self) -> None:
        for name, tracker in self._trackers.items():
            if name not in self._failed:
                self._try(name, partial(tracker.show, self._curve))

    def _try(self, name: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            if name not in self._failed:
                logger.warning(
                    "%s cannot be told of this run, which goes on: %s. It is tried once more at the run's end.",
                    *(name, _without_secrets(error)),
                )
            self._failed.add(name)


def _end(tracker: Tracker, curve: Sequence[Point]) -> None:
    tracker.show(curve)
    tracker.close(is_finished=True)


def _without_secrets(error: Exception) -> str:
    """Return an error's text without the names and passwords of addresses in it."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"(password|token|secret)=[^&\s]+", r"\1=…", text, flags=re.IGNORECASE)
    return re.sub(r"//[^/\s]*@", "//", text).rstrip(".")


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
        "validation_loss": record.validation_loss,
        "validation_accuracy": record.validation_accuracy,
        "examples_so_far": float(num_examples),
        "seconds": record.seconds,
        "qpu_seconds": record.qpu_seconds,
    }
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
    """Return the trackers that an experiment asks for; they reach out when they are first told of rounds.

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
