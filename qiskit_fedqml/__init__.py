"""Federated training of hybrid quantum-classical models over an array of NISQ machines.

Importing the package does nothing else: each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qiskit_fedqml.backends.array.registry import BackendRegistry
    from qiskit_fedqml.backends.simulated.aer import AerBackend
    from qiskit_fedqml.circuits.paper import paper_circuit
    from qiskit_fedqml.circuits.qcnn import qcnn_circuit
    from qiskit_fedqml.circuits.reuploading import reuploading_circuit
    from qiskit_fedqml.circuits.spec import CircuitSpec
    from qiskit_fedqml.circuits.tree import tree_circuit
    from qiskit_fedqml.config.experiment import Experiment
    from qiskit_fedqml.config.loading import load_experiment
    from qiskit_fedqml.config.mitigation import Mitigation
    from qiskit_fedqml.errors import FedQMLError
    from qiskit_fedqml.federation.runs.resuming import resume_federation
    from qiskit_fedqml.federation.runs.run import run_federation
    from qiskit_fedqml.model.layer import QuantumLayer, quantum_layer
    from qiskit_fedqml.model.qnn import BroadcastEstimatorQNN
    from qiskit_fedqml.results.evaluation import load_model
    from qiskit_fedqml.results.prediction import Classifier, load_classifier
    from qiskit_fedqml.results.result import RunResult
    from qiskit_fedqml.simulation.estimator import SweepEstimator
    from qiskit_fedqml.simulation.noise import noise_from_model

__version__ = "0.2.0"

_MODULE_OF = {
    "AerBackend": "backends.simulated.aer",
    "BackendRegistry": "backends.array.registry",
    "BroadcastEstimatorQNN": "model.qnn",
    "CircuitSpec": "circuits.spec",
    "Classifier": "results.prediction",
    "Experiment": "config.experiment",
    "FedQMLError": "errors",
    "Mitigation": "config.mitigation",
    "QuantumLayer": "model.layer",
    "RunResult": "results.result",
    "SweepEstimator": "simulation.estimator",
    "load_classifier": "results.prediction",
    "load_experiment": "config.loading",
    "load_model": "results.evaluation",
    "noise_from_model": "simulation.noise",
    "paper_circuit": "circuits.paper",
    "qcnn_circuit": "circuits.qcnn",
    "quantum_layer": "model.layer",
    "resume_federation": "federation.runs.resuming",
    "reuploading_circuit": "circuits.reuploading",
    "run_federation": "federation.runs.run",
    "tree_circuit": "circuits.tree",
}

__all__ = [
    "AerBackend",
    "BackendRegistry",
    "BroadcastEstimatorQNN",
    "CircuitSpec",
    "Classifier",
    "Experiment",
    "FedQMLError",
    "Mitigation",
    "QuantumLayer",
    "RunResult",
    "SweepEstimator",
    "load_classifier",
    "load_experiment",
    "load_model",
    "noise_from_model",
    "paper_circuit",
    "qcnn_circuit",
    "quantum_layer",
    "resume_federation",
    "reuploading_circuit",
    "run_federation",
    "tree_circuit",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
