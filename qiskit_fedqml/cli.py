"""The command line."""

import typer

from qiskit_fedqml.terminal.commands.deployments import deploy
from qiskit_fedqml.terminal.commands.devices import jobs, plan
from qiskit_fedqml.terminal.commands.machines import backends
from qiskit_fedqml.terminal.commands.results import citation, compare, evaluate, report
from qiskit_fedqml.terminal.commands.runs import extend, resume, run
from qiskit_fedqml.terminal.commands.studies import study
from qiskit_fedqml.terminal.program import run_program

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Federated training of hybrid quantum-classical models over an array of NISQ machines.",
    epilog="Start with: fedqml run experiments/digits.yaml --backends backends.yaml",
)
for command in (run, study, resume, extend, deploy, plan, jobs, compare, report, evaluate, citation, backends):
    app.command()(command)


def main() -> None:
    """Run the command line; a user's mistake ends with one sentence and exit code 2."""
    run_program(app)
