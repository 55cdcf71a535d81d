"""A federation whose clients are elsewhere: the server's parts alone, put together from an experiment."""

from collections.abc import Callable
from pathlib import Path

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.array.used import server_backends
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.remote import check_remote
from qiskit_fedqml.data.preparation import FederatedData
from qiskit_fedqml.federation.algorithms.opening import open_algorithm
from qiskit_fedqml.federation.algorithms.setting import make_setting
from qiskit_fedqml.federation.executors.executor import Executor
from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.federation.runs.assembly import Federation
from qiskit_fedqml.federation.runs.server_parts import blueprint_of, first_model, make_evaluator
from qiskit_fedqml.model.building import Blueprint
from qiskit_fedqml.progress.observer import Observer
from qiskit_fedqml.results.initial import load_initial

MakeExecutor = Callable[[Blueprint, State], Executor]
"""Makes what lets the clients work, of the model's plan and of its trained tensors."""


def assemble_remote(
    experiment: Experiment, data: FederatedData, make_executor: MakeExecutor, observer: Observer | None
) -> Federation:
    """Put together the server's parts of a run; no machine of a client is opened.

    Args:
        experiment: The configuration, with the clients' machines as they described them.
        data: The server's test data, and what is known of the clients'.
        make_executor: Makes what lets the clients work.
        observer: Notified of what happens, or None.

    Raises:
        ConfigurationError: :func:`~qiskit_fedqml.config.remote.check_remote` refuses the experiment, there are more
            classes than qubits, the server would test on a device, or a part of the user's own cannot be found.
        BackendError: The server's backend cannot be opened.
        ResultError: ``model.initial`` names no finished run whose model fits.
    """
    check_remote(experiment)
    start = load_initial(Path(experiment.model.initial), experiment.model) if experiment.model.initial else None
    registry = BackendRegistry(server_backends(experiment), Path())
    blueprint = blueprint_of(experiment, data)
    evaluator = make_evaluator(experiment, blueprint, registry, data)
    model = first_model(evaluator, start, data)
    array = BackendRegistry(experiment.backends, Path())
    assignment = array.assign(experiment.federation.clients)
    algorithm = open_algorithm(make_setting(experiment, assignment, array.trains, model))
    return Federation(
        experiment=experiment,
        data=data,
        registry=registry,
        devices=(),
        algorithm=algorithm,
        executor=make_executor(blueprint, model),
        evaluator=evaluator,
        initial=algorithm.init(model),
        origin=start.origin if start is not None else None,
        observer=observer,
        is_remote=True,
    )
