"""The one process that works on a result folder: it claims it, and writes it so that a kill loses few rounds."""

import json
import shutil
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.text_files import reading
from qiskit_fedqml.config.yaml_files import dump_yaml
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.federation.messages import State, States
from qiskit_fedqml.files import make_folder, save_tensors, write_text, writing
from qiskit_fedqml.results.checkpoint import Checkpoint
from qiskit_fedqml.results.confusion import CONFUSION, save_confusion
from qiskit_fedqml.results.folder import FILES, FOLDERS, RunFolder
from qiskit_fedqml.results.header import Header
from qiskit_fedqml.results.lock import LOCK, FolderLock
from qiskit_fedqml.results.manifest import Manifest, digest_of_file
from qiskit_fedqml.results.proof import NOTHING
from qiskit_fedqml.results.record_log import RecordLog
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.stored_records import StoredRecords


class RunWriter:
    """Writes a result folder.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._lock = FolderLock(folder.path)
        self._log = RecordLog(folder.path / "rounds.jsonl")
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        self._made: list[Path] = []
        self._has_new_lock = self._has_begun = False
        self._run_id = ""

    @property
    def path(self) -> Path:
        """The folder's path."""
        return self.folder.path

    def claim(self, *, overwrite: bool) -> None:
        """Make the folder if need be, keep other processes from it, and check that a run may be written here.

        Args:
            overwrite: Whether an earlier run here may be replaced.

        Raises:
            ResultError: It cannot be made or is in use, or :meth:`RunFolder.check_free` refuses it.
        """
        with writing(self.path):
            str(self.path).encode()  # safetensors takes no other names, and says so only when there is a model to write
            self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            is_locked_by_runs = (self.path / LOCK).exists()
            if not is_locked_by_runs:  # before anything is put there, were it a lock
                self.folder.check_free(overwrite=overwrite)
        make_folder(self.path)
        self.lock()
        self._has_new_lock = not is_locked_by_runs
        if is_locked_by_runs or not overwrite:  # somebody else may have begun a run meanwhile
            self.folder.check_free(overwrite=overwrite)

    def lock(self) -> None:
        """Keep other processes from working on the folder, if it exists.

        Raises:
            ResultError: Another process works on it.
        """
        self._lock.acquire()

    def release(self) -> None:
        """Let other processes work on the folder, once nothing is being written.

        Where no run was begun, nothing that was not there before is left: no lock, and no folder.
        """
        if self._writing is not None:
            with suppress(ResultError):  # reported already, or by what is being raised now
                self.wait()
        self._pool.shutdown()
        if self._has_new_lock and not self._has_begun:
            with suppress(OSError):
                (self.path / LOCK).unlink()
            self._lock.release()
            for folder in self._made:
                with suppress(OSError):  # somebody else has put something there
                    folder.rmdir()
        self._lock.release()

    def create(
        self, experiment: Experiment, run: dict[str, Any], begun: tuple[dict[str, Any], States] | None = None
    ) -> dict[str, Any]:
        """Remove the files of an earlier run, and write configuration and description.

        Args:
            experiment: The configuration.
            run: The description.
            begun: Plain values and tensors of the state before the first round, where they do not follow from the
                configuration: they are the first checkpoint.

        Returns:
            The description as it is stored, with the run's id.

        Raises:
            ResultError: The folder cannot be written.
            ConfigurationError: The configuration is too large to be read again.
        """
        kept: dict[str, bytes | Path] = {}
        inside = self.path.resolve()

        def keep(name: str, path: str) -> str:
            with reading(Path(path), ResultError) as file:  # read before anything is removed, if it lies in this folder
                is_inside = inside in Path(path).resolve().parents
                kept[name] = file.read() if is_inside else Path(path).absolute()
            return name

        relative = experiment.with_files(keep)
        configuration = dump_yaml(relative.resolved())  # likewise: not every one can be written
        described = {"run_id": uuid.uuid4().hex, **run}

        def write() -> None:
            self._has_begun = True
            for name in FILES:
                (self.path / name).unlink(missing_ok=True)
                (self.path / f"{name}.part").unlink(missing_ok=True)
            for name in FOLDERS:
                shutil.rmtree(self.path / name, ignore_errors=True)
            for name, content in kept.items():
                (self.path / name).parent.mkdir(exist_ok=True)
                if isinstance(content, Path):
                    shutil.copyfile(content, self.path / name)
                else:
                    (self.path / name).write_bytes(content)
            (self.path / "rounds.jsonl").touch()
            write_text(self.path / "run.json", json.dumps(described, indent=2) + "\n")
            files = {name: digest_of_file(self.path / name) for name in (*kept, "run.json")}
            Manifest(described["run_id"], relative.resolved(), files).save(self.path)
            if begun is not None:
                first = Checkpoint(Header(described["run_id"], begun[0], NOTHING), begun[1])
                self.folder.checkpoints.save(first, keep=1)
            self._write_configuration(configuration)  # the last one: now it is a result folder

        self._write(write)
        return described

    def replace_experiment(self, experiment: Experiment, command: str) -> None:
        """Write another configuration in place of the run's, and write down what changed it.

        Args:
            experiment: The other one; its files stay where they are.
            command: What changes it.

        Raises:
            ResultError: It cannot be written, or nothing proves the run.
            ConfigurationError: It is too large to be read again.
        """
        relative = experiment.with_files(lambda name, _: name)
        manifest, configuration = self.folder.proven_manifest(), dump_yaml(relative.resolved())
        self._write(lambda: manifest.changed(relative.resolved(), command).save(self.path))
        self._write_configuration(configuration)

    def append(self, record: RoundRecord) -> None:
        """Write a round's line.

        Raises:
            ResultError: It cannot be written.
        """
        self._log.append(record)

    @property
    def records(self) -> StoredRecords:
        """The records that the folder has."""
        return self._log.records

    def take_up(self, rounds: int) -> None:
        """Take up the records of the first rounds; those after them are still there.

        Raises:
            ResultError: They cannot be read.
        """
        self._log.take_up(rounds)

    def drop_later(self, step: int) -> None:
        """Drop the records and the checkpoints after those that are taken up: their rounds are run again.

        Args:
            step: The server step of the checkpoint that is taken up.

        Raises:
            ResultError: They cannot be written.
        """
        self._log.cut()
        self.folder.checkpoints.drop_after(step)

    def rewrite_records(self, records: Iterable[RoundRecord]) -> None:
        """Write records in place of the old ones, such as with QPU seconds that were charged later.

        Raises:
            ResultError: They cannot be written.
        """
        manifest = self.folder.proven_manifest()
        self._log.rewrite(records, lambda p: self._write(lambda: replace(manifest, rewritten=p).save(self.path)))
        self._write(lambda: replace(manifest, records=self._log.proof).save(self.path))

    def save_checkpoint(self, values: dict[str, Any], states: States, keep: int = 2) -> None:
        """Write a checkpoint, whole or not at all, while the next round runs.

        Args:
            values: Plain values of the state, the server step among them.
            states: Its tensors, which do not change any more.
            keep: How many checkpoints stay, with this one.

        Raises:
            ResultError: The checkpoint before this one cannot be written.
        """
        self._run_id = self._run_id or self.folder.proven_manifest().run_id
        checkpoint = Checkpoint(Header(self._run_id, values, self._log.proof), states)
        self.wait()
        self._writing = self._pool.submit(self._save, checkpoint, keep)

    def _save(self, checkpoint: Checkpoint, keep: int) -> None:
        self._log.sync()  # first the records, which the checkpoint proves
        self.folder.checkpoints.save(checkpoint, keep)

    def wait(self) -> None:
        """Wait until the checkpoint is on disk.

        Raises:
            ResultError: It cannot be written.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def finish(
        self,
        model_state: State,
        confusion: NDArray[np.int64],
        *,
        keep_checkpoint: bool,
        best_round: int | None = None,
    ) -> None:
        """Write the final model and its confusion matrix, and the digests by which the finished run proves whole.

        Args:
            model_state: The model's tensors.
            confusion: Examples of each class that are taken for each class, shape (classes, classes predicted).
            keep_checkpoint: Whether checkpoints hold more than the model, so that they stay for ``fedqml extend``.
            best_round: The round of the model where that need not be the last one, which the file's metadata say.

        Raises:
            ResultError: Something cannot be written.
        """
        self.wait()
        self._log.sync()
        save_tensors(self.path / "model.safetensors", model_state, {"round": str(best_round)} if best_round else {})
        self._write(lambda: save_confusion(self.path, confusion))
        manifest = self.folder.proven_manifest()
        finished = ("model.safetensors", CONFUSION)
        files = manifest.files | {name: digest_of_file(self.path / name) for name in finished}
        self._write(lambda: replace(manifest, files=files, records=self._log.proof).save(self.path))
        if not keep_checkpoint:
            self.folder.checkpoints.remove()

    def reopen(self) -> None:
        """Let a finished run, whose checkpoint is there, have more rounds.

        Raises:
            ResultError: It cannot be written.
        """
        manifest = self.folder.proven_manifest()
        finished = ("model.safetensors", CONFUSION)
        files = {name: digest for name, digest in manifest.files.items() if name not in finished}
        self._write(lambda: replace(manifest, files=files, records=None).save(self.path))
        for name in finished:
            self._write(partial((self.path / name).unlink, missing_ok=True))

    def _write_configuration(self, text: str) -> None:
        write_text(self.path / "config.yaml", text)

    def _write(self, action: Callable[[], None]) -> None:
        with writing(self.path):
            action()
