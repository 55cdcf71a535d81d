"""Results compared in a notebook: the report's table and curves as a value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from qiskit_fedqml.errors import ConfigurationError, ResultError, listed
from qiskit_fedqml.report.curves import learning_curves
from qiskit_fedqml.report.naming import names_to_compare
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import html_table, markdown_table


@dataclass(frozen=True, repr=False)
class Comparison:
    """Runs next to each other; a notebook shows the paper's table of them.

    Args:
        runs: Runs with at least one round, by the names that they are shown under.
    """

    runs: Mapping[str, RunResult]

    @property
    def rows(self) -> list[dict[str, str]]:
        """The table: losses and accuracies of each run after its last round."""
        return table_rows(self.runs)

    def plot(self, title: str = "") -> Figure:
        """Draw the runs' learning curves, as :func:`~qiskit_fedqml.learning_curves`."""
        return learning_curves(self.runs, title)

    def __repr__(self) -> str:
        return markdown_table(self.rows)

    def _repr_html_(self) -> str:
        return html_table(self.rows)


def compare(runs: Mapping[str, RunResult | str | Path] | Sequence[str | Path]) -> Comparison:
    """Compare finished or unfinished runs.

    Args:
        runs: Results, or result folders, by the names to show them under; or folders alone, which name the runs.

    Returns:
        The comparison, which a notebook shows as a table; :meth:`Comparison.plot` draws it.

    Raises:
        ConfigurationError: There is no run, something is neither a result nor a folder, or a folder is given twice.
        ResultError: A folder is no result folder, or a run has no finished round.
    """
    if isinstance(runs, str | Path) or not isinstance(runs, Mapping | Sequence) or not runs:
        raise ConfigurationError(
            "Argument `runs` must be results or result folders by name, or a list of result folders, but got "
            f"{listed([runs])}."
        )
    if isinstance(runs, Mapping):
        given = dict(runs)
    else:
        folders = [Path(folder) for folder in runs if isinstance(folder, str | Path)]
        if len(folders) != len(runs):
            raise ConfigurationError("Argument `runs` must give results by name; a list holds result folders alone.")
        given = dict(zip(names_to_compare(folders), folders, strict=True))
    found = {name: _opened(name, run) for name, run in given.items()}
    for name, run in found.items():
        if not run.rounds:
            raise ResultError(f"The run {name!r} has no finished round yet, so there is nothing to compare of it.")
    return Comparison(found)


def _opened(name: str, run: object) -> RunResult:
    if isinstance(run, RunResult):
        return run
    if isinstance(run, str | Path):
        return RunResult.load(run)
    raise ConfigurationError(f"The run {name!r} must be a result or a result folder, but is a {type(run).__name__}.")
