"""What is written down of a run when it begins."""

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.backends.array.chips import chips_in_blocks
from qiskit_fedqml.backends.array.used import own_machines, used_machines
from qiskit_fedqml.circuits.digest import circuit_digest
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.data.class_counts import summary
from qiskit_fedqml.data.columns import Columns
from qiskit_fedqml.data.features import weights_digest
from qiskit_fedqml.federation.executors.processes import num_workers
from qiskit_fedqml.model.own_head import fingerprint
from qiskit_fedqml.progress.size import RunSize
from qiskit_fedqml.results.provenance import describe_run

if TYPE_CHECKING:
    from qiskit_fedqml.federation.runs.assembly import Federation


def size_of(federation: "Federation") -> RunSize:
    """Return how large a run is."""
    data, sizes = federation.data, federation.data.shards.sizes
    return RunSize(
        examples=len(data.shards.rows),
        test_examples=len(data.test),
        classes=data.classes,
        clients=len(sizes),
        smallest=int(sizes.min()),
        largest=int(sizes.max()),
        parameters=num_trained(federation),
        machines=_machines_of(federation),
    )


def _machines_of(federation: "Federation") -> dict[str, int]:
    """Return how many clients each machine has; none where clients get machines as they are free, or are elsewhere."""
    experiment = federation.experiment
    is_fixed = experiment.scheduling is None or experiment.scheduling.policy == "assigned"
    if federation.is_remote or not is_fixed or not experiment.model.has_circuit:
        return {}
    return dict(Counter(federation.registry.assign(experiment.federation.clients)))


def num_trained(federation: "Federation") -> int:
    """Return the number of trained parameters."""
    return sum(tensor.numel() for tensor in federation.initial.model.values())


def feature_range(features: NDArray[np.float32]) -> list[float]:
    """Return the smallest and the largest feature, as they are before scaling."""
    return [float(features.min()), float(features.max())]


def _columns_in(columns: Columns, *, is_private: bool) -> dict[str, Any]:
    shown = replace(columns, missing={}, dropped_rows=0) if is_private else columns
    return shown.as_json()


def describe(federation: "Federation") -> dict[str, Any]:
    """Describe a run that begins: versions, sizes, classes by client, what its parts are, chips and own machines.

    What would say something of single examples, or of one client, is left out where they are protected.
    """
    data, trained, is_private = federation.data, num_trained(federation), federation.privacy is not None
    examples = {
        **({} if is_private else {"train": len(data.shards.rows)}),
        "validation": len(data.validation),
        "test": len(data.test),
    }
    digests = {part: digest for part, digest in data.digests.items() if part != "train" or not is_private}
    workers = num_workers(federation.experiment)
    described = describe_run(federation.experiment, data.classes, examples, data.num_features, trained, workers)
    origin = {"initial": federation.origin} if federation.origin else {}
    chips = chips_in_blocks(federation.registry, used_machines(federation.experiment, federation.registry))
    counts = {} if federation.is_remote or is_private else {"class_counts": summary(data.class_counts)}
    columns = {} if data.columns is None else {"columns": _columns_in(data.columns, is_private=is_private)}
    machines = {} if federation.is_remote else own_machines(federation.experiment, federation.registry)
    remote = {"remote_clients": True} if federation.is_remote else {}
    is_made = isinstance(federation.experiment.model.circuit, PythonReference)
    circuit = {"circuit": circuit_digest(federation.evaluator.blueprint.circuit)} if is_made else {}
    weights = weights_digest(federation.experiment.features)
    head = fingerprint(federation.evaluator.model.head, data.num_features)
    return {
        **described,
        "data": digests,
        **({"feature_range": feature_range(data.test.features)} if len(data.test) else {}),
        **({"weights": weights} if weights else {}),
        **circuit,
        **({"head": head} if head else {}),
        **origin,
        **({"chips": chips} if chips else {}),
        **({"machines": machines} if machines else {}),
        **remote,
        **counts,
        **columns,
    }
