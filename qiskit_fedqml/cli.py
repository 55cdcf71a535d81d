"""The command line."""

from functools import partial
from typing import Annotated

import typer

from qiskit_fedqml import __version__
from qiskit_fedqml.terminal.commands.configuration import config, init
from qiskit_fedqml.terminal.commands.deployments import deploy
from qiskit_fedqml.terminal.commands.devices import jobs, plan
from qiskit_fedqml.terminal.commands.ledgers import ledger, show, verify
from qiskit_fedqml.terminal.commands.machines import backends
from qiskit_fedqml.terminal.commands.prediction import export, predict
from qiskit_fedqml.terminal.commands.privacy import privacy
from qiskit_fedqml.terminal.commands.results import citation, compare, evaluate, report
from qiskit_fedqml.terminal.commands.runs import extend, resume, run
from qiskit_fedqml.terminal.commands.studies import study
from qiskit_fedqml.terminal.help import epilog_of, help_of
from qiskit_fedqml.terminal.program import run_program
from qiskit_fedqml.terminal.verbosity import (
    HelpfulCommand,
    QuietOption,
    VerboseOption,
    reset_verbosity,
    set_verbosity,
    with_verbosity,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=epilog_of("fedqml"),
)
for command in (
    *(init, run, study, resume, extend, deploy, plan, privacy, jobs, compare, report),
    *(evaluate, predict, export, citation, backends, config),
):
    register = app.command(cls=HelpfulCommand, help=help_of(command), epilog=epilog_of(command.__name__))
    register(with_verbosity(command))
app.add_typer(ledger, epilog=epilog_of("ledger"))
for part in (verify, show):
    ledger.command(cls=HelpfulCommand, help=help_of(part))(with_verbosity(part))


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"fedqml {__version__}")
        raise typer.Exit


@app.callback()
def _fedqml(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Federated training of hybrid quantum-classical models over an array of NISQ machines."""
    reset_verbosity()
    set_verbosity(quiet=quiet, verbose=verbose)


def main() -> None:
    """Run the command line; what goes wrong ends it with one sentence and an exit code of its kind."""
    run_program(partial(app, prog_name="fedqml"))
