"""What attacks do to a federation and what defends it: accuracy and the attackers' success, attack by defence.

Six of 20 clients attack: with wrong labels, a backdoor, updates that they did not train, or a quantum machine that
lies. All take part in each round, on scikit-learn's digits 0 to 3. Each attack and defence of a seed has the same data,
initial weights and orders of examples as plain averaging without an attack, so that differences are paired. Finished
runs are not run again, and one that was begun is resumed.

    python experiments/attacks.py --seeds 5 --processes 2
"""

from pathlib import Path

from parts.attack_design import ATTACKS, CLEAN, DEFENCES, UNDEFENDED, can_be_stopped, experiment_of
from parts.attack_report import attack_figure, in_words
from parts.attack_results import Findings, accuracy_rows, best_rows, long_rows, scheme_of, success_rows, triggered_rates
from parts.command_line import ScriptParser, positive, run_script
from parts.progress import show_trial

from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.study.study import Trial
from qiskit_fedqml.study.summary import write_csv, write_study
from qiskit_fedqml.study.trials import run_trials
from qiskit_fedqml.tables import markdown_table

_SMALLEST = {
    "seeds": 1,
    "clients": 7,
    "attackers": 2,
    "attacks": ["scaled", "not_finite", "boosted_backdoor", "readout_flip"],
    "defences": ["median", "krum"],
    "set": ["model.hidden=[4]", "federation.rounds=4", "federation.local_epochs=1"],
}


def main() -> None:
    """Run what is not run yet, and write what all of it shows."""
    parser = ScriptParser(__file__, __doc__, smallest=_SMALLEST)
    parser.add_study_arguments(seeds=5)
    parser.add_argument("--clients", type=positive, default=20, help="all of a round (default: %(default)s)")
    parser.add_argument("--attackers", type=positive, default=6, help="how many attack (default: %(default)s)")
    for what, known, reference in (("attacks", ATTACKS, CLEAN), ("defences", DEFENCES, UNDEFENDED)):
        names = [name for name in known if name != reference]
        parser.add_argument(f"--{what}", nargs="+", choices=names, default=names, help="which ones (default: all)")
    arguments = parser.parse_args()
    clients, attackers = arguments.clients, arguments.attackers
    if 2 * attackers >= clients:
        raise ConfigurationError(f"--attackers ({attackers}) must be fewer than half of --clients ({clients}).")
    attacks, defences = [CLEAN, *arguments.attacks], [UNDEFENDED, *arguments.defences]
    out: Path = arguments.out
    trials = []
    for seed in range(1, arguments.seeds + 1):
        for attack in attacks:
            for defence in defences:
                size = {"seed": seed, "clients": clients, "attackers": attackers}
                experiment = experiment_of(attack, defence, overrides=arguments.set, **size)
                if not can_be_stopped(attack, experiment, attackers):
                    trials.append(Trial(scheme_of(attack, defence), experiment))
    kept = {"keep_models": True, "processes": arguments.processes}
    study = run_trials(trials, out / "runs", on_trial=show_trial, **kept)
    write_study(study, out)
    found = Findings(study, attacks, defences, clients, attackers, triggered_rates(study, out / "runs", clients))
    write_csv(long_rows(found), out / "table.csv")
    save_figure(attack_figure(found), out / "attacks")
    parts = [
        ("What attacks cost", best_rows(found)),
        ("Testing accuracy (%)", accuracy_rows(found)),
        ("Answers that attackers want (%)", success_rows(found)),
    ]
    text = "\n".join(f"## {title}\n\n{markdown_table(rows)}" for title, rows in parts if rows)
    text += f"\n## What these figures are\n\n{in_words(found)}\n"
    write_text(out / "results.md", text)
    print(text)


if __name__ == "__main__":
    run_script(main)
