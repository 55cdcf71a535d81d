"""Commands that use a trained model: predict, export."""

from pathlib import Path
from typing import Annotated

import typer

from qiskit_fedqml.terminal.arguments import (
    ModelBackendOption,
    ModelBackendsOption,
    ReplaceOption,
    ResultFolder,
    usable,
)


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
    backend: ModelBackendOption = None,
    backends: ModelBackendsOption = None,
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


def export(
    directory: ResultFolder,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The file: NAME.pt2 (torch.export) or NAME.onnx.", callback=usable)
    ],
    overwrite: ReplaceOption = False,
) -> None:
    """Write the trained model of a finished run for other programs: its classical part, and its circuit as QPY.

    A model without a circuit is exported whole. Of any other the file ends at the circuit's inputs; NAME.circuit.qpy
    and NAME.json, with the circuit's weights and observables, are written next to it.
    """
    from qiskit_fedqml.results.export import export_model

    written = export_model(directory, file, overwrite=overwrite)
    if written.circuit is None:
        print(f"The whole model, from features to logits: {written.model}")
    else:
        print(f"The classical part, from features to the circuit's inputs: {written.model}")
        print(f"The circuit: {written.circuit}")
    print(
        f"What goes in, what comes out, classes{'' if written.circuit is None else ', weights'}: {written.description}"
    )
