"""What it costs to do without a server: gossip on a ring and on a torus against FedAvg.

Trains the digits in federations whose clients all train in each round: with a server that averages them, and as nodes
of a graph that mix with their neighbours; once nodes also leave and come back. Runs of a seed have the same data,
shards and initial weights, so the differences are paired. Finished runs are not run again, and one that was begun is
resumed.

    python experiments/gossip_study.py --seeds 10 --processes 2
"""

from pathlib import Path

from parts.command_line import ScriptParser, experiment_file, positive, run_script
from parts.gossip_results import Pair, about, gossip_figure, node_lines, table
from parts.progress import show_trial

from qiskit_fedqml import load_experiment
from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.study.study import Trial
from qiskit_fedqml.study.summary import write_csv, write_study
from qiskit_fedqml.study.trials import run_trials
from qiskit_fedqml.tables import markdown_table

SETTINGS = {"federation.rounds": 100, "federation.learning_rate_decay": 0.98, "federation.lockstep": "auto"}
LEAVING = {"probability": 0.1, "return_probability": 0.3}
"""A node is there for three quarters of the time."""


def main() -> None:
    """Run what is not run yet, and write what all of it shows."""
    few = ["federation.rounds=4", "data.test_fraction=0.8", "model.hidden=[4]"]
    parser = ScriptParser(__file__, __doc__, smallest={"seeds": 2, "ring": 4, "torus": 9, "set": few})
    parser.add_study_arguments(seeds=10)
    parser.add_argument("--ring", type=positive, default=16, help="nodes of the ring (default: %(default)s)")
    parser.add_argument("--torus", type=positive, default=64, help="nodes of the torus (default: %(default)s)")
    arguments = parser.parse_args()
    out: Path = arguments.out
    ring, torus = arguments.ring, arguments.torus
    pairs = [
        Pair(f"Ring of {ring}", f"FedAvg, {ring} clients", ring, {"graph": "ring"}),
        Pair(f"Ring of {ring}, nodes leave", f"FedAvg, {ring} clients", ring, {"graph": "ring", "leaving": LEAVING}),
        Pair(f"Torus of {torus}", f"FedAvg, {torus} clients", torus, {"graph": "torus"}),
    ]
    settings = {name: of for pair in pairs for name, of in pair.settings().items()}
    path, overrides = experiment_file("digits"), {**SETTINGS, **arguments.set}
    first = load_experiment(path, overrides).seed
    trials = [
        Trial(name, load_experiment(path, {**overrides, **of, "seed": first + k}))
        for k in range(arguments.seeds)
        for name, of in settings.items()
    ]
    study = run_trials(trials, out / "runs", processes=arguments.processes, on_trial=show_trial)
    write_study(study, out)
    rows = table(study, pairs)
    write_csv(rows, out / "table.csv")
    write_csv(node_lines(study), out / "nodes.csv")
    save_figure(gossip_figure(study), out / "gossip")
    text = f"{markdown_table(rows)}\n{about(study, LEAVING)}"
    write_text(out / "results.md", text)
    print(text)


if __name__ == "__main__":
    run_script(main)
