"""What is written down of a run when it begins."""

from typing import TYPE_CHECKING, Any

from qiskit_fedqml.backends.array.chips import chips_in_blocks
from qiskit_fedqml.backends.array.used import used_machines
from qiskit_fedqml.circuits.digest import circuit_digest
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.federation.executors.processes import num_workers
from qiskit_fedqml.model.own_head import fingerprint
from qiskit_fedqml.results.provenance import describe_run

if TYPE_CHECKING:
    from qiskit_fedqml.federation.runs.assembly import Federation


def describe(federation: "Federation") -> dict[str, Any]:
    """Describe a run that begins: versions, sizes, what data, circuit and head are, chips and their blocks."""
    data, num_trained = federation.data, sum(tensor.numel() for tensor in federation.initial.model.values())
    examples = {
        "train": len(data.shards.rows),
        "validation": len(data.validation),
        "test": len(data.test),
    }
    workers = num_workers(federation.experiment.federation)
    described = describe_run(federation.experiment, data.classes, examples, data.num_features, num_trained, workers)
    origin = {"initial": federation.origin} if federation.origin else {}
    chips = chips_in_blocks(federation.registry, used_machines(federation.experiment, federation.registry))
    remote = {"remote_clients": True} if federation.is_remote else {}
    is_made = isinstance(federation.experiment.model.circuit, PythonReference)
    circuit = {"circuit": circuit_digest(federation.evaluator.blueprint.circuit)} if is_made else {}
    head = fingerprint(federation.evaluator.model.head, data.num_features)
    return {
        **described,
        "data": dict(data.digests),
        **circuit,
        **({"head": head} if head else {}),
        **origin,
        **({"chips": chips} if chips else {}),
        **remote,
    }
