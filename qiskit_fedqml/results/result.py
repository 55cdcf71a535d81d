"""A run as a value: its configuration, records and model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.federation.messages import Status
from qiskit_fedqml.results.confusion import load_confusion
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.records import RoundRecord


@dataclass(frozen=True)
class RunResult:
    """A finished (or, loaded from its folder, perhaps unfinished) run.

    Args:
        experiment: The resolved configuration.
        run: Versions, seed, threads, classes, and what else describes the run.
        rounds: The rounds, in order; those in a folder are read when they are asked for.
        folder: Where it is stored, or None.
        final_state: The model's tensors by name if they are in memory.
        stopped: Why it has just ended before its last round, where the next one could not be paid; empty otherwise.
        final_confusion: The final model's confusion matrix if it is in memory.
    """

    experiment: Experiment
    run: dict[str, Any]
    rounds: Sequence[RoundRecord]
    folder: Path | None = None
    final_state: dict[str, torch.Tensor] | None = field(default=None, compare=False)
    stopped: str = field(default="", compare=False)
    final_confusion: NDArray[np.int64] | None = field(default=None, compare=False)

    @classmethod
    def load(cls, folder: str | Path) -> "RunResult":
        """Read a result folder.

        Raises:
            ResultError: It is no result folder, or a file of it is damaged.
        """
        return cls.of(RunFolder(Path(folder)))

    @classmethod
    def of(cls, folder: RunFolder) -> "RunResult":
        """Read a result folder that is open already, and warns of each thing once.

        Raises:
            ResultError: As :meth:`load`.
        """
        return cls(*folder.read(), folder.path)

    @property
    def is_complete(self) -> bool:
        """Whether all rounds are there."""
        return len(self.rounds) == self.experiment.federation.rounds

    @property
    def never_trained(self) -> str:
        """Why no update was ever aggregated, so that the model is as it began; empty where one was."""
        if any(record.train_loss is not None for record in self.rounds):  # most often the first one
            return ""
        lost = [c.outcome for r in self.rounds for c in r.clients if c.status in (Status.FAILED, Status.REFUSED)]
        return lost[-1] if lost else ""

    @cached_property
    def state(self) -> dict[str, torch.Tensor]:
        """The final model's tensors by name.

        Raises:
            ResultError: The run is not finished.
        """
        if self.final_state is not None:
            return self.final_state
        if self.folder is None:
            raise ResultError("This run keeps no model.")
        return RunFolder(self.folder).load_model_state()

    @cached_property
    def confusion(self) -> NDArray[np.int64] | None:
        """The final model's confusion matrix on the server's test data, shape (classes, classes predicted).

        None where the run is not finished, or was finished by a version that did not keep it.

        Raises:
            ResultError: Its file is damaged.
        """
        if self.final_confusion is not None or self.folder is None:
            return self.final_confusion
        return load_confusion(self.folder)
