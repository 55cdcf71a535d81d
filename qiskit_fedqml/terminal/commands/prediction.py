"""Commands that use a trained model: predict, export."""

from pathlib import Path
from typing import Annotated

import typer

from qiskit_fedqml.terminal.arguments import ReplaceOption, ResultFolder, usable


def predict(
    directory: ResultFolder,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…",
            help="Images and folders of images; for a model of ready features, .npz files with an array x and .csv "
            "files.",
            callback=usable,
        ),
    ],
    backend: Annotated[
        str | None, typer.Option("--backend", metavar="NAME", help="The backend; by default the run's server backend.")
    ] = None,
    backends: Annotated[
        Path | None,
        typer.Option(
            "--backends",
            metavar="YAML",
            help="The file that has the backend; by default the run's own, or ./backends.yaml.",
            callback=usable,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Write classes and probabilities, as .csv or .json.", callback=usable
        ),
    ] = None,
    json_: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", help="Write them as JSON; - prints it, and nothing else.", callback=usable
        ),
    ] = None,
    overwrite: ReplaceOption = False,
) -> None:
    """Classify new images, or files of features, with the trained model of a finished run.

    Images go through the backbone that the run used. What cannot be read is named and left out.
    """
    from qiskit_fedqml.terminal.predictions import predict_files

    predict_files(directory, files, backend, backends, out=out, json_=json_, overwrite=overwrite)
