"""Result folders: what a run writes, how it is read back, and how a run goes on where it stopped.

A folder holds ``config.yaml`` (resolved), ``run.json`` (versions, seed, classes), ``rounds.jsonl`` (a line a round),
``checkpoint.safetensors`` while the run goes on, and ``model.safetensors`` at its end; runs on devices keep their jobs
in ``journal.sqlite``, and trackers have ``tensorboard/`` and ``mlflow.json``. Nothing is pickled.
"""

import json
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file

from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.backends.devices.submission import Submission
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.strict import validate
from qiskit_fedqml.config.yaml_files import read_yaml
from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.files import save_tensors, write_text
from qiskit_fedqml.results.checkpoint import Checkpoint, load_checkpoint
from qiskit_fedqml.results.lock import LOCK, FolderLock
from qiskit_fedqml.results.records import RoundRecord

_FILES = (
    *("config.yaml", "run.json", "rounds.jsonl", "checkpoint.safetensors", "model.safetensors"),
    *("journal.sqlite", "journal.sqlite-journal", "mlflow.json"),
)


class RunFolder:
    """A result folder.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        self._lock = FolderLock(path)

    def lock(self) -> None:
        """Keep other processes from working on the folder, if it exists.

        Raises:
            ResultError: Another process works on it.
        """
        self._lock.acquire()

    def release(self) -> None:
        """Let other processes work on the folder."""
        self._lock.release()

    @property
    def journal(self) -> Path:
        """The file in which jobs on devices are written down."""
        return self.path / "journal.sqlite"

    def submissions(self) -> list[Submission]:
        """Return the jobs that the run sent to devices, in the order in which they were intended.

        Raises:
            ResultError: It is no result folder, or the journal is damaged.
        """
        if not (self.path / "config.yaml").is_file():
            raise ResultError(f"{self.path} is not a result folder: it has no config.yaml.")
        if not self.journal.exists():
            return []
        with closing(Journal(self.journal, read_only=True)) as journal:
            return journal.all()

    def replace_experiment(self, experiment: Experiment) -> None:
        """Write another configuration, such as one with other budgets, in place of the run's.

        Raises:
            ResultError: It cannot be written.
        """
        relative = experiment.with_calibrations(lambda name, _: f"calibrations/{name}.json")
        self._write_configuration(relative)

    def _write_configuration(self, experiment: Experiment) -> None:
        text = yaml.safe_dump(experiment.resolved(), sort_keys=False, allow_unicode=True)
        try:
            write_text(self.path / "config.yaml", text)
        except OSError as error:
            raise ResultError(f"{self.path} cannot be written: {error.strerror}.") from error

    def check_free(self, *, overwrite: bool) -> None:
        """Check that a run may be written here.

        Args:
            overwrite: Whether an earlier run here may be replaced.

        Raises:
            ResultError: The folder exists and is not empty, and ``overwrite`` is False, or it holds no run, or one
                whose jobs may still wait or run on a device.
        """
        if not self.path.exists() or (self.path.is_dir() and not [p for p in self.path.iterdir() if p.name != LOCK]):
            return
        if not overwrite:
            raise ResultError(f"{self.path} exists already; choose another folder, or overwrite it (--overwrite).")
        self.lock()
        try:
            self.read()
        except ResultError as error:
            raise ResultError(f"{self.path} is not a result folder, so it is not overwritten.") from error
        alive = [s for s in self.submissions() if s.is_open and s.account is not None]  # a rehearsal's do not live on
        if alive:
            raise ResultError(
                f"{self.path} has {len(alive)} jobs that may still wait or run on devices: take them up with "
                f"`fedqml resume {self.path}`, or cancel them with `fedqml jobs {self.path} --cancel`."
            )

    def create(self, experiment: Experiment, run: dict[str, Any]) -> None:
        """Make the folder, without the files of an earlier run, and write configuration and description.

        Raises:
            ResultError: The folder cannot be written.
        """
        calibrations: dict[str, bytes] = {}  # read before anything is removed: they may lie in this very folder

        def keep(name: str, path: str) -> str:
            try:
                calibrations[f"calibrations/{name}.json"] = Path(path).read_bytes()
            except OSError as error:
                raise ResultError(f"The calibration of backend {name!r} cannot be read: {error}.") from error
            return f"calibrations/{name}.json"

        try:
            relative = experiment.with_calibrations(keep)
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock()
            for name in _FILES:
                (self.path / name).unlink(missing_ok=True)
                (self.path / f"{name}.part").unlink(missing_ok=True)
            for name in ("calibrations", "evaluations", "tensorboard"):
                shutil.rmtree(self.path / name, ignore_errors=True)
            for name, content in calibrations.items():
                (self.path / name).parent.mkdir(exist_ok=True)
                (self.path / name).write_bytes(content)
            self._write_configuration(relative)
            write_text(self.path / "run.json", json.dumps(run, indent=2) + "\n")
            (self.path / "rounds.jsonl").touch()
        except OSError as error:
            raise ResultError(f"{self.path} cannot be written: {error.strerror}.") from error

    def read(self) -> tuple[Experiment, dict[str, Any], tuple[RoundRecord, ...]]:
        """Read configuration, description and records.

        Raises:
            ResultError: A file is missing or damaged.
        """
        experiment = self.load_experiment()
        try:
            run = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
            lines = (self.path / "rounds.jsonl").read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise ResultError(f"{self.path} is not a whole result folder: {error}.") from error
        if not isinstance(run, dict) or not {"classes", "num_features"} <= run.keys():
            raise ResultError(f"{self.path / 'run.json'} is damaged: it must name classes and num_features.")
        return experiment, run, tuple(self._records(lines))

    def load_experiment(self) -> Experiment:
        """Read the resolved configuration.

        Raises:
            ResultError: It is missing or damaged.
        """
        if not (self.path / "config.yaml").is_file():
            raise ResultError(f"{self.path} is not a result folder: it has no config.yaml.")
        try:
            experiment = validate(Experiment, read_yaml(self.path / "config.yaml"), str(self.path / "config.yaml"))
        except ConfigurationError as error:
            raise ResultError(str(error)) from error
        return experiment.with_calibrations(lambda _, calibration: str((self.path / calibration).absolute()))

    def append(self, record: RoundRecord) -> None:
        """Write a round's line.

        Raises:
            ResultError: It cannot be written.
        """
        try:
            with (self.path / "rounds.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(record), allow_nan=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ResultError(f"{self.path / 'rounds.jsonl'} cannot be written: {error.strerror}.") from error

    def keep_rounds(self, records: tuple[RoundRecord, ...]) -> None:
        """Rewrite the rounds: what was written after the last checkpoint is dropped.

        Raises:
            ResultError: They cannot be written.
        """
        text = "".join(json.dumps(asdict(record), allow_nan=False) + "\n" for record in records)
        try:
            write_text(self.path / "rounds.jsonl", text)
        except OSError as error:
            raise ResultError(f"{self.path / 'rounds.jsonl'} cannot be written: {error.strerror}.") from error

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, whole or not at all; without optimiser states, while the next round runs.

        Raises:
            ResultError: This or the last checkpoint cannot be written.
        """
        self.wait()
        self._writing = self._writer.submit(checkpoint.save, self._checkpoint)
        if checkpoint.optimizers:  # these go on changing, so they are written before anything else happens
            self.wait()

    def load_checkpoint(self) -> Checkpoint | None:
        """Read the checkpoint, or return None if no round was finished.

        Raises:
            ResultError: It is damaged.
        """
        return load_checkpoint(self._checkpoint) if self._checkpoint.exists() else None

    def finish(self, model_state: dict[str, torch.Tensor]) -> None:
        """Write the final model and drop the checkpoint.

        Raises:
            ResultError: The model cannot be written.
        """
        self.wait()
        save_tensors(self.path / "model.safetensors", model_state, {})
        self._checkpoint.unlink(missing_ok=True)

    def load_model_state(self) -> dict[str, torch.Tensor]:
        """Read the final model's tensors.

        Raises:
            ResultError: There is none, or it is damaged.
        """
        path = self.path / "model.safetensors"
        if not path.exists():
            hint = " The run is not finished: `fedqml resume` ends it." if self._checkpoint.exists() else ""
            raise ResultError(f"{self.path} holds no model.safetensors.{hint}")
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise ResultError(f"{path} is damaged: {error}.") from error

    def wait(self) -> None:
        """Wait until the checkpoint is on disk.

        Raises:
            ResultError: It cannot be written.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    @property
    def _checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    def _records(self, lines: list[str]) -> list[RoundRecord]:
        records = []
        for number, line in enumerate(lines, start=1):
            try:
                record = RoundRecord.from_json(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                if number == len(lines) and not (self.path / "model.safetensors").exists():
                    break  # the line that was being written when the run was stopped
                raise ResultError(f"{self.path / 'rounds.jsonl'}, line {number} is damaged: {error}.") from error
            if record.round != number:
                raise ResultError(f"{self.path / 'rounds.jsonl'}, line {number} must be round {number}.")
            records.append(record)
        return records
