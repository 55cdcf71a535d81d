"""The noise study's learning curves: noiseless, noisy, and with mitigated readout, with what each took."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from parts.noise_design import NOISELESS, SKEWED, UNIFORM, mitigated
from parts.noise_results import executions
from qiskit_fedqml.report.drawing import COLOURS
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.study.statistics import mean_interval, spread_of
from qiskit_fedqml.study.study import Study


def curve_figure(study: Study, title: str) -> Figure:
    """Draw accuracy and testing loss by round of both arrays, with and without mitigation, next to noiseless runs."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    seeds = len(study.of(NOISELESS))
    for part, array in zip(figure.subfigures(2, 1), (UNIFORM, SKEWED), strict=True):
        accuracy, loss = part.subplots(1, 2)
        for colour, scheme in zip(COLOURS, (NOISELESS, array, mitigated(array)), strict=False):
            label = f"{scheme} ({executions(study, scheme) / 1e6:,.1f} million executions)"
            _curve(accuracy, study, scheme, "test_accuracy", 100.0, colour, label)
            _curve(loss, study, scheme, "test_loss", 1.0, colour, label)
        accuracy.set(ylabel="Testing accuracy (%)")
        loss.set(ylabel="Testing loss")
        part.legend(*accuracy.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
        part.suptitle(array, fontsize=11)
    figure.suptitle(f"{title}: training with noise, and with mitigated readout; {spread_of(seeds)}")
    return figure


def _curve(axis: Axes, study: Study, scheme: str, value: str, scale: float, colour: str, label: str) -> None:
    runs = study.of(scheme).values()
    rounds = range(1, min(len(run.rounds) for run in runs) + 1)

    def value_of(record: RoundRecord) -> float:
        return scale * float(getattr(record, value))

    found = [mean_interval(value_of(run.rounds[n - 1]) for run in runs) for n in rounds]
    axis.plot(rounds, [interval.mean for interval in found], color=colour, linewidth=1.5, label=label)
    if all(interval.has_ends for interval in found):
        low, high = np.array([(interval.low, interval.high) for interval in found]).T
        axis.fill_between(rounds, low, high, color=colour, alpha=0.15, linewidth=0)
    axis.set(xlabel="Round")
    axis.grid(alpha=0.3, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
