"""Trackers: what shows a run's curves. Their libraries are optional, and are imported when a run asks for them."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from qiskit_fedqml.config.tracking import MlflowConfig
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.files import write_text
from qiskit_fedqml.tables import flattened

_MOST_PER_REQUEST = 100
"""Parameters, and tags, that MLflow takes in one request."""

_IN_EVERY_ROUND = "test_loss"
"""A metric whose steps are the rounds that a tracker has."""


@dataclass(frozen=True)
class Point:
    """What is shown of a round: its metrics by name."""

    round: int
    metrics: dict[str, float]


class Tracker(Protocol):
    """Shows a run's curve somewhere; whatever it raises is its caller's to catch."""

    def show(self, curve: Sequence[Point]) -> None:
        """Send what is not there yet of the curve, which holds all rounds so far."""

    def close(self, *, is_finished: bool) -> None:
        """Say that the run has ended, or was stopped."""


class TensorBoardTracker:
    """Writes event files.

    Args:
        folder: Where they go.
        num_done: Rounds before this start of the run; what the folder has of later ones is hidden, since these are
            trained again.
        texts: Shown next to the curves, by title.
    """

    def __init__(self, folder: Path, num_done: int, texts: Mapping[str, Any]) -> None:
        self._folder = folder
        self._num_sent = num_done
        self._texts = texts
        self._writer: Any = None

    def show(self, curve: Sequence[Point]) -> None:
        """Write the rounds that are not written yet; the files say which these are when one is begun."""
        try:
            self._write(curve)
        except Exception:
            self._writer = None  # its thread may have died
            raise

    def _write(self, curve: Sequence[Point]) -> None:
        if self._writer is None:
            has_events = any(self._folder.glob("events.*"))
            self._num_sent = min(self._num_sent, self._num_written()) if has_events else 0
            if has_events and self._num_sent == len(curve):
                return  # nothing is missing: no further file
            self._writer = self._open(has_events=has_events)
        for point in curve[self._num_sent :]:
            for name, value in point.metrics.items():
                self._writer.add_scalar(name, value, point.round)
            self._num_sent += 1
        self._writer.flush()  # a round that a checkpoint holds is not written again

    def close(self, *, is_finished: bool) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()

    def _num_written(self) -> int:
        """Return how many rounds, from the first without a gap, the files show."""
        module = import_library("tensorboard.backend.event_processing.event_accumulator", "tensorboard")
        shown = module.EventAccumulator(str(self._folder), size_guidance={"scalars": 0}).Reload()  # 0: all, no sample
        has_rounds = _IN_EVERY_ROUND in shown.Tags()["scalars"]
        steps = {event.step for event in shown.Scalars(_IN_EVERY_ROUND)} if has_rounds else set()
        return next(number for number in count() if number + 1 not in steps)

    def _open(self, *, has_events: bool) -> Any:
        tensorboard = import_library("torch.utils.tensorboard", "tensorboard")
        first = self._num_sent + 1 if self._num_sent else 0  # the texts stand at step 0
        writer = tensorboard.SummaryWriter(str(self._folder), purge_step=first if has_events else None)
        if not self._num_sent:
            for title, values in self._texts.items():
                writer.add_text(title, f"```\n{json.dumps(values, indent=2, ensure_ascii=False)}\n```", 0)
        return writer


class MlflowTracker:
    """Logs to an MLflow run, whose id is kept in the result folder, so that a resumed run continues in it.

    The run's name is the folder's. Parameters are the configuration's values by dotted key, tags the run's description.
    A round that it has is not logged again, even if a replay of it after a crash turned out otherwise.

    Args:
        config: Where.
        folder: The result folder, or None.
        parameters: The configuration.
        tags: The run's description.
    """

    def __init__(
        self, config: MlflowConfig, folder: Path | None, parameters: Mapping[str, Any], tags: Mapping[str, Any]
    ) -> None:
        self._config = config
        self._folder = folder
        self._parameters = flattened(parameters)
        self._tags = flattened(tags)
        self._run_id: str | None = None
        self._client: Any = None
        self._sent: set[int] = set()

    def show(self, curve: Sequence[Point]) -> None:
        """Log the rounds that the MLflow run does not have; after an error it is asked again which these are."""
        try:
            self._log(curve)
        except Exception:
            self._client = None  # what was sent may have arrived, although no answer came
            raise

    def _log(self, curve: Sequence[Point]) -> None:
        entities = import_library("mlflow.entities", "mlflow")
        if self._client is None:
            self._client = self._connect(entities)
        now = int(time.time() * 1000)
        for point in curve:
            if point.round not in self._sent:
                metrics = [entities.Metric(name, v, now, point.round) for name, v in point.metrics.items()]
                self._client.log_batch(self._run_id, metrics=metrics)
                self._sent.add(point.round)

    def close(self, *, is_finished: bool) -> None:
        """Mark the MLflow run as finished or stopped."""
        if self._client is not None:
            self._client.update_run(self._run_id, status="FINISHED" if is_finished else "KILLED")

    def _connect(self, entities: Any) -> Any:
        client = import_library("mlflow", "mlflow").MlflowClient(tracking_uri=self._config.uri)
        self._run_id = self._run_id or self._stored_id() or self._create(client)
        client.update_run(self._run_id, status="RUNNING")
        data = client.get_run(self._run_id).data
        missing = [entities.Param(key, v) for key, v in self._parameters.items() if key not in data.params]
        tags = [entities.RunTag(key, v) for key, v in self._tags.items()]
        for start in range(0, max(len(missing), len(tags)), _MOST_PER_REQUEST):
            some = slice(start, start + _MOST_PER_REQUEST)
            client.log_batch(self._run_id, params=missing[some], tags=tags[some])
        has_rounds = _IN_EVERY_ROUND in data.metrics
        history = client.get_metric_history(self._run_id, _IN_EVERY_ROUND) if has_rounds else ()
        self._sent = {metric.step for metric in history}
        return client

    def _stored_id(self) -> str | None:
        if self._folder is None or not (self._folder / "mlflow.json").exists():
            return None
        return str(json.loads((self._folder / "mlflow.json").read_text(encoding="utf-8"))["run_id"])

    def _create(self, client: Any) -> str:
        experiment = client.get_experiment_by_name(self._config.experiment)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(self._config.experiment)
        name = self._folder.absolute().name if self._folder else None
        run_id = str(client.create_run(experiment_id, run_name=name).info.run_id)
        if self._folder:
            write_text(self._folder / "mlflow.json", json.dumps({"run_id": run_id}) + "\n")
        return run_id


def import_library(module: str, extra: str) -> Any:
    """Import a tracker's library.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"`tracking.{extra}` needs an extra that is not installed: pip install 'qiskit-fedqml[{extra}]' ({error})."
        ) from error
