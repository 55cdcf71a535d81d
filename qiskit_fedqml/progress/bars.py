"""Progress as bars for features, rounds and clients, with loss and accuracy, on a terminal or in a notebook."""

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from qiskit_fedqml.backends.devices.request import JobWaiting
from qiskit_fedqml.federation.messages import ClientUpdate, Status
from qiskit_fedqml.progress.lines import MOST_METRICS, failure, figures_of, state_of, success
from qiskit_fedqml.progress.notebook import NotebookProgress
from qiskit_fedqml.progress.size import RunSize
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.tables import duration

_DAY_SECONDS = 86_400.0
"""Over so long the speed is averaged: a round on devices may take hours."""

_WIDTH_WITHOUT_METRICS = 100
_METRIC_WIDTH = 14
"""Characters that bars with losses and accuracy take, and that a metric takes: bars come first."""


class ProgressBars:
    """Shows a run as it goes; a context manager.

    Args:
        title: What the run is called.
        console: Where to show it; the standard error by default.
        in_notebook: Whether the bars are shown in the output of a notebook's cell.
    """

    def __init__(self, title: str, console: Console | None = None, *, in_notebook: bool = False) -> None:
        self._title = title
        self._console = console or Console(stderr=True)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20 if in_notebook else 40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left", style="dim"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[info]}", markup=False),
        )
        self._bars = (
            NotebookProgress(*columns)
            if in_notebook
            else Progress(*columns, console=self._console, speed_estimate_period=_DAY_SECONDS)
        )
        self._features: dict[str, TaskID] = {}
        self._rounds: TaskID | None = None
        self._clients: TaskID | None = None
        self._beginning: TaskID | None = None

    def __enter__(self) -> "ProgressBars":
        self._beginning = self._bars.add_task(f"{self._title}: preparing", total=None, info="")
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_beginning()
        self._bars.stop()

    def features_extracted(self, what: str, done: int, total: int) -> None:
        """Move the bar of the features."""
        key = f"{what}/{total}"
        if key not in self._features:
            self._features[key] = self._bars.add_task(what, total=total, info="")
        self._bars.update(self._features[key], completed=done)

    def preparing(self, what: str, done: int, total: int) -> None:
        """Name the phase, in the preparation's bar or next to the client whose turn it is."""
        if self._beginning is not None:
            self._bars.update(self._beginning, completed=done, total=total or None, info=what)
        elif self._clients is not None:
            self._bars.update(self._clients, info=what)

    def prepared(self, size: RunSize) -> None:
        """Show above the bars how large the run is."""
        self._console.print(f"{self._title}: {size}.", highlight=False, markup=False, soft_wrap=True)
        if size.warning:
            text = f"{self._title}: warning: {size.warning}."
            self._console.print(text, highlight=False, markup=False, soft_wrap=True, style="yellow")

    def round_started(self, round: int, num_rounds: int, num_clients: int) -> None:
        """Start the bar of the round's clients."""
        self._end_beginning()
        if self._rounds is None:
            self._rounds = self._bars.add_task(f"{self._title}: rounds", total=num_rounds, info="")
            self._clients = self._bars.add_task("clients", total=num_clients, info="")
        self._bars.update(self._rounds, completed=round - 1)
        if self._clients is not None:
            self._bars.reset(self._clients, total=num_clients)

    def client_finished(self, client: ClientUpdate) -> None:
        """Move the bar of the clients."""
        if self._clients is not None:
            self._bars.update(self._clients, advance=1, info=success(client))
        if client.status not in (Status.OK, Status.TESTED):
            self._console.print(failure(client), highlight=False, markup=False)

    def job_waiting(self, job: JobWaiting) -> None:
        """Show how far a job is."""
        if self._clients is not None:
            text = state_of(job)
            self._bars.update(self._clients, info=f"{text}, {duration(job.seconds)}" if job.job_id else text)

    def round_finished(self, record: RoundRecord) -> None:
        """Move the bar of the rounds."""
        if self._rounds is not None:
            room = self._bars.console.width - _WIDTH_WITHOUT_METRICS
            figures = figures_of(record, min(MOST_METRICS, max(0, room // _METRIC_WIDTH)))
            self._bars.update(self._rounds, completed=record.round, info=figures)

    def _end_beginning(self) -> None:
        """Take away the bar that is shown until something is known of the run."""
        if self._beginning is not None:
            self._bars.remove_task(self._beginning)
            self._beginning = None
