"""What accuracy a QPU second buys: shots, random shifts, SPSA, and many copies of the circuit or one.

Trains the same federation on one large device, as a rehearsal, with 4 to 512 shots; with all derivatives, a random
part of them, or SPSA's; and with as many copies of the circuit as the device holds side by side, or one. QPU time is
the plan's. With one copy and all derivatives, accuracies come from a simulator with the device's noise and as many
shots, since hours would be needed to rehearse its jobs. Finished runs are not run again, and one that was begun is
resumed.

    python experiments/qpu_time_study.py --seeds 5
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parts.command_line import ScriptParser, experiment_file, run_script
from parts.progress import show_trial
from parts.qpu_design import FULL, NOISELESS, SMALLEST, Design, Way
from parts.qpu_figures import qpu_figure
from parts.qpu_results import QpuTime, about, table

from qiskit_fedqml import load_experiment
from qiskit_fedqml.files import write_text
from qiskit_fedqml.planning.planner import plan_experiment
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.study.study import Study, Trial
from qiskit_fedqml.study.summary import write_csv, write_study
from qiskit_fedqml.study.trials import run_trials
from qiskit_fedqml.tables import markdown_table


def main() -> None:
    """Run what is not run yet, and write what all of it shows."""
    few = ["federation.rounds=2", "federation.clients=6", "federation.clients_per_round=2", "data.test_fraction=0.8"]
    parser = ScriptParser(__file__, __doc__, smallest={"seeds": 2, "set": few})
    parser.add_study_arguments(seeds=5)
    arguments = parser.parse_args()
    design = SMALLEST if arguments.smallest else FULL
    path = experiment_file("digits_on_device")
    trials = trials_of(path, arguments.set, arguments.seeds, design)
    study = run_trials(trials, arguments.out / "runs", processes=arguments.processes, on_trial=show_trial)
    write_results(study, {way.name: qpu_time(path, arguments.set, way) for way in design.ways}, design, arguments.out)


def trials_of(path: Path, overrides: Mapping[str, Any], seeds: int, design: Design) -> list[Trial]:
    """Return a trial for each seed and way, and a noiseless one."""
    first = load_experiment(path, overrides).seed
    ideal = {"backends": {"backends": {"ideal": {"type": "aer"}}}}
    schemes = {NOISELESS: ideal, **{way.name: way.simulated or way.settings for way in design.ways}}
    return [
        Trial(name, load_experiment(path, {**overrides, **settings, "seed": first + k}))
        for k in range(seeds)
        for name, settings in schemes.items()
    ]


def qpu_time(path: Path, overrides: Mapping[str, Any], way: Way) -> QpuTime:
    """Return what the rounds of the first seed take by the plan; those of other seeds differ by the shards' sizes."""
    plan = plan_experiment(load_experiment(path, {**overrides, **way.settings}))
    seconds, spent = [0.0] * plan.num_rounds, 0.0
    by_round = {round: sum(item.work.qpu_seconds for item in items) for round, items in plan.by_round()}
    for round in range(1, plan.num_rounds + 1):
        spent += by_round.get(round, 0.0)
        seconds[round - 1] = spent
    return QpuTime(plan.total().jobs, plan.total().executions, tuple(seconds))


def write_results(study: Study, times: Mapping[str, QpuTime], design: Design, out: Path) -> None:
    """Write tables and the figure, and print the table."""
    write_study(study, out)
    rows = table(study, times)
    write_csv(rows, out / "table.csv")
    save_figure(qpu_figure(study, times, design), out / "qpu_time")
    text = f"{markdown_table(rows)}\n{about(study, design)}"
    write_text(out / "results.md", text)
    print(text)


if __name__ == "__main__":
    run_script(main)
