"""The map of one machine as files."""

from pathlib import Path

from qiskit_fedqml.backends.array.chips import machine_map
from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.circuits.paper import paper_circuit
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.data.loading import load_dataset
from qiskit_fedqml.files import make_folder, write_new
from qiskit_fedqml.model.circuit import circuit_for
from qiskit_fedqml.report.device_map import map_panel
from qiskit_fedqml.report.drawing import panel_files, style


def write_map(
    registry: BackendRegistry, name: str, experiment: Experiment | None, out: Path, *, overwrite: bool = False
) -> str:
    """Draw a machine with the blocks of a circuit as NAME.svg and NAME.png.

    Args:
        registry: The machines.
        name: The machine's name.
        experiment: Whose circuit it is; None takes the paper's, of 4 qubits.
        out: The folder to write to.
        overwrite: Whether files there that hold something else may be replaced.

    Returns:
        What was drawn and where it is, in words.

    Raises:
        ConfigurationError: The experiment has more classes than qubits.
        DataError: Its data, of which all classes are taken, cannot be read.
        BackendError: As :func:`machine_map`.
        ResultError: A file exists already and holds something else, or cannot be written.
    """
    drawn = machine_map(registry, name, _circuit_of(experiment) if experiment else paper_circuit())
    with style():
        files = panel_files(map_panel(drawn, name), out)
    make_folder(out)
    write_new(files, overwrite=overwrite)
    png, svg = files
    return f"{drawn.title}: {drawn.summary}\nMap: {svg}, {png}"


def _circuit_of(experiment: Experiment) -> CircuitSpec:
    classes = getattr(experiment.data, "classes", None) or load_dataset(experiment.data, experiment.seed).classes
    return circuit_for(experiment.model, len(classes))
