"""What the runs of the study of QPU time show, as a table and in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import fill

from parts.qpu_design import NOISELESS, Design
from qiskit_fedqml.study.outcomes import OUTCOMES
from qiskit_fedqml.study.statistics import over_seeds
from qiskit_fedqml.study.study import Study


@dataclass(frozen=True)
class QpuTime:
    """What a run takes of a device by its plan.

    Args:
        jobs: Jobs.
        executions: Executions.
        after_round: QPU seconds that are spent after each round.
    """

    jobs: int
    executions: int
    after_round: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """QPU seconds of the whole run."""
        return self.after_round[-1]


def table(study: Study, times: Mapping[str, QpuTime]) -> list[dict[str, str]]:
    """Return a row for each way, and the noiseless one first."""
    rows = []
    for name, time in [(NOISELESS, None), *times.items()]:
        row = {
            "Training": name,
            "Jobs": f"{time.jobs:,}" if time else "",
            "Executions": f"{time.executions:,}" if time else "",
            "QPU seconds": f"{time.seconds:,.0f}" if time else "",
        }
        for outcome in OUTCOMES:
            row[outcome.heading] = outcome.text(outcome.mean(study, name))
            less = outcome.heading_less("noiseless")
            row[less] = outcome.text(outcome.less(study, name, NOISELESS), signed=True) if time else ""
        rows.append(row)
    return rows


def about(study: Study, design: Design) -> str:
    """Return in words what the table's figures are."""
    seeds = len(study.of(NOISELESS))
    return f"{fill(_ABOUT.format(over=over_seeds(seeds), device=design.device), 120)}\n"


_ABOUT = """\
Rehearsed on {device}. Accuracies and losses are means of the last rounds (ten, or a quarter of a short run)
{over}, the aggregate tested exactly on an ideal machine. Differences are to the
noiseless run of the same seed: same data, shards, clients drawn and initial weights. Packed: as many copies of the
circuit as fit on the device, and one job for each step of all clients of a round, with batches of whole shards and four
local epochs; with batches of 8 there are as many steps in one epoch. One copy: the circuit on the best
qubits alone, and each client's jobs are its own; with all derivatives its accuracies come from a simulator with the
device's noise and as many shots. QPU time is the plan's for the first seed.
"""
