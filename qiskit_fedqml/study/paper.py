"""What the paper reports, and where a run departs from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qiskit_fedqml.config.aggregation import AggregationConfig
from qiskit_fedqml.config.backends import AerEntry
from qiskit_fedqml.config.circuit import PaperAnsatz
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.results.result import RunResult


@dataclass(frozen=True)
class Reported:
    """The paper's accuracies on one dataset, from 0 to 1.

    Args:
        table: The table that gives them.
        figure: The figure of the learning curves.
        federated: Those of the federated runs, by the number of local epochs.
        non_federated: That of the non-federated run.
        num_train: Training images of all clients.
        num_test: Test images.
    """

    table: str
    figure: str
    federated: Mapping[int, float]
    non_federated: float
    num_train: int
    num_test: int


REPORTED: Mapping[str, Reported] = {
    "cats_vs_dogs": Reported("Table II", "Fig. 6", {1: 0.987, 2: 0.986, 4: 0.986}, 0.9875, 23_000, 2_000),
    "planes_vs_cars": Reported("Table III", "Fig. 8", {1: 0.934, 2: 0.9405, 4: 0.9345}, 0.9365, 10_000, 2_000),
}
"""By the beginning of an experiment file's name."""


_NUM_FEATURES = 25_088
"""Of VGG16's last pooling layer, for an image of 224×224."""


def reported_for(name: str) -> Reported:
    """Return what the paper reports of the dataset of an experiment file.

    Args:
        name: The file's name without its ending, such as ``"cats_vs_dogs_squeezenet"``.

    Raises:
        ConfigurationError: It is none of the paper's.
    """
    for dataset, reported in REPORTED.items():
        if name.startswith(dataset):
            return reported
    raise ConfigurationError(f"{name!r} must begin with a dataset of the paper: {' or '.join(REPORTED)}.")


def departures(run: RunResult, reported: Reported) -> list[str]:
    """Return in words where a federated run departs from the paper, read from its configuration and description."""
    experiment = run.experiment
    return [
        *_of_features(experiment, run.run),
        *_of_data(experiment, run.run, reported),
        *_of_model(experiment),
        *_of_federation(experiment),
    ]


def choices(experiment: Experiment) -> list[str]:
    """Return in words what the paper does not say, and this run had to choose."""
    federation, scaling = experiment.federation, experiment.features.scaling
    decay = federation.learning_rate_decay
    return [
        f"Optimiser {federation.optimizer} with learning rate {federation.learning_rate:g}"
        + (f", times {decay:g} after each round" if decay != 1 else "")
        + ("; a client's optimiser starts fresh each round." if _resets(experiment) else "; its state is kept."),
        f"Dropout {experiment.model.dropout:g} after each hidden layer.",
        "Features as they are." if scaling is None else f"Features scaled: {scaling.model_dump_json()}.",
    ]


def _resets(experiment: Experiment) -> bool:
    return experiment.federation.client_optimizer_state == "reset"


def _of_features(experiment: Experiment, run: Mapping[str, Any]) -> list[str]:
    features = experiment.features
    if features.backbone is None:
        return ["Ready features take the place of the pretrained VGG16."]
    as_paper = features.backbone == "vgg16" and features.layer == "avgpool" and features.image_size == 224
    if as_paper and run["num_features"] == _NUM_FEATURES:
        return []
    what = "VGG16" if features.backbone == "vgg16" else f"{features.backbone} takes the place of VGG16,"
    return [
        f"{what} tapped at {features.layer!r} ({features.pooling}): {run['num_features']:,} features of an image of "
        f"{features.image_size}×{features.image_size}; the paper takes all of VGG16's convolutions, "
        f"{_NUM_FEATURES:,} features."
    ]


def _of_data(experiment: Experiment, run: Mapping[str, Any], reported: Reported) -> list[str]:
    found = []
    for what, paper in (("train", reported.num_train), ("test", reported.num_test)):
        here = run.get("examples", {}).get(what)
        if here is not None and here != paper:
            found.append(f"{here:,} {what}ing images; the paper has {paper:,}.")
    if len(run.get("classes", (0, 1))) != 2:
        found.append(f"{len(run['classes'])} classes; the paper has two.")
    if (partition := experiment.data.partition) is not None and partition.scheme != "iid":
        found.append(f"Images shared out by {partition.model_dump_json()}; the paper's are iid.")
    return found


def _of_model(experiment: Experiment) -> list[str]:
    model, found = experiment.model, []
    if model.hidden != (4096, 4096):
        found.append(f"Hidden widths {_widths(model.hidden)}; Table I has 4096–4096.")
    if model.quantum != "trainable":
        found.append(f"Quantum layer: {model.quantum}.")
    if model.circuit != PaperAnsatz():
        found.append(f"Circuit {model.circuit.model_dump_json()}; the paper's has 4 qubits, 2 layers and a ring.")
    return found


def _of_federation(experiment: Experiment) -> list[str]:
    federation, found = experiment.federation, []
    machines = {name: experiment.backends.backends[name] for name in experiment.backends.assignment.machines}
    noisy = sorted(name for name, entry in machines.items() if entry != AerEntry(type="aer"))
    if noisy:
        found.append(f"Clients train on {', '.join(noisy)}; the paper's simulator has neither noise nor shots.")
    if experiment.aggregation != AggregationConfig():
        found.append(f"Aggregation {experiment.aggregation.model_dump_json()}; the paper's is the plain mean.")
    if federation.proximal_mu:
        found.append(f"FedProx with μ = {federation.proximal_mu:g}; the paper has none.")
    for key, paper in (("clients", 100), ("clients_per_round", 5), ("rounds", 100), ("batch_size", 32)):
        here = getattr(federation, key)
        if here != paper and not (federation.clients == 1 and key in {"clients", "clients_per_round"}):
            found.append(f"{key}: {here}; the paper has {paper}.")
    return found


def _widths(hidden: tuple[int, ...]) -> str:
    return "–".join(map(str, hidden)) or "none"
