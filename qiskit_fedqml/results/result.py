"""A run as a value: its configuration, records and model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.federation.messages import State, Status
from qiskit_fedqml.results.best_round import ProgressMade
from qiskit_fedqml.results.confusion import load_confusion
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.private import privacy_in_words
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.showing import as_dataframe, result_as_html, result_in_words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
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
    final_state: State | None = field(default=None, compare=False)
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
        """Whether all rounds are there, or those until `federation.stop` ended the run."""
        return len(self.rounds) == self.experiment.federation.rounds or self._progress.has_ended

    @property
    def ended_early(self) -> str:
        """Why the run ended before its last round, where `stop` or `privacy.epsilon` ended it; empty otherwise."""
        config = self.experiment.federation
        if len(self.rounds) == config.rounds or not self._progress.has_ended:
            return ""
        if self.is_spent:
            return (
                f"Ended after round {len(self.rounds)} of {config.rounds}: one more would spend ε = "
                f"{self.rounds[-1].next_epsilon:.4g}, more than `privacy.epsilon`, {self._progress.most_epsilon:g}."
            )
        assert config.stop is not None
        of, rounds = self._data_looked_at, "1 round" if config.stop.patience == 1 else f"{config.stop.patience} rounds"
        return (
            f"Ended after round {len(self.rounds)} of {config.rounds}: the {of} {config.stop.metric} has not improved "
            f"for {rounds}."
        )

    @property
    def is_spent(self) -> bool:
        """Whether one more round would spend more than `privacy.epsilon`."""
        return self._progress.is_spent

    @property
    def final(self) -> RoundRecord:
        """The record of the round whose model is the final one: the last, or the best with `federation.keep_best`.

        Raises:
            ResultError: There is no round.
        """
        if not self.rounds:
            raise ResultError("This run has no round yet.")
        best = self._progress.best_round if self.experiment.federation.keep_best else 0
        return self.rounds[best - 1 if best else -1]

    @property
    def final_in_words(self) -> str:
        """Which round's model `federation.keep_best` made the final one; empty without that."""
        metric = self.experiment.federation.keep_best
        if metric is None or not self.rounds:
            return ""
        final = self.final
        return (
            f"The final model is that of round {final.round}, the best by {self._data_looked_at} {metric}: test loss "
            f"{final.test_loss:.4f}, accuracy {final.test_accuracy:.2%}."
        )

    @property
    def _data_looked_at(self) -> str:
        return "test" if self.rounds[-1].validation_loss is None else "validation"

    @cached_property
    def _progress(self) -> ProgressMade:
        return ProgressMade.of(self.experiment, self.rounds)

    @property
    def class_counts(self) -> dict[int, dict[str, int]]:
        """How many examples of each class each client holds: by the client's number, then by the class's name.

        Empty where the run does not know it client by client: there are more than 100 clients, they are elsewhere, or
        a version before 0.2 has run it.
        """
        known, classes = self.run.get("class_counts", {}), self.run["classes"]
        if any(size != 1 for size in known.get("clients", ())):
            return {}
        return {client: dict(zip(classes, row, strict=True)) for client, row in enumerate(known.get("counts", ()))}

    @property
    def privacy_in_words(self) -> str:
        """What was spent of `privacy`, and who is protected by what; empty without that, and before the first round."""
        return privacy_in_words(self)

    @property
    def never_trained(self) -> str:
        """Why no update was ever aggregated, so that the model is as it began; empty where one was."""
        is_private = self.experiment.privacy is not None  # where losses stay at the clients
        for record in self.rounds:  # most often the first one tells
            if record.train_loss is not None or (is_private and any(client.share for client in record.clients)):
                return ""
        lost = [c.outcome for r in self.rounds for c in r.clients if c.status in (Status.FAILED, Status.REFUSED)]
        return lost[-1] if lost else ""

    @cached_property
    def state(self) -> State:
        """The final model's tensors by name.

        Raises:
            ResultError: The run is not finished.
        """
        if self.final_state is not None:
            return self.final_state
        if self.folder is None:
            raise ResultError("This run keeps no model.")
        # Tensors take torch to read, for which whoever wants the records alone need not wait.
        from qiskit_fedqml.results.tensors import load_tensors

        return load_tensors(RunFolder(self.folder).model_file())

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

    def to_dataframe(self, *, clients: bool = False) -> "pd.DataFrame":
        """Return the records as a pandas table: figures and times of each round, or of each client in it.

        Args:
            clients: Whether there is a row for each client of each round, and not for each round.

        Raises:
            ConfigurationError: pandas, of the extra ``notebook``, is not installed.
        """
        return as_dataframe(self, clients=clients)

    def plot(self) -> "Figure":
        """Draw losses and accuracy, as :func:`~qiskit_fedqml.learning_curves` does for several runs.

        Raises:
            ResultError: There is no finished round.
        """
        # Figures and reports are made floors above; these shorthands call the public functions, as a user does.
        from qiskit_fedqml import compare

        name = self.folder.name if self.folder else "run"
        return compare({name: self}).plot(name)

    def report(self, out: str | Path, *, overwrite: bool = False) -> Path:
        """Write the report of this run, as :func:`~qiskit_fedqml.write_report` does for several.

        Args:
            out: The folder to write to.
            overwrite: Whether other files in the way are replaced.

        Returns:
            The page.

        Raises:
            ResultError: The run is not kept in a folder or has no finished round, or something is in the way.
        """
        from qiskit_fedqml import write_report

        if self.folder is None:
            raise ResultError("This run is kept in no folder, which a report needs: give one to `run_federation`.")
        return write_report([self.folder], Path(out), overwrite=overwrite)

    def __repr__(self) -> str:
        return result_in_words(self)

    def _repr_html_(self) -> str:
        return result_as_html(self)
