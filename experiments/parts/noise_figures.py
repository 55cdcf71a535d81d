"""Figures of the noise study: what noise costs, by machine, shots and strength; by client; and in the gradient."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from parts.noise_design import NOISELESS, SHOTS, SKEWED, UNIFORM, Design, with_factor, with_shots
from parts.noise_results import gap, success_range
from qiskit_fedqml.report.drawing import COLOURS
from qiskit_fedqml.report.study_figures import interval_rows, intervals_by
from qiskit_fedqml.study.gradients import GradientQuality
from qiskit_fedqml.study.outcomes import OUTCOMES, Outcome
from qiskit_fedqml.study.statistics import spread_of
from qiskit_fedqml.study.study import Study


def gap_figure(study: Study, design: Design, title: str) -> Figure:
    """Draw what each machine and array costs, and how that changes with shots and with the strength of the noise."""
    figure = Figure(figsize=(11, 10), layout="constrained")
    machines, shots, factors = figure.subfigures(3, 1, height_ratios=(1.15, 1.1, 1))
    for part, draw in ((machines, _gap_by_machine), (shots, _gap_by_shots), (factors, _gap_by_factor)):
        for axis, outcome in zip(part.subplots(1, len(OUTCOMES), sharey=part is machines), OUTCOMES, strict=True):
            draw(axis, study, design, outcome)
    seeds = len(study.of(NOISELESS))
    what = f"by machine (success probability); {SHOTS:,} shots; {spread_of(seeds)}"
    machines.suptitle(f"{title}: what noise costs, {what}")
    shots.legend(*shots.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    shots.suptitle("Uniform array, by shots of each circuit", fontsize=11)
    factors.suptitle(f"Uniform array, by the factor on all of its error rates; {SHOTS:,} shots", fontsize=11)
    return figure


def _gap_by_machine(axis: Axes, study: Study, design: Design, outcome: Outcome) -> None:
    gaps = {f"{s}  ({success_range(study, s)})": gap(study, s, outcome) for s in design.machines_and_arrays}
    interval_rows(axis, gaps, outcome.heading_less("noiseless"), scale=outcome.scale)


def _gap_by_shots(axis: Axes, study: Study, design: Design, outcome: Outcome) -> None:
    gaps = [gap(study, with_shots(shots), outcome) for shots in design.finite_shots]
    intervals_by(axis, design.finite_shots, gaps, "with shots", COLOURS[0], scale=outcome.scale)
    exact = gap(study, with_shots(None), outcome)
    label = "exact: gate and readout errors only"
    axis.axhline(outcome.scale * exact.mean, color=COLOURS[1], linestyle=":", label=label)
    if exact.has_ends:
        axis.axhspan(outcome.scale * exact.low, outcome.scale * exact.high, color=COLOURS[1], alpha=0.12, linewidth=0)
    axis.set(xlabel="Shots of each circuit")
    _finish_gaps(axis, outcome, design.finite_shots, [f"{shots:,}" for shots in design.finite_shots])


def _gap_by_factor(axis: Axes, study: Study, design: Design, outcome: Outcome) -> None:
    gaps = [gap(study, with_factor(factor), outcome) for factor in design.factors]
    intervals_by(axis, design.factors, gaps, "", COLOURS[0], scale=outcome.scale)
    axis.set(xlabel="Factor on every error rate of the array")
    _finish_gaps(axis, outcome, design.factors, [f"× {factor:g}" for factor in design.factors])


def _finish_gaps(axis: Axes, outcome: Outcome, ticks: Sequence[float], labels: Sequence[str]) -> None:
    axis.set(xscale="log", xticks=ticks, ylabel=outcome.heading_less("noiseless"))
    axis.set_xticklabels(labels)
    axis.minorticks_off()
    axis.axhline(0, color="0.4", linewidth=1, linestyle="--")
    axis.grid(alpha=0.3, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def client_figure(clients: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Draw what noise adds to each client's training loss, by machine, in both arrays.

    Args:
        clients: A line for each array, seed and client, as ``clients.csv`` has them.
        title: The title's beginning.
    """
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for axis, scheme in zip(figure.subplots(1, 2, sharey=True), (UNIFORM, SKEWED), strict=True):
        lines = [line for line in clients if line["scheme"] == scheme]
        chances = {line["backend"]: float(line["success_probability"]) for line in lines}
        machines = sorted(chances, key=lambda machine: -chances[machine])
        for place, machine in enumerate(machines):
            added = sorted(float(line["added_train_loss"]) for line in lines if line["backend"] == machine)
            spread = np.linspace(-0.3, 0.3, len(added)) if len(added) > 1 else [0.0]
            axis.plot(np.add(place, spread), added, "o", color=COLOURS[0], markersize=3, alpha=0.5)
            axis.plot([place - 0.35, place + 0.35], [np.mean(added)] * 2, color=COLOURS[1], linewidth=2)
        labels = [f"{machine}\n{chances[machine]:.2f}" for machine in machines]
        axis.set(title=f"{title}, {scheme.lower()}", xticks=range(len(machines)), xticklabels=labels)
        axis.axhline(0, color="0.4", linewidth=1, linestyle="--")
        axis.grid(alpha=0.3, linewidth=0.6, axis="y")
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("Client's training loss less noiseless")
    figure.supxlabel("Machine and its success probability (points: clients of all seeds, in order; bar: mean)", size=10)
    return figure


def gradient_figure(qualities: Sequence[GradientQuality], title: str) -> Figure:
    """Draw how the gradient's signal shrinks, and its signal-to-noise ratio falls, as the machine errs more."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    signal, ratio = figure.subplots(1, 2)
    shots = sorted({quality.shots for quality in qualities})
    for colour, count in zip(COLOURS, shots, strict=False):
        of = sorted((q for q in qualities if q.shots == count), key=lambda q: -q.success_probability)
        errors = [1 - q.success_probability for q in of]
        ratio.plot(errors, [q.signal_to_noise for q in of], "o", color=colour, markersize=4, label=f"{count:,} shots")
    of = [q for q in qualities if q.shots == shots[0]]
    errors = [1 - q.success_probability for q in of]
    signal.plot(
        errors, [q.signal / q.ideal_signal for q in of], "o", color=COLOURS[0], label="length, noisy / noiseless"
    )
    signal.plot(errors, [q.cosine for q in of], "s", color=COLOURS[1], label="cosine of the angle between them")
    signal.set(ylabel="Exact gradient compared with the noiseless one", title=f"{title}: length and direction")
    ratio.set(yscale="log", ylabel="Length of the gradient / its shot noise", title="Signal to noise")
    figure.suptitle(
        "Gradient in the circuit's weights, one model and minibatch; a point is a machine at a noise factor"
    )
    ratio.axhline(1, color="0.4", linewidth=1, linestyle="--")
    for axis in (signal, ratio):
        axis.set_xlabel("1 − estimated success probability")
        axis.grid(alpha=0.3, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False)
    return figure
