"""What updates and models give away: pictures rebuilt from a client's update, and who was trained on.

The first attack has what a client sends after a step on a few of scikit-learn's digits; the second the final model of a
federation that has learnt its examples by heart. Both are run without differential privacy and with it, at the level of
examples and of clients, where this version has it. Pictures are rebuilt each time; runs that are finished are not run
again, and one that was begun is resumed.

    python experiments/privacy_attacks.py --seeds 5 --runs 16 --processes 2
"""

from pathlib import Path

from parts.command_line import ScriptParser, positive, run_script
from parts.inversion_results import inversion_rows, picture_figure, rebuilt
from parts.membership import CLIENTS, membership_experiment
from parts.membership_results import guesses, member_figure, membership_rows, scheme_of
from parts.privacy_design import MODELS, in_words, protections
from parts.progress import show_trial

from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.study.study import Trial
from qiskit_fedqml.study.summary import write_csv, write_study
from qiskit_fedqml.study.trials import run_trials
from qiskit_fedqml.tables import markdown_table

_SMALLEST = {"seeds": 1, "runs": 3, "rounds": 3}


def main() -> None:
    """Rebuild pictures, run what is not run yet, and write what all of it shows."""
    parser = ScriptParser(__file__, __doc__, smallest=_SMALLEST)
    parser.add_argument("--seeds", type=positive, default=5, help="rounds of each kind (default: %(default)s)")
    parser.add_argument("--runs", type=positive, default=16, help="runs for guesses of members (default: %(default)s)")
    parser.add_argument("--rounds", type=positive, default=20, help="rounds of these runs (default: %(default)s)")
    parser.add_argument("--pool", type=positive, default=100, help="examples of which half are members")
    parser.add_argument("--processes", type=positive, default=1, help="runs at a time (default: %(default)s)")
    arguments = parser.parse_args()
    out: Path = arguments.out
    pictures = list(rebuilt(arguments.seeds))
    write_csv(inversion_rows(pictures), out / "pictures.csv")
    save_figure(picture_figure(pictures), out / "pictures")
    trials = [
        Trial(
            scheme_of(model, protection),
            membership_experiment(arguments.pool, seed, {"federation.rounds": arguments.rounds, **of, **settings}),
        )
        for seed in range(1, arguments.runs + 1)
        for model, of in MODELS.items()
        for protection, settings in protections(is_one_step=False).items()
    ]
    kept = {"keep_models": True, "processes": arguments.processes}
    study = run_trials(trials, out / "runs", on_trial=show_trial, **kept)
    write_study(study, out)
    found = guesses(study, out / "runs", arguments.pool)
    write_csv(membership_rows(found), out / "members.csv")
    save_figure(member_figure(found), out / "members")
    parts = (("Pictures from a step", inversion_rows(pictures)), ("Members", membership_rows(found)))
    text = "\n".join(f"## {title}\n\n{markdown_table(rows)}" for title, rows in parts)
    text += f"\n## What these figures are\n\n{in_words(arguments.runs, arguments.rounds, arguments.pool, CLIENTS)}\n"
    write_text(out / "results.md", text)
    print(text)


if __name__ == "__main__":
    run_script(main)
