"""What runs have spent of their privacy, as tables show it."""

from collections.abc import Sequence

from qiskit_fedqml.report.cells import NOTHING
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.result import RunResult


def is_private(run: RunResult) -> bool:
    """Return whether a run has counted what it spends."""
    return run.rounds[-1].epsilon is not None


def is_simulated(run: RunResult) -> bool:
    """Return whether a run's noise follows from its seed, so that nobody is protected."""
    return run.experiment.privacy is not None and run.experiment.privacy.randomness == "simulated"


def privacy_column(of: Sequence[RunResult], records: Sequence[RoundRecord]) -> dict[str, str]:
    """Return the column of a table in which ε is; of several seeds, the largest.

    Args:
        of: A run, or runs that differ in the seed.
        records: A round of each.
    """
    spent = [record.epsilon for record in records if record.epsilon is not None]
    if not spent:
        return {"ε": NOTHING}
    return {"ε": f"{max(spent):.4g}{', simulated' if any(map(is_simulated, of)) else ''}"}
