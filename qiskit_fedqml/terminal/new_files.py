"""The files that `fedqml init` writes: an experiment of the user's data, and its machines, with comments."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.data.datasets import Dataset
from qiskit_fedqml.data.entries import visible_entries
from qiskit_fedqml.data.loading import load_dataset
from qiskit_fedqml.data.location import find_data
from qiskit_fedqml.errors import ConfigurationError, DataError, ResultError, listed, shown
from qiskit_fedqml.files import make_folder, write_new
from qiskit_fedqml.terminal.new_partition import REDRAWS, chosen_partition
from qiskit_fedqml.terminal.new_tables import NewTable, is_table, new_table, wrapped

MACHINES = ("ideal", "noisy", "ibm")
_WEIGHTS = "weights/squeezenet1_1_imagenet.pth"
"""Where the backbone's weights are looked for below $FEDQML_DATA before they are downloaded."""
_EXAMPLES_PER_UNIT = 20
"""Training examples for each unit of the head's hidden layer: each of them has a weight for each feature."""
_WIDEST = 64
_QUBITS = 4
"""The paper's, which are enough for so many classes."""
_LAYERS = 4
"""Layers of a circuit for a table of more than two classes, of which the paper's two lose one with some seeds."""


@dataclass(frozen=True)
class Plan:
    """What the files are to say.

    Args:
        data: ``digits``, a folder of pictures, or an NPZ or table file.
        clients: How many clients there are.
        machines: One of ``MACHINES``.
        label: The column of a table with the classes; None is its last one.
        missing: What is done about missing values of a table, ``drop`` or ``mean``; None is as they need it.
    """

    data: str
    clients: int
    machines: str
    label: str | None = None
    missing: str | None = None


def write_files(folder: Path, plan: Plan) -> tuple[Path, Path]:
    """Write the experiment, called as its folder is, and the backends file; return where they are.

    Args:
        folder: Where; it is made if it is not there.
        plan: What they are to say.

    Raises:
        ConfigurationError: There is no such choice, or there are more clients than training examples.
        DataError: The data are missing or cannot be used.
        ResultError: One of the files exists already, or cannot be written.
    """
    if plan.machines not in MACHINES:
        raise ConfigurationError(f"--machines must be one of {listed(MACHINES)}, but got {shown(plan.machines)}.")
    if plan.missing not in (None, "mean", "drop"):
        raise ConfigurationError(f"--missing must be mean or drop, but got {shown(plan.missing)}.")
    data = data_section(plan)
    dataset = load_dataset(_data_of(data.section), 0)
    if plan.clients > len(dataset.train):
        raise ConfigurationError(
            f"--clients must be at most {len(dataset.train):,}, the training examples, but got {plan.clients:,}."
        )
    experiment, backends = folder / f"{_name_of(folder)}.yaml", folder / "backends.yaml"
    contents = {
        experiment: _experiment(data, dataset, plan).encode(),
        backends: _backends(plan.machines, _num_qubits(dataset)).encode(),
    }
    for path, content in contents.items():
        if os.path.lexists(path) and not (path.is_file() and path.read_bytes() == content):
            raise ResultError(f"{path} exists already; choose another folder, or move it away.")
    make_folder(folder)
    write_new(contents, overwrite=False)
    return experiment, backends


def data_section(plan: Plan) -> NewTable:
    """Return the section `data` of an experiment, without the partition, and comments on its keys.

    Raises:
        DataError: There is no such data set, folder or file.
        ConfigurationError: Something is said of a table where there is none.
    """
    data = plan.data
    for option, value in (("--label", plan.label), ("--missing", plan.missing)):
        if value is not None and not is_table(data):
            raise ConfigurationError(f"{option} is for a CSV or Parquet file, but --data is none.")
    if data == "digits":
        return NewTable({"dataset": "digits", "classes": [0, 1, 2, 3], "test_fraction": 0.2})
    path = find_data(data).absolute()
    if path.is_dir():
        names = {entry.path.name.casefold() for entry in visible_entries(path) if entry.is_folder}
        split = {} if {"train", "test"} <= names else {"test_fraction": 0.2}
        return NewTable({"dataset": "image_folder", "path": str(path), **split})
    if path.suffix.lower() == ".npz":
        return NewTable({"dataset": "npz", "path": str(path)})
    if is_table(data):
        return new_table(path, plan.label, plan.missing)
    raise DataError(f"{shown(data)} must be digits, a folder of pictures, or an NPZ, CSV or Parquet file.")


def _data_of(section: Mapping[str, Any]) -> Any:
    """Return the section as it is checked in an experiment."""
    federation = {"clients": 1, "clients_per_round": 1, "rounds": 1}
    return validate(Experiment, {"data": dict(section), "federation": federation}, "--data").data


def _num_qubits(dataset: Dataset) -> int:
    return max(_QUBITS, len(dataset.classes))


def _name_of(folder: Path) -> str:
    """Return what the experiment is called, and so its result: as the folder is."""
    name = folder.resolve().name
    return name if name and name != "backends" else "experiment"


def _experiment(data: NewTable, dataset: Dataset, plan: Plan) -> str:
    """Return the experiment file."""
    has_images = not isinstance(dataset.train.inputs, np.ndarray)
    hidden = _width(len(dataset.train)) if has_images else 16
    is_on_device = plan.machines == "ibm"
    batch_size, at_work = 32 if is_on_device else 8, min(plan.clients, 2 if is_on_device else 5)
    sizes = f"{len(dataset.train):,} training examples and {len(dataset.test):,} for tests"
    lines: list[tuple[str, str]] = [
        (f"# {sizes}, of the classes {listed(dataset.classes, 8)}.", ""),
        ("# `fedqml config --explain KEY` says what a key is; `fedqml config --defaults` lists all of them.", ""),
        ("# For completion in an editor: `fedqml config --schema --json experiment.schema.json`, and as the first", ""),
        ('# line here "# yaml-language-server: $schema=experiment.schema.json".', ""),
        ("seed: 1", "the same seed gives the same run, to the bit"),
        ("", ""),
        ("data:", ""),
        *(line for key, value in data.section.items() for line in _entry(key, value, data.notes.get(key, ()))),
        *_partition(dataset, plan, batch_size),
        *([] if data.section["dataset"] == "digits" else _features(has_images=has_images)),
        ("", ""),
        ("model:", ""),
        (f"  hidden: {[hidden] if hidden else []}", "the head before the circuit: narrow where there are few examples"),
        ("  dropout: 0.0", "part of the hidden units that is dropped at random in training"),
        *_circuit(len(dataset.classes), is_deep=data.section["dataset"] in ("table", "npz") and not is_on_device),
        ("", ""),
        ("federation:", ""),
        (f"  clients: {plan.clients}", ""),
        (f"  clients_per_round: {at_work}", "all of them" if at_work == plan.clients else "drawn again in each round"),
        (f"  rounds: {3 if is_on_device else 40 if has_images else 20}", ""),
        (f"  batch_size: {batch_size}", ""),
        (f"  learning_rate: {0.003 if has_images else 0.02}", "of the clients' optimiser, Adam"),
        *([("  learning_rate_decay: 0.95", "after each round; the last ones swing less")] if has_images else []),
        ("", ""),
        ("backends: backends.yaml", "the machines and who has which"),
    ]
    return _commented(lines)


def _entry(key: str, value: Any, notes: Sequence[str]) -> list[tuple[str, str]]:
    """Return the lines of a key of the section `data`, below its comments; a list goes over several lines."""
    above = [(f"  # {note}", "") for note in notes]
    if not isinstance(value, list):
        return [*above, (f"  {key}: {json.dumps(value, ensure_ascii=False)}", "")]
    first, *more = wrapped([f"{json.dumps(one, ensure_ascii=False)}," for one in value])
    lines = [f"  {key}: [{first}", *(f"    {line}" for line in more)]
    return [*above, *((line, "") for line in [*lines[:-1], f"{lines[-1]}]"])]


def _partition(dataset: Dataset, plan: Plan, batch_size: int) -> list[tuple[str, str]]:
    """Return how the data are divided among the clients."""
    partition, fewest = chosen_partition(dataset.train.labels, plan.clients, batch_size)
    least = [
        (f"  min_examples: {fewest}", "of each client, or the data are divided again,"),
        (f"  redraw: {REDRAWS}", "up to so many times"),
    ]
    return [
        ("  partition:", "how the training data are divided among the clients"),
        (f"    scheme: {partition.scheme}", "unequal shares of each class; iid: equal parts"),
        (f"    alpha: {partition.alpha}", "the smaller, the more unequal"),
        *(least if fewest > 1 else []),
    ]


def _circuit(num_classes: int, *, is_deep: bool) -> list[tuple[str, str]]:
    """Return what the circuit has more than the paper's; on a device, more layers would cost more jobs."""
    qubits = [f"num_qubits: {num_classes}"] if num_classes > _QUBITS else []
    layers = [f"num_layers: {_LAYERS}"] if num_classes > 2 and is_deep else []
    if not qubits and not layers:
        return []
    comments = ["a qubit for each class"] * len(qubits) + ["with 2 layers a class may get lost"] * len(layers)
    return [(f"  circuit: {{{', '.join([*qubits, *layers])}}}", "; ".join(comments))]


def _commented(lines: Sequence[tuple[str, str]]) -> str:
    """Return lines, each with its comment."""
    return "".join(f"{f'{text:<32} # {comment}' if comment else text}\n" for text, comment in lines)


def _width(examples: int) -> int:
    """Return the width of the head's hidden layer for so many training examples; 0 is none."""
    most = examples // _EXAMPLES_PER_UNIT
    return min(_WIDEST, 1 << (most.bit_length() - 1)) if most >= 8 else 0


def _features(*, has_images: bool) -> list[tuple[str, str]]:
    """Return the section `features`."""
    if not has_images:
        scaling = ("  scaling: {method: client_sums, per_feature: true, center: true}", "")
        return [("", ""), ("features:", "each has mean 0 and standard deviation 1"), scaling]
    is_here = _has_weights()
    where = "in $FEDQML_DATA" if is_here else "in $FEDQML_DATA/weights, or downloaded, 5 MB; or a state-dict file"
    return [
        ("", ""),
        ("features:", "a frozen torchvision model, tapped at a layer; computed once, kept on disk"),
        ("  backbone: squeezenet1_1", ""),
        ("  layer: features", ""),
        (f"  weights: {_WEIGHTS if is_here else 'torchvision'}", where),
        ("  image_size: 224", ""),
        ("  pooling: average", "512 features of an image; flatten would give 86,528"),
        ("  scaling: {method: client_sums}", ""),
    ]


def _has_weights() -> bool:
    try:
        return find_data(_WEIGHTS).is_file()
    except DataError:
        return False


def _backends(machines: str, num_qubits: int) -> str:
    """Return the backends file."""
    fake = next((name for most, name in _FAKES if num_qubits <= most), "FakeTorino")
    chosen = {"ideal": "ideal", "noisy": "noisy", "ibm": "device"}[machines]
    device = "{type: ibm, device: {least_busy: {min_qubits: 20}}, shots: 512, budget_seconds: 300}"
    off = "" if machines == "ibm" else "# "
    lines = [
        ("# The machines; `fedqml backends` shows them.", ""),
        ("backends:", ""),
        ("  ideal: {type: aer}", "exact, without noise"),
        (f"  noisy: {{type: aer, noise: {fake}, shots: 1024}}", "simulated, with a device's noise"),
        ("", ""),
        ("  # A device's jobs on this computer, and a real device with the most QPU seconds that it may cost.", ""),
        (f"  {off}rehearsed: {{type: ibm, device: FakeFez, shots: 512}}", ""),
        (f"  {off}device: {device}", ""),
        ("", ""),
        ("assignment:", ""),
        ("  server: ideal", "where the server tests the global model"),
        (f"  default: {chosen}", "of all clients; or {cycle: [ideal, noisy]}"),
        ('  # clients: {0: ideal, "1-4": noisy}', "single clients and ranges, in place of the default"),
    ]
    return _commented(lines)


_FAKES = ((5, "FakeManilaV2"), (7, "FakeNairobiV2"), (16, "FakeGuadalupeV2"))
"""Fake devices, by the qubits that they have."""
