"""What runs have spent of their privacy, drawn round by round."""

from collections.abc import Mapping, Sequence
from typing import Any

from qiskit_fedqml.errors import listed
from qiskit_fedqml.report.drawing import Mark, Panel, colours, count_rounds, dashes, new_figure
from qiskit_fedqml.report.epsilon import is_private, is_simulated
from qiskit_fedqml.report.groups import Runs, all_runs, seeds_of
from qiskit_fedqml.report.naming import step_word, steps_word
from qiskit_fedqml.report.thinning import COLUMNS, MARK_COLUMNS, shared_columns, thinned
from qiskit_fedqml.results.result import RunResult

Groups = Mapping[str, Sequence[RunResult]]


def privacy_panels(runs: Runs) -> list[Panel]:
    """Draw ε by rounds, with the ceilings of runs; nothing where no run has counted it.

    Args:
        runs: Runs with at least one round, or several seeds of each, by name.
    """
    every = seeds_of(runs)
    groups = {name: of for name, of in every.items() if all(map(is_private, of))}
    if not groups:
        return []
    figure, axis = new_figure()
    count_rounds(axis, steps_word(all_runs(runs)).capitalize())
    of_lines, patterns, marks = colours(list(every)), dashes(list(every)), list[Mark]()
    for name, of in groups.items():
        epsilons = [max(spent) for spent in zip(*(_spent(run) for run in of), strict=False)]
        rounds = [float(record.round) for record in of[0].rounds][: len(epsilons)]
        drawn, pointed = (
            thinned(rounds, epsilons, shared_columns(most, len(groups))) for most in (COLUMNS, MARK_COLUMNS)
        )
        look: Any = {"color": of_lines[name], "marker": "o" if len(rounds) < 15 else None, "markersize": 3}
        points = [rounds[k] for k in drawn], [epsilons[k] for k in drawn]
        axis.plot(*points, label=name, linestyle=patterns[name], linewidth=1.6, **look)
        if (ceiling := _ceiling(of[0])) is not None:
            axis.axhline(ceiling, color=of_lines[name], linestyle=(0, (1, 3)), linewidth=1.2)
        of_run = f"{name}{', simulated noise' if is_simulated(of[0]) else ''}, {step_word(of[0])}"
        marks += [Mark(rounds[k], epsilons[k], f"{of_run} {rounds[k]:.0f}: ε = {epsilons[k]:.4g}") for k in pointed]
    axis.set_ylabel("ε")
    axis.set_ylim(bottom=0)
    shown = {name: of_lines[name] for name in groups}
    title = f"Privacy spent by {steps_word(all_runs(runs))}, as ε"
    return [Panel("privacy", title, figure, shown, marks, {n: patterns[n] for n in groups}, _note(every, groups))]


def _spent(run: RunResult) -> list[float]:
    return [record.epsilon for record in run.rounds if record.epsilon is not None]


def _ceiling(run: RunResult) -> float | None:
    return None if run.experiment.privacy is None else run.experiment.privacy.epsilon


def _note(every: Groups, groups: Groups) -> str:
    """Return in words what the figure does not show by itself."""
    configs = {name: of[0].experiment.privacy for name, of in groups.items()}
    deltas = dict.fromkeys(config.delta for config in configs.values() if config is not None)
    simulated = [name for name, of in groups.items() if is_simulated(of[0])]
    without = [name for name in every if name not in groups]
    sentences = (
        (f"δ = {', '.join(f'{delta:g}' for delta in deltas)}.", True),
        ("Dotted: the ceiling (privacy.epsilon).", any(_ceiling(of[0]) is not None for of in groups.values())),
        ("Of several seeds, the largest.", any(len(of) > 1 for of in groups.values())),
        (f"Simulated noise from the run's seed, so nobody is protected: {listed(simulated, 5)}.", bool(simulated)),
        (f"Without privacy, so not shown: {listed(without, 5)}.", bool(without)),
    )
    return " ".join(sentence for sentence, is_true in sentences if is_true)
