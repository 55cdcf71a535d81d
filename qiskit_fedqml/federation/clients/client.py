"""What happens at a client in one server step. Nothing here knows of other clients."""

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from qiskit_fedqml.backends.devices.patience import StoppedError
from qiskit_fedqml.backends.job import JobKey, Usage
from qiskit_fedqml.data.examples import ExampleSource
from qiskit_fedqml.errors import BackendError, BudgetError, FedQMLError, TimeLimitError, TrainingError
from qiskit_fedqml.federation.clients.optimizers import make_optimizer, optimizer_states
from qiskit_fedqml.federation.clients.outcome import Machine, Outcome, placed
from qiskit_fedqml.federation.clients.time_limit import time_limit
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, Status
from qiskit_fedqml.federation.steps.step import ClientStep
from qiskit_fedqml.model.classifier import HybridClassifier
from qiskit_fedqml.model.prediction import loss_and_accuracy, predict
from qiskit_fedqml.seeds import derive_seed, numpy_generator, torch_generator

if TYPE_CHECKING:
    from qiskit_fedqml.federation.clients.worker import Worker

_MOST_STEPS = 10**12
"""Jobs of private clients are counted from a random number below this."""


def train_client(worker: "Worker", task: ClientTask) -> ClientUpdate:
    """Train the global model on one client's data and backend, or test it there if the client only tests.

    An update that is not finite is refused. What went wrong is not kept for the client's next task.

    Raises:
        BackendError: The backend failed, and ``on_client_failure`` is ``"stop"``.
        BudgetError: The backend's next job would pass a budget of QPU seconds.
        TimeLimitError: It trained for longer than ``client_seconds``, and ``on_client_failure`` is ``"stop"``.
        Exception: Whatever else was raised, such as by data or a step of the user's own, and ``on_client_failure`` is
            ``"stop"``.
    """
    started = time.perf_counter()
    outcome, model = Outcome(), None
    try:
        examples = worker.data.open(task.client_id)
        outcome.num_examples = len(examples)
        model = worker.model_on(task.backend)
        started = time.perf_counter()  # what is made once for each machine is no time of its first client
        _run(worker, task, model, examples, outcome)
    except (BudgetError, StoppedError):
        raise
    except (BackendError, TimeLimitError) as error:
        if worker.config.on_client_failure == "stop":
            raise placed(error, task) from error
        outcome.status, outcome.reason = Status.FAILED, str(error)
    except TrainingError as error:
        outcome.status, outcome.reason = Status.REFUSED, str(error)
    except Exception as error:
        if worker.config.on_client_failure == "stop":
            raise
        outcome.status, outcome.reason = Status.FAILED, _reason_of(error, worker)
    if worker.privacy is not None:
        outcome.withhold()
    is_finite = all(bool(tensor.isfinite().all()) for tensor in (outcome.state or {}).values())
    machine = Machine.of(model.network if model else None)
    return outcome.update(task, machine, time.perf_counter() - started, is_finite=is_finite)


def _reason_of(error: Exception, worker: "Worker") -> str:
    """Return why a client failed; of other people's errors in private runs only the kind, since the text may quote."""
    if isinstance(error, FedQMLError):
        return str(error)
    return type(error).__name__ if worker.privacy is not None else f"{type(error).__name__}: {error}"


def _run(
    worker: "Worker", task: ClientTask, model: HybridClassifier, examples: ExampleSource, outcome: Outcome
) -> None:
    """Train or test, and count what is asked of the backend."""
    network = model.network
    before = network.usage.copy() if network else Usage()
    try:
        model.load_trainable_state(task.state)
        if network:
            network.refresh()
        if task.trains:
            _train(worker, task, model, examples, outcome)
        else:
            outcome.status = Status.TESTED
            _reseed(worker, task, model, "shots of the client's test", "test")
            outcome.loss, outcome.accuracy = loss_and_accuracy(predict(model, examples), examples.labels, model.loss)
    finally:
        if network:
            outcome.usage = network.usage - before


def _train(
    worker: "Worker", task: ClientTask, model: HybridClassifier, examples: ExampleSource, outcome: Outcome
) -> None:
    """Train all local epochs."""
    model.train()
    device = next(model.parameters()).device
    dropout = worker.seed_for("dropout", task.server_step, task.client_id)
    model.use_dropout_generator(torch_generator(dropout, device))
    _reseed(worker, task, model, "shots", "train")
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = make_optimizer(worker.config, parameters, task.server_step, task.client_states)
    check_time = time_limit(worker.config.client_seconds)
    step = worker.step_of(task.server_step, task.client_id)
    for epoch in range(worker.config.local_epochs):
        outcome.loss = _train_epoch(worker, task, step, model, examples, optimizer, epoch, check_time)
    outcome.state = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    if worker.config.client_optimizer_state == "keep":
        outcome.client_states = optimizer_states(optimizer, parameters)


def _train_epoch(
    worker: "Worker",
    task: ClientTask,
    step: ClientStep,
    model: HybridClassifier,
    examples: ExampleSource,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    check_time: Callable[[], None],
) -> float:
    """Train one epoch; return the mean loss over its examples."""
    device = next(model.parameters()).device
    rng = numpy_generator(derive_seed(worker.seed, "order of examples", task.server_step, task.client_id, epoch))
    total, count = 0.0, 0
    for positions in step.batches(len(examples), worker.config.batch_size, rng):
        batch = examples.take(positions)
        optimizer.zero_grad()
        features, labels = torch.from_numpy(batch.features).to(device), torch.from_numpy(batch.labels).to(device)
        total += step.add_gradients(model, task.state, features, labels) * len(positions)
        count += len(positions)
        optimizer.step()
        check_time()
    return total / count if count else float("nan")


def _reseed(worker: "Worker", task: ClientTask, model: HybridClassifier, purpose: str, kind: str) -> None:
    """Let the shots of what follows derive from the client's seed."""
    if model.network:
        seed = worker.seed_for(purpose, task.server_step, task.client_id)
        # A task that asks something else each time must not find the jobs of an interrupted one in the journal.
        first = secrets.randbelow(_MOST_STEPS) if worker.is_secret else 0
        model.network.reseed(seed, JobKey(task.server_step, task.client_id, first, kind))
