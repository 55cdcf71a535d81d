"""Result folders: what a run leaves, read back and checked.

A folder holds ``config.yaml`` (resolved), ``run.json`` (versions, seed, classes), ``rounds.jsonl`` (a line a round),
``checkpoints/`` while the run is not finished, ``model.safetensors`` at its end, and ``manifest.json``, by which all
these prove to be what the run wrote. Runs on devices keep their jobs in ``journal.sqlite``, which changes as
jobs do and is not proved; trackers have ``tensorboard/`` and ``mlflow.json``; ``ledger/`` proves itself. Nothing is
pickled.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.backends.devices.submission import Submission
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.text_files import parse_json, read_text
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.config.yaml_files import read_yaml
from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.results.checkpoints import FOLDER, SINGLE, Checkpoints
from qiskit_fedqml.results.confusion import CONFUSION
from qiskit_fedqml.results.header import Header, load_header
from qiskit_fedqml.results.json_types import check_types
from qiskit_fedqml.results.lock import LOCK
from qiskit_fedqml.results.manifest import MANIFEST, Manifest, load_manifest
from qiskit_fedqml.results.proof import NOTHING
from qiskit_fedqml.results.record_log import open_records, open_unproved
from qiskit_fedqml.results.stored_records import StoredRecords

logger = logging.getLogger(__name__)

FILES = (
    *("config.yaml", "run.json", "rounds.jsonl", SINGLE, "model.safetensors", CONFUSION, MANIFEST),
    *("circuit.qpy", "data.npz"),
    *("journal.sqlite", "journal.sqlite-journal", "mlflow.json"),
)
"""Files of a run."""
FOLDERS = (FOLDER, "calibrations", "evaluations", "ledger", "tensorboard")
"""Folders of a run."""

_DESCRIPTION = {
    **{"run_id": str, "seed": int, "classes": tuple[str, ...], "num_features": int, "num_trained_parameters": int},
    **{
        "initial": dict[str, str | int | None],
        "circuit": str,
        "weights": str,
        "head": tuple[float, ...],
        "machines": dict[str, dict[str, Any]],
        "columns": dict[str, dict[str, int] | tuple[str, ...] | int],
    },
    **{"threads": int, "git_commit": str | None, "examples": dict[str, int], "versions": dict[str, str | None]},
}
"""Types of what ``run.json`` says."""


_Found = TypeVar("_Found")


class RunFolder:
    """A result folder, as it is read.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = Checkpoints(path)
        self._warned: set[str] = set()

    @property
    def is_empty(self) -> bool:
        """Whether it is a folder that holds nothing, or what a run left that was stopped before it had begun."""
        if not self.path.is_dir() or (self.path / "config.yaml").exists():
            return False
        names = {entry.name.removesuffix(".part") for entry in self.path.iterdir()}
        # Whoever begins a run has locked its folder before: a folder `calibrations` alone is somebody's own.
        return all(name in {*FILES, *FOLDERS} or name.startswith(LOCK) for name in names) and (
            not names or LOCK in names
        )

    def check_free(self, *, overwrite: bool) -> None:
        """Check that a run may be written here.

        Args:
            overwrite: Whether an earlier run here may be replaced.

        Raises:
            ResultError: The folder exists and is not empty, and ``overwrite`` is False, or it holds no run, or one
                whose jobs may still wait or run on a device.
        """
        if not self.path.exists() or self.is_empty:
            return
        if not self.is_run:
            raise ResultError(f"{self.path} exists already and is not a result folder; choose another folder.")
        alive = [s for s in self.submissions() if s.is_open and s.account is not None]  # a rehearsal's do not live on
        if alive:
            raise ResultError(
                f"{self.path} has {len(alive)} jobs that may still wait or run on devices: resume the run with "
                f"`fedqml resume {self.path}`, or cancel them with `fedqml jobs {self.path} --cancel`."
            )
        if not overwrite and self._is_resumable:
            raise ResultError(
                f"{self.path} holds a run that is not finished: `fedqml resume {self.path}` continues it; or choose "
                "another folder, or overwrite it (--overwrite)."
            )
        if not overwrite:
            raise ResultError(f"{self.path} exists already; choose another folder, or overwrite it (--overwrite).")

    @property
    def _is_resumable(self) -> bool:
        try:
            return self.has_checkpoint and not self.is_finished
        except ResultError:  # damaged
            return False

    @property
    def is_run(self) -> bool:
        """Whether a run has been begun here, however damaged it is now."""
        if not (self.path / "config.yaml").is_file():
            return False
        if (self.path / MANIFEST).exists():
            return True
        try:  # of version 0.1
            validate(Experiment, read_yaml(self.path / "config.yaml"), "config.yaml")
        except ConfigurationError:
            return False
        return (self.path / "run.json").is_file() and (self.path / "rounds.jsonl").is_file()

    @property
    def journal(self) -> Path:
        """The file in which jobs on devices are written down."""
        return self.path / "journal.sqlite"

    @property
    def is_finished(self) -> bool:
        """Whether the final model belongs to the run.

        Raises:
            ResultError: The manifest is damaged.
        """
        manifest = load_manifest(self.path)
        if manifest is None:
            return (self.path / "model.safetensors").exists()
        return "model.safetensors" in manifest.files

    def submissions(self) -> list[Submission]:
        """Return the jobs that the run sent to devices, in the order in which they were intended.

        Raises:
            ResultError: It is no result folder, or the journal is damaged.
        """
        self._check_is_result()
        if not self.journal.exists():
            return []
        with closing(Journal(self.journal, read_only=True)) as journal:
            return journal.all()

    def read(self) -> tuple[Experiment, dict[str, Any], StoredRecords]:
        """Read configuration, description and records, and check that they are what the run wrote.

        Of a run that is not finished these are the records up to its last checkpoint; what comes after is run again.

        Raises:
            ResultError: A file is missing, damaged, edited, or of another run.
        """
        experiment, manifest = self._read_experiment()
        run = self._read_description(manifest)
        records = self._records(manifest)
        has_model = (self.path / "model.safetensors").exists()  # studies keep records alone
        if manifest is not None and has_model and "model.safetensors" in manifest.files:
            manifest.check_file(self.path, "model.safetensors")
        if len(records) > experiment.federation.rounds:
            raise ResultError(
                f"{self.path} has {len(records)} rounds, but its configuration has federation.rounds "
                f"{experiment.federation.rounds}."
            )
        return experiment, run, records

    def _records(self, manifest: Manifest | None) -> StoredRecords:
        if manifest is None:
            self.warn(f"{self.path} was written by version 0.1: nothing proves that its files are whole.")
            return open_unproved(self.path / "rounds.jsonl")
        if "model.safetensors" in manifest.files:
            return self._proved_by(manifest, None)
        return self.newest_checkpoint(manifest, load_header)[1]

    def newest_checkpoint(
        self, manifest: Manifest, load: Callable[[Path], tuple[Header, _Found]]
    ) -> tuple[_Found | None, StoredRecords]:
        """Read the last checkpoint, or the one before where it is damaged, or of another run; a warning says so.

        Args:
            manifest: The folder's.
            load: Reads a checkpoint, or a part of it; raises a ResultError if it is damaged.

        Returns:
            What was read, or None if there is no checkpoint, and the records of the rounds up to it.

        Raises:
            ResultError: There are checkpoints, but none that can be used; or the records are damaged.
        """
        refused: list[ResultError] = []
        for path in self.checkpoints.newest_first():
            try:
                header, found = load(path)
                if header.run_id != manifest.run_id:
                    raise ResultError(f"{path} is of another run.")
                records = self._proved_by(manifest, header)
            except ResultError as error:
                refused.append(error)
                continue
            if refused:
                taken = f"The checkpoint before that is taken, {path}, after round {len(records)}."
                self.warn(f"{_reasons(refused)} {taken}")
            return found, records
        if refused:
            raise ResultError(
                f"{_reasons(refused)} There is no other checkpoint that can be used. {_what_helps(manifest)}"
            ) from refused[0]
        return None, self._proved_by(manifest, None)

    @property
    def has_warned(self) -> bool:
        """Whether something was wrong with the files that were read so far."""
        return bool(self._warned)

    def warn(self, text: str) -> None:
        """Log a warning, once: files are read several times."""
        if text not in self._warned:
            logger.warning("%s", text)
        self._warned.add(text)

    def _proved_by(self, manifest: Manifest, header: Header | None) -> StoredRecords:
        """Return the records up to a checkpoint; without one all of a finished run, and none of another."""
        whole = [proof for proof in (manifest.records, manifest.rewritten) if proof is not None]
        path = self.path / "rounds.jsonl"
        if "model.safetensors" in manifest.files:
            return open_records(path, whole, header.records.rounds if header else None)
        last = header.records if header else NOTHING
        return open_records(path, [last, *(proof for proof in whole if proof.rounds >= last.rounds)], last.rounds)

    def load_experiment(self) -> Experiment:
        """Read the resolved configuration, and check that it is the run's.

        Raises:
            ResultError: It is missing, damaged, or edited; keys that were edited are named.
        """
        return self._read_experiment()[0]

    def model_file(self) -> Path:
        """Return the file of the final model's tensors, and check that it is what the run wrote.

        Raises:
            ResultError: There is none, it is damaged, or it is another run's.
        """
        path = self.path / "model.safetensors"
        if not path.exists() or not self.is_finished:
            hint = f" The run is not finished: `fedqml resume {self.path}` continues it." if self.has_checkpoint else ""
            raise ResultError(f"{self.path} holds no model.safetensors of its own.{hint}")
        if (manifest := load_manifest(self.path)) is not None:
            manifest.check_file(self.path, path.name)
        return path

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint, damaged or not."""
        return bool(self.checkpoints.newest_first())

    def _check_is_result(self) -> None:
        if not (self.path / "config.yaml").is_file():
            raise ResultError(f"{self.path} is not a result folder: it has no config.yaml.")

    def proven_manifest(self) -> Manifest:
        """Return the manifest.

        Raises:
            ResultError: It is damaged, or there is none.
        """
        manifest = load_manifest(self.path)
        if manifest is None:
            raise ResultError(
                f"{self.path} was written by version 0.1: it can be read and reported, but not resumed or changed."
            )
        return manifest

    def _read_experiment(self) -> tuple[Experiment, Manifest | None]:
        self._check_is_result()
        manifest, path = load_manifest(self.path), self.path / "config.yaml"
        try:
            values = read_yaml(path)
            if manifest is not None:
                manifest.check_configuration(self.path, values if isinstance(values, dict) else {})
                values = manifest.configuration
            experiment = validate(Experiment, values, str(path))
        except ConfigurationError as error:
            raise ResultError(str(error)) from error
        if manifest is not None:
            for name in manifest.files:
                if name.startswith("calibrations/") or name in ("circuit.qpy", "data.npz"):
                    manifest.check_file(self.path, name)
        return experiment.with_files(lambda _, name: str((self.path / name).absolute())), manifest

    def _read_description(self, manifest: Manifest | None) -> dict[str, Any]:
        path = self.path / "run.json"
        run = parse_json(read_text(path, ResultError), str(path), ResultError)
        try:
            check_types(run, _DESCRIPTION)
        except TypeError as error:
            raise ResultError(f"{path} is damaged: {error}.") from error
        if not {"classes", "num_features"} <= run.keys():
            raise ResultError(f"{path} is damaged: it must name classes and num_features.")
        if manifest is not None:
            manifest.check_file(self.path, "run.json")
        elif "run_id" in run:
            raise ResultError(f"{self.path} has no {MANIFEST}, by which its files would prove to be whole.")
        return run


def _reasons(refused: Sequence[ResultError]) -> str:
    """Return why checkpoints cannot be used; the first reason for each file, and three at most."""
    by_file = {str(error).partition(" is ")[0]: str(error) for error in reversed(refused)}
    return " ".join([*reversed(by_file.values())][:3])


def _what_helps(manifest: Manifest) -> str:
    """Return what can be done where no checkpoint can be used."""
    copy = "Put back a copy of what is damaged"
    if "model.safetensors" in manifest.files or manifest.configuration["model"].get("initial"):
        return f"{copy}."  # what they hold is nowhere else
    return f"{copy}, or remove all checkpoints: `fedqml resume` then begins again at round 1."
