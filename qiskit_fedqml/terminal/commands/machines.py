"""The command that shows machines."""

from pathlib import Path

import typer

from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.terminal.arguments import (
    BackendsFileOption,
    CheckOption,
    ExperimentOption,
    JsonOption,
    MapFolder,
    MapOption,
    ReplaceOption,
    SaveOption,
    check_one_of,
    load,
)
from qiskit_fedqml.terminal.json_files import check_overwrite


def backends(
    file: BackendsFileOption = None,
    experiment: ExperimentOption = None,
    check: CheckOption = False,
    save_calibration: SaveOption = None,
    map_: MapOption = None,
    out: MapFolder = None,
    overwrite: ReplaceOption = False,
    json_: JsonOption = None,
) -> None:
    """Show the machines of a backends file, check their noise, save a calibration, or draw a device and its blocks."""
    from qiskit_fedqml.terminal.machines import check_machines, machines_of, save_machine, show_machines

    check_one_of(check=check, save_calibration=save_calibration is not None, map=map_ is not None, out=out is not None)
    has_files = save_calibration is not None or map_ is not None
    if has_files and json_ is not None:
        raise ConfigurationError("--json is for the table of machines and for --check.")
    check_overwrite(overwrite, json_, "--save-calibration, --map or ", has_files)
    path, run = file or Path("backends.yaml"), load(experiment, file, None) if experiment else None
    if save_calibration is not None:
        save_machine(*save_calibration, path, run, overwrite=overwrite)
    elif map_ is not None:
        from qiskit_fedqml.report.map_files import write_map

        print(write_map(machines_of(path, run), map_, run, out or Path(), overwrite=overwrite))
    elif not check:
        show_machines(path, run, json_, overwrite=overwrite)
    elif not check_machines(path, run, json_, overwrite=overwrite):
        raise typer.Exit(1)
