"""A trained model, taken back from its result folder and tested on any backend."""

import csv
import io
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qiskit_fedqml.backends.array.given import given_again
from qiskit_fedqml.backends.array.own import Given, backend_of
from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.array.used import own_server
from qiskit_fedqml.backends.base import Backend
from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.backends.job import JobKey, Usage
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.text_files import parse_json, read_text
from qiskit_fedqml.data.loading import load_dataset
from qiskit_fedqml.data.preparation import digest_of, prepare_test_data
from qiskit_fedqml.errors import FedQMLError, ResultError
from qiskit_fedqml.files import check_replaceable, make_folder, write_new
from qiskit_fedqml.model.building import Blueprint
from qiskit_fedqml.model.circuit import circuit_for
from qiskit_fedqml.model.classifier import HybridClassifier
from qiskit_fedqml.model.layer import QuantumLayer
from qiskit_fedqml.model.metrics import confusion_matrix, measured, open_metrics
from qiskit_fedqml.model.prediction import loss_and_accuracy, predict
from qiskit_fedqml.results.provenance import (
    check_circuit,
    check_data,
    check_head,
    check_machines,
    check_weights,
)
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.seeds import derive_seed

_INSTEAD = "rename it"


def load_model(folder: str | Path, backend: object | None = None, *, backends: Given | None = None) -> HybridClassifier:
    """Build the trained model of a finished run.

    Args:
        folder: The result folder.
        backend: Evaluates its circuit, whatever :func:`~qiskit_fedqml.run_federation` takes as a backend but a
            function; the server's backend of the run by default. A model without a quantum layer has no use for it.
        backends: The objects that were given to the run as backends, again, where the server's is one of them.

    Returns:
        The model in evaluation mode on the CPU; it takes features of shape (batch, features), scales them itself, and
        gives logits of shape (batch, classes).

    Raises:
        ResultError: The folder is no finished result, or does not fit together.
        BackendError: The run's server backend cannot be opened.
    """
    result = RunResult.load(folder)
    config = result.experiment.model.model_copy(update={"device": "cpu"})
    state = result.state
    try:
        scaling = state["scaling.mean"].double().numpy(), state["scaling.deviation"].double().numpy()
        sizes = int(result.run["num_features"]), len(result.run["classes"])
        blueprint = Blueprint.of(result.experiment.seed, config, *sizes, scaling)
        check_circuit(result.run, blueprint.spec, Path(folder))
        layer: QuantumLayer | None = None
        if blueprint.has_circuit:
            objects = given_again(result.experiment, backends)
            registry = BackendRegistry(result.experiment.backends, Path(), objects=objects)
            if backend is None:
                check_machines(result.run, own_server(registry), Path(folder))
            layer = blueprint.layer_on(registry.server if backend is None else _as_backend(backend))
        model = blueprint.build(layer)
        check_head(result.run, model.head, Path(folder))
        model.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        if isinstance(error, FedQMLError):
            raise
        raise ResultError(f"{folder}: model.safetensors does not fit config.yaml: {error}") from error
    return model.eval()


def _as_backend(thing: object) -> Backend:
    """Return an object of the user's own as a backend, named by its class; a device of a registry is one already."""
    return thing if isinstance(thing, DeviceBackend) else backend_of(type(thing).__name__, thing)


def circuit_of(result: RunResult, folder: Path) -> CircuitSpec:
    """Return the circuit of a run's model.

    Raises:
        ResultError: A function of the user's own makes another one than when the run began.
        ConfigurationError: It cannot be read or made.
    """
    spec = circuit_for(result.experiment.model, len(result.run["classes"]))
    check_circuit(result.run, spec, folder)
    return spec


@dataclass(frozen=True)
class Evaluation:
    """A trained model's test on one backend.

    Args:
        backend: The backend's name.
        loss: Mean loss.
        accuracy: From 0 to 1.
        metrics: What the run's ``evaluation.metrics`` name.
        logits: Outputs, shape (examples, classes).
        labels: Class indices, shape (examples,).
        classes: Names of the classes.
        described: What the backend says of itself: device, calibration's date, shots.
        usage: Circuits, executions, and the jobs that a device ran.
    """

    backend: str
    loss: float
    accuracy: float
    metrics: dict[str, float]
    logits: NDArray[np.float64]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    described: dict[str, Any]
    usage: Usage

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Examples of each class that are taken for each class, shape (classes, classes predicted)."""
        return confusion_matrix(self.labels, self.logits)

    def summary(self) -> dict[str, Any]:
        """Return loss, accuracy and what the backend did, as values of JSON."""
        return {
            "backend": self.backend,
            "loss": self.loss,
            "accuracy": self.accuracy,
            **({"metrics": self.metrics} if self.metrics else {}),
            "confusion": self.confusion.tolist(),
            "examples": len(self.labels),
            "machine": self.described,
            **asdict(self.usage),
        }

    def save(self, folder: Path, *, overwrite: bool = False) -> Path:
        """Write ``NAME.json`` (figures of all) and ``NAME.csv`` (a line for each example); return the latter.

        Args:
            folder: Where.
            overwrite: Whether an evaluation there that gave something else may be replaced.

        Raises:
            ResultError: Another evaluation is there, or they cannot be written.
        """
        make_folder(folder)
        table = folder / f"{self.backend}.csv"
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(["example", "class", "predicted", *(f"output {name}" for name in self.classes)])
        for example, (label, outputs) in enumerate(zip(self.labels, self.logits, strict=True)):
            predicted = self.classes[int(outputs.argmax())]
            writer.writerow([example, self.classes[label], predicted, *(f"{value:.9g}" for value in outputs)])
        described = folder / f"{self.backend}.json"
        contents = {table: lines.getvalue().encode(), described: f"{json.dumps(self.summary(), indent=2)}\n".encode()}
        write_new(contents, overwrite=overwrite, instead=_INSTEAD)
        return table


def evaluate_model(folder: str | Path, backend: object, seed: int | None = None) -> Evaluation:
    """Test a finished run's model on a backend, with the run's test data.

    Args:
        folder: The result folder.
        backend: Evaluates the circuit, as :func:`load_model` takes it; a model without one can only be tested on the
            run's server backend.
        seed: Seed of the shots; by default it derives from the run's seed.

    Raises:
        ResultError: The folder is no finished result.
        DataError: The test data are not to be had.
        BackendError: The backend failed.
    """
    backend, result = _as_backend(backend), RunResult.load(folder)
    server = result.experiment.backends.assignment.server
    if not result.experiment.model.has_circuit and backend.name != server:
        raise ResultError(f"{folder}: this model runs no circuit, so it cannot be tested on {backend.name!r}.")
    model = load_model(folder, backend)
    dataset = load_dataset(result.experiment.data, result.experiment.seed)
    check_data(result.run, dataset.classes, {"test": digest_of(dataset.test)}, Path(folder))
    check_weights(result.run, result.experiment, Path(folder))
    examples = prepare_test_data(result.experiment, dataset)
    if isinstance(model.quantum, QuantumLayer):
        default = derive_seed(result.experiment.seed, f"shots of the evaluation on {backend.name}")
        model.quantum.neural_network.reseed(default if seed is None else seed, JobKey(0, None, 0, "evaluation"))
    with torch.no_grad():
        logits = predict(model, examples)
    loss, accuracy = loss_and_accuracy(logits, examples.labels, model.loss)
    metrics = measured(open_metrics(result.experiment.evaluation, logits.shape[1]), examples.labels, logits)
    usage = model.quantum.neural_network.usage if isinstance(model.quantum, QuantumLayer) else Usage()
    classes = tuple(result.run["classes"])
    return Evaluation(
        backend.name, loss, accuracy, metrics, logits, examples.labels, classes, backend.describe(), usage
    )


def check_unlike(folder: Path, registry: BackendRegistry, name: str) -> None:
    """Check, before a backend is asked, that no other evaluation is there that its own would replace.

    Those of a simulator come out the same each time, and are compared when they are there.

    Args:
        folder: The result folder.
        registry: The registry that has the backend.
        name: The backend's name.

    Raises:
        ResultError: There is one, of a device, or of another machine under the same name.
    """
    if name not in registry.file.backends:
        return
    table, described = (folder / "evaluations" / f"{name}.{kind}" for kind in ("csv", "json"))
    if described.is_file() and not registry.is_queued(name):
        machine = json.loads(json.dumps(registry[name].describe()))
        with suppress(ResultError):  # it is no evaluation
            earlier = parse_json(read_text(described, ResultError), str(described), ResultError)
            if isinstance(earlier, dict) and earlier.get("machine") == machine:
                return
    for path in (table, described):
        check_replaceable(path, instead=_INSTEAD)
