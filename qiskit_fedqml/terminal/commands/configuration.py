"""Commands about files of configuration: what they may say, and new ones."""

from pathlib import Path
from typing import Annotated

import typer

from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.terminal.arguments import BackendsOption, JsonOption, ReplaceOption, SetOption, usable
from qiskit_fedqml.terminal.json_files import check_overwrite


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
