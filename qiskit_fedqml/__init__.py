"""Federated training of hybrid quantum-classical models over an array of NISQ machines.

Importing the package imports nothing else: each name is imported when it is first used. It lets torch's threads sleep
while they wait, unless ``OMP_WAIT_POLICY`` says otherwise or torch was imported before.
"""

import os
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
    from qiskit_fedqml.federation.runs.resuming import extend_federation, resume_federation
    from qiskit_fedqml.federation.runs.run import run_federation
    from qiskit_fedqml.ledger.verifying import Verified, verify_ledger
    from qiskit_fedqml.model.layer import QuantumLayer, quantum_layer
    from qiskit_fedqml.model.qnn import BroadcastEstimatorQNN
    from qiskit_fedqml.progress.bars import ProgressBars
    from qiskit_fedqml.progress.lines import ProgressLines
    from qiskit_fedqml.progress.observer import Observer
    from qiskit_fedqml.report.comparing import Comparison, compare
    from qiskit_fedqml.report.curves import learning_curves
    from qiskit_fedqml.report.page import write_report
    from qiskit_fedqml.results.evaluation import load_model
    from qiskit_fedqml.results.prediction import Classifier, load_classifier
    from qiskit_fedqml.results.result import RunResult
    from qiskit_fedqml.simulation.estimator import SweepEstimator
    from qiskit_fedqml.simulation.noise import noise_from_model

__version__ = "0.2.0"

# torch's threads (libgomp's) spin while they wait for each other. Where other work takes a core, a small model's round
# then takes up to a hundred times as long; asleep they wait about as well. It must be set before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_MODULE_OF = {
    "AerBackend": "backends.simulated.aer",
    "BackendRegistry": "backends.array.registry",
    "BroadcastEstimatorQNN": "model.qnn",
    "CircuitSpec": "circuits.spec",
    "Classifier": "results.prediction",
    "Comparison": "report.comparing",
    "Experiment": "config.experiment",
    "FedQMLError": "errors",
    "Mitigation": "config.mitigation",
    "Observer": "progress.observer",
    "ProgressBars": "progress.bars",
    "ProgressLines": "progress.lines",
    "QuantumLayer": "model.layer",
    "RunResult": "results.result",
    "SweepEstimator": "simulation.estimator",
    "Verified": "ledger.verifying",
    "load_classifier": "results.prediction",
    "compare": "report.comparing",
    "extend_federation": "federation.runs.resuming",
    "learning_curves": "report.curves",
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
    "verify_ledger": "ledger.verifying",
    "write_report": "report.page",
}

__all__ = [
    "AerBackend",
    "BackendRegistry",
    "BroadcastEstimatorQNN",
    "CircuitSpec",
    "Classifier",
    "Comparison",
    "Experiment",
    "FedQMLError",
    "Mitigation",
    "Observer",
    "ProgressBars",
    "ProgressLines",
    "QuantumLayer",
    "RunResult",
    "SweepEstimator",
    "Verified",
    "compare",
    "extend_federation",
    "learning_curves",
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
    "verify_ledger",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
