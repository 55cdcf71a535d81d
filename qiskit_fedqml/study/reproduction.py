"""The paper's tables from a study: its schemes, its own figures, what departs from it, and what the controls say."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qiskit_fedqml.config.circuit import PaperAnsatz
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.study.outcomes import ACCURACY, final_accuracy
from qiskit_fedqml.study.paper import Reported, choices, departures
from qiskit_fedqml.study.probe import LinearProbe
from qiskit_fedqml.study.statistics import Interval, in_points, mean_interval, over_seeds
from qiskit_fedqml.study.study import Study
from qiskit_fedqml.tables import duration

NON_FEDERATED = "Non-federated"
SCHEMES: Mapping[str, Mapping[str, Any]] = {
    "Federated, E = 1": {"federation.local_epochs": 1},
    "Federated, E = 2": {"federation.local_epochs": 2},
    "Federated, E = 4": {"federation.local_epochs": 4},
    NON_FEDERATED: {
        "federation.clients": 1,
        "federation.clients_per_round": 1,
        "federation.local_epochs": 1,
        "federation.client_optimizer_state": "keep",
    },
}
"""The rows of Tables II and III, as changes to an experiment file. One client that holds all data trains an epoch a
round, and its optimiser continues."""

CONTROLS: Mapping[str, Mapping[str, Any]] = {
    "Control, E = 1: quantum layer frozen": {"federation.local_epochs": 1, "model.quantum": "frozen"},
    "Control, E = 1: classical layer": {
        "federation.local_epochs": 1,
        "model.quantum": "classical",
        "backends": {"backends": {"ideal": {"type": "aer"}}},
    },
}
"""What a referee asks for: does training the circuit matter, and would as many classical parameters do as well?"""

_FIRST = "Federated, E = 1"


@dataclass(frozen=True)
class Reproduction:
    """What a study of the schemes and controls shows.

    Args:
        study: The runs.
        reported: The paper's figures for the dataset.
        probe: The linear probe on the same features.
    """

    study: Study
    reported: Reported
    probe: LinearProbe

    def rows(self) -> list[dict[str, str]]:
        """Return the table: a row for each scheme and control, and one for the linear probe."""
        rows = [self._row(scheme) for scheme in self.study.schemes]
        blank = dict.fromkeys(rows[0], "–")
        probe = {
            "Scheme": "Linear probe",
            "Testing loss": f"{self.probe.loss:.4f}",
            "Testing accuracy (%)": f"{100 * self.probe.accuracy:.2f}",
            "Trained parameters": "–",
            "Time": duration(self.probe.seconds),
            "Memory": _gibibytes(self.probe.peak_memory_bytes),
        }
        return [*rows, blank | probe]

    def _row(self, scheme: str) -> dict[str, str]:
        runs = self.study.of(scheme)
        last = [run.final for run in runs.values()]
        accuracy = mean_interval(final_accuracy(run) for run in runs.values())
        paper = self._paper(scheme)
        losses = [record.train_loss for record in last if record.train_loss is not None]
        seconds = [sum(record.seconds for record in run.rounds) for run in runs.values()]
        peaks = [record.peak_memory_bytes or 0 for run in runs.values() for record in run.rounds]
        return {
            "Scheme": scheme,
            "Training loss": f"{np.mean(losses):.4f}" if losses else "–",
            "Testing loss": f"{np.mean([record.test_loss for record in last]):.4f}",
            "Testing accuracy (%)": in_points(accuracy),
            "Mean of last rounds (%)": ACCURACY.text(ACCURACY.mean(self.study, scheme)),
            "Paper (%)": "–" if paper is None else f"{100 * paper:.2f}",
            "Less the paper (points)": "–" if paper is None else in_points(accuracy - paper, signed=True),
            "Seeds": str(len(runs)),
            "Examples a round": f"{_examples_a_round(runs):,}",
            "Trained parameters": f"{next(iter(runs.values())).run.get('num_trained_parameters', 0):,}",
            "Time": duration(float(np.median(seconds))),
            "Memory": _gibibytes(max(peaks)),
        }

    def _paper(self, scheme: str) -> float | None:
        if scheme == NON_FEDERATED:
            return self.reported.non_federated
        return self.reported.federated[SCHEMES[scheme]["federation.local_epochs"]] if scheme in SCHEMES else None

    def text(self, table: Callable[[Sequence[Mapping[str, str]]], str]) -> str:
        """Return table, gaps, what the controls say, and what departs from the paper, as Markdown.

        Args:
            table: Writes rows as a table.
        """
        first = next(iter(self.study.of(self.study.schemes[0]).values()))
        parts = [
            table(self.rows()),
            _about(first, self.reported, len(self.study.of(self.study.schemes[0]))),
            "## Federated less non-federated\n\n" + self._gaps(),
            "## Does the quantum layer contribute?\n\n" + self.contribution(),
            "## Examples used\n\n" + self._examples(),
            "## Departs from the paper\n\n" + _items(departures(first, self.reported) or ["Nothing."]),
            "## The paper does not say\n\n" + _items(choices(first.experiment)),
        ]
        return "\n".join(parts)

    def _difference(self, scheme: str, reference: str) -> Interval:
        return ACCURACY.less(self.study, scheme, reference)

    def _gaps(self) -> str:
        federated = [scheme for scheme in SCHEMES if scheme != NON_FEDERATED and scheme in self.study.schemes]
        if NON_FEDERATED not in self.study.schemes or not federated:
            return "Not run.\n"
        gaps = {scheme: self._difference(scheme, NON_FEDERATED) for scheme in federated}
        return _items(
            [f"{scheme}: {in_points(gap, signed=True)} points{_verdict(gap)}" for scheme, gap in gaps.items()]
        )

    def contribution(self) -> str:
        """Return in words whether training the circuit changes the accuracy compared with the controls."""
        if _FIRST not in self.study.schemes:
            return "Not run.\n"
        found = []
        for control in (scheme for scheme in CONTROLS if scheme in self.study.schemes):
            gap = self._difference(_FIRST, control)
            name = control.partition(": ")[2]
            found.append(f"Trained circuit less {name}: {in_points(gap, signed=True)} points{_verdict(gap)}")
        probe = ACCURACY.mean(self.study, _FIRST) - self.probe.accuracy
        found.append(f"Trained circuit less linear probe: {in_points(probe, signed=True)} points{_verdict(probe)}")
        circuits = {run.experiment.model.circuit for run in self.study.of(_FIRST).values()}
        if circuits == {PaperAnsatz()}:
            found.append("Of the circuit's 24 weights 15 can change its outputs; the classical layer has 24 that can.")
        return self._conclusion() + "\n\n" + _items(found)

    def _conclusion(self) -> str:
        controls = [scheme for scheme in CONTROLS if scheme in self.study.schemes]
        gaps = [self._difference(_FIRST, control) for control in controls]
        if not gaps or any(gap.half_width is None for gap in gaps):
            few = "One seed" if len(self.study.of(_FIRST)) == 1 else "Two seeds"
            return f"{few} cannot show a difference."
        if all(gap.excludes(0.0) and gap.mean > 0 for gap in gaps):
            return "Yes: with the trained circuit the accuracy is higher than with each control in its place."
        return "Not seen here: at least one control in its place does as well, within the interval, or better."

    def _examples(self) -> str:
        lines = []
        for scheme in (scheme for scheme in SCHEMES if scheme in self.study.schemes):
            runs = self.study.of(scheme)
            total = sum(record.examples for record in next(iter(runs.values())).rounds)
            unit = "an epoch" if scheme == NON_FEDERATED else "a round"
            paper = self.reported.num_train
            if scheme != NON_FEDERATED:  # 5 of 100 clients, E times
                paper = paper * 5 // 100 * int(SCHEMES[scheme]["federation.local_epochs"])
            lines.append(f"{scheme}: {_examples_a_round(runs):,} examples {unit} (paper: {paper:,}), {total:,} in all.")
        return _items(lines)


_ABOUT = """
Accuracies are those after the last round, {over}.
The paper ({table}) gives one run of each scheme. Gaps and contributions below are between means of the last
rounds (ten, or a quarter of a short run), in pairs of one seed.
Times are medians over the seeds. A test set of {num_test:,} images is itself a sample: another one of its size would
move an accuracy near 95% by about ±{sampling:.1f} points (95%), for all rows alike.
"""


def _about(run: RunResult, reported: Reported, seeds: int) -> str:
    num_test = int(run.run.get("examples", {}).get("test", reported.num_test))
    sampling = 196 * np.sqrt(0.95 * 0.05 / num_test)
    over = over_seeds(seeds) if seeds == 1 else f"means {over_seeds(seeds)}"
    return _ABOUT.format(over=over, table=reported.table, num_test=num_test, sampling=sampling)


def _examples_a_round(runs: Mapping[int, RunResult]) -> int:
    return next(iter(runs.values())).rounds[0].examples


def _verdict(gap: Interval) -> str:
    if gap.half_width is None:
        few = "one seed: no interval" if gap.count == 1 else f"range of {gap.count} seeds: no interval"
        return f" ({few}, so no conclusion)."
    if not gap.excludes(0.0):
        return f": no significant difference; one of more than {100 * max(-gap.low, gap.high):.2f} points is excluded."
    return ": higher." if gap.mean > 0 else ": lower."


def _items(lines: Sequence[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


def _gibibytes(value: int | None) -> str:
    return f"{value / 2**30:.1f} GiB" if value else "–"
