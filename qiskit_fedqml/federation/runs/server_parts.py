"""The server's parts of a run: what its models are built from, its tests, and its first model."""

import logging

import torch

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.data.preparation import FederatedData
from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.federation.runs.evaluator import Evaluator
from qiskit_fedqml.federation.steps.separable import check_separable
from qiskit_fedqml.model.building import Blueprint
from qiskit_fedqml.model.metrics import open_metrics
from qiskit_fedqml.model.own_head import OwnHead
from qiskit_fedqml.results.initial import InitialModel

logger = logging.getLogger(__name__)


def blueprint_of(experiment: Experiment, data: FederatedData) -> Blueprint:
    """Return what the models of a run are built from.

    Raises:
        ConfigurationError: There are more classes than qubits.
    """
    scaling = data.mean, data.deviation
    return Blueprint.of(experiment.seed, experiment.model, data.num_features, len(data.classes), scaling)


def make_evaluator(
    experiment: Experiment, blueprint: Blueprint, registry: BackendRegistry, data: FederatedData
) -> Evaluator:
    """Return what tests the aggregate.

    Raises:
        ConfigurationError: A metric of the user's own cannot be found or made, or a head does not go together with
            ``privacy.examples``.
        BackendError: The server's backend cannot be opened.
    """
    metrics = open_metrics(experiment.evaluation, blueprint.num_classes)
    evaluator = Evaluator(experiment.seed, blueprint, registry.server, registry, data.test, data.held_out, metrics)
    head, privacy = evaluator.model.head, experiment.privacy
    if isinstance(head, OwnHead) and privacy is not None and privacy.examples is not None:
        check_separable(head, data.num_features)
    return evaluator


def first_model(evaluator: Evaluator, start: InitialModel | None, data: FederatedData) -> State:
    """Return the trained tensors with which a run begins: those that the seed draws, or another run's.

    Args:
        evaluator: Has the model.
        start: The other run's model, or None.
        data: The run's data, whose classes and scaling are compared.

    Raises:
        ResultError: They do not fit.
    """
    model = evaluator.model.trainable_state()
    if start is None:
        return model
    fitted = start.fitted(model, data.classes)
    if start.scaling_differs(torch.as_tensor(data.mean).float(), torch.as_tensor(data.deviation).float()):
        logger.warning(
            "The model of %s was trained on features that were scaled differently from those of this run.", start.folder
        )
    return fitted
