"""Commands about ledgers: verify, show."""

from dataclasses import asdict
from typing import Annotated

import typer

from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.terminal.arguments import JsonOption, ReplaceOption, ResultFolder
from qiskit_fedqml.terminal.json_files import check_overwrite, write_json

ledger = typer.Typer(
    name="ledger", help="Verify or show the signed chain of what a run has aggregated.", no_args_is_help=True
)


def verify(
    directory: ResultFolder,
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="DIGEST", help="The digest of a link that you noted; it must be in the chain."),
    ] = None,
    json_: JsonOption = None,
    overwrite: ReplaceOption = False,
) -> None:
    """Prove from the ledger and the stored updates that the global model is what its rule gives.

    Says which link is the first that does not fit, and why, and ends with exit code 1 then.
    """
    from qiskit_fedqml.ledger.verifying import verify_ledger
    from qiskit_fedqml.terminal.ledgers import sentences_of

    check_overwrite(overwrite, json_)
    found = verify_ledger(directory, head)
    if write_json({"folder": str(directory), **asdict(found)}, json_, overwrite=overwrite):
        for sentence in sentences_of(found):
            print(sentence)
    if found.misfit:
        raise typer.Exit(1)


def show(directory: ResultFolder, json_: JsonOption = None, overwrite: ReplaceOption = False) -> None:
    """Show a ledger's head, links, keys and size. Nothing is verified."""
    from qiskit_fedqml.ledger.overview import overview_of
    from qiskit_fedqml.terminal.ledgers import rows_of
    from qiskit_fedqml.terminal.output import print_table

    check_overwrite(overwrite, json_)
    if (found := overview_of(directory)) is None:
        raise ResultError(f"{directory} has no ledger; a run keeps one with `ledger: true`.")
    if write_json({"folder": str(directory), **asdict(found)}, json_, overwrite=overwrite):
        print_table(rows_of(found))
