"""Commands about files of configuration: what they may say, and new ones."""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from qiskit_fedqml.errors import ConfigurationError, listed
from qiskit_fedqml.terminal.arguments import BackendsOption, JsonOption, ReplaceOption, SetOption, usable
from qiskit_fedqml.terminal.json_files import check_overwrite

_MOST_CLIENTS = 10_000_000
_MACHINES = ("ideal", "noisy", "ibm")


def config(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="An experiment file or a backends file.", callback=usable),
    ] = None,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Every key: its default, what it may be, and a sentence.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="The JSON schema, by which editors complete and check.")] = (
        False
    ),
    explain: Annotated[
        str | None, typer.Option("--explain", metavar="KEY", help="One key, whole or by its last parts.")
    ] = None,
    of: Annotated[
        str | None,
        typer.Option("--of", metavar="experiment|backends", help="Which kind of file, where none is given."),
    ] = None,
    backends: BackendsOption = None,
    set_: SetOption = None,
    json_: JsonOption = None,
    overwrite: ReplaceOption = False,
) -> None:
    """Show what a file of configuration says with all its defaults, or what it may say.

    For completion in an editor, write the schema to a file and name it in the first line of the experiment file:
    "# yaml-language-server: $schema=experiment.schema.json".
    """
    from qiskit_fedqml.terminal.configurations import model_of, show_key, show_keys, show_schema, show_values

    check_overwrite(overwrite, json_)
    if defaults + schema + (explain is not None) > 1:
        raise ConfigurationError("--defaults, --schema and --explain are different things: give one of them.")
    if (backends or set_) and (defaults or schema or explain is not None):
        raise ConfigurationError("--backends and --set have an effect only where a whole file is shown.")
    model = model_of(file, of)
    if schema:
        show_schema(model, json_, overwrite=overwrite)
    elif defaults:
        show_keys(model, file, json_, overwrite=overwrite)
    elif explain is not None:
        show_key(model, explain, file, json_, overwrite=overwrite)
    elif file is not None:
        show_values(model, file, backends, set_, json_, overwrite=overwrite)
    else:
        raise ConfigurationError("Give a FILE, or one of --defaults, --schema and --explain KEY.")


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where the files go; by default here.", callback=usable)
    ] = Path(),
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="digits|PATH", help="digits, a folder of pictures, or an NPZ, CSV or Parquet file."
        ),
    ] = None,
    clients: Annotated[
        int | None, typer.Option("--clients", metavar="N", help="How many clients there are.", min=1, max=10_000_000)
    ] = None,
    machines: Annotated[
        str | None,
        typer.Option("--machines", metavar="ideal|noisy|ibm", help="On what they train: see the file that is written."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option("--label", metavar="COLUMN", help="Of a table, the column of classes; by default the last one."),
    ] = None,
    missing: Annotated[
        str | None,
        typer.Option(
            "--missing",
            metavar="mean|drop",
            help="Of a table, what is done about missing values; by default the training data's mean takes their "
            "place, or rows that lack their class are left out.",
        ),
    ] = None,
) -> None:
    """Write an experiment file and a backends file for your data, with comments; they run as they are.

    The experiment is called as DIR is. Asks three questions, and of a table which column holds the classes, where no
    option is given and there is a terminal; otherwise data are the digits, clients 10, machines noisy. No file is
    overwritten.
    """
    from qiskit_fedqml.terminal.new_files import Plan, write_files
    from qiskit_fedqml.terminal.new_tables import columns_of, is_table

    if data is None and clients is None and machines is None and sys.stdin.isatty():
        data = typer.prompt("What data? digits, a folder of pictures, or an NPZ, CSV or Parquet file", default="digits")
        if is_table(data) and label is None:
            columns = columns_of(data)
            label = typer.prompt("Which column holds the classes?", default=columns[-1], value_proc=_one_of(columns))
        clients = typer.prompt("How many clients?", default=10, value_proc=_number_of_clients)
        machines = typer.prompt(
            "Which machines? ideal, noisy (simulated), or ibm (a device)",
            default="noisy",
            value_proc=_one_of(_MACHINES),
        )
    plan = Plan(data or "digits", 10 if clients is None else clients, machines or "noisy", label, missing)
    experiment, backends = write_files(directory, plan)
    print(f"Written: {experiment}, {backends}")
    for command in ("plan", "run") if plan.machines == "ibm" else ("run",):
        print(f"Next: {shlex.join(['fedqml', command, str(experiment)])}")


def _number_of_clients(text: str | int) -> int:
    if not str(text).isdecimal() or not 1 <= int(text) <= _MOST_CLIENTS:
        raise typer.BadParameter(f"{text!r} is no whole number from 1 to {_MOST_CLIENTS:,}.")
    return int(text)


def _one_of(words: Sequence[str]) -> Callable[[str], str]:
    def checked(text: str) -> str:
        if text not in words:
            raise typer.BadParameter(f"{text!r} is not one of {listed(words, 20)}.")
        return text

    return checked
