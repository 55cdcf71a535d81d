"""What happens at a client in one round, and how a model is tested. Nothing here knows of other clients."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from qiskit_fedqml.backends.job import JobKey, Usage
from qiskit_fedqml.config.experiment import FederationConfig
from qiskit_fedqml.data.examples import Examples
from qiskit_fedqml.errors import BackendError, JobError, TrainingError
from qiskit_fedqml.federation.clients.optimizers import make_optimizer
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State
from qiskit_fedqml.model.classifier import HybridClassifier
from qiskit_fedqml.model.layer import QuantumLayer
from qiskit_fedqml.model.prediction import loss_and_accuracy, predict
from qiskit_fedqml.seeds import derive_seed, numpy_generator, torch_generator


@dataclass
class Worker:
    """Where clients run one after another: one model in memory, and a quantum layer for each backend.

    Args:
        model: The model that is trained in place.
        layer_for: Gives the quantum layer of a backend by its name; None without a quantum layer.
        train: The training data of all clients.
        config: The `federation` section.
        seed: The run's seed.
        optimizers: Optimisers that are kept from round to round, by client.
    """

    model: HybridClassifier
    layer_for: Callable[[str], QuantumLayer] | None
    train: Examples
    config: FederationConfig
    seed: int
    optimizers: dict[int, torch.optim.Optimizer] = field(default_factory=dict)

    def use_backend(self, name: str) -> QuantumLayer | None:
        """Let a backend evaluate the model's circuit."""
        if self.layer_for is None:
            return None
        layer = self.layer_for(name)
        self.model.use_quantum_layer(layer)
        return layer

    def optimizer_for(self, client_id: int, round: int) -> torch.optim.Optimizer:
        """Return a client's optimiser at the round's learning rate: a new one, or the kept one."""
        keep = self.config.client_optimizer_state == "keep"
        optimizer = self.optimizers.get(client_id) if keep else None
        if optimizer is None:
            optimizer = make_optimizer(self.config, [p for p in self.model.parameters() if p.requires_grad])
        if keep:
            self.optimizers[client_id] = optimizer
        for group in optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self.config.learning_rate_decay ** (round - 1)
        return optimizer


def train_client(worker: Worker, task: ClientTask) -> ClientUpdate:
    """Train the global model on one client's data and backend, or test it there if the client only tests.

    Each local epoch goes once through the client's examples in a new random order, in minibatches of which the last may
    be smaller. An update that is not finite is refused.

    Raises:
        BackendError: The backend failed, and ``on_client_failure`` is ``"stop"``.
        BudgetError: The backend's next job would pass a budget of QPU seconds.
    """
    started = time.perf_counter()
    layer: QuantumLayer | None = None
    before, loss, accuracy, status = Usage(), float("nan"), None, "ok"
    try:
        layer = worker.use_backend(task.backend)
        before = layer.neural_network.usage.copy() if layer else before
        worker.model.load_trainable_state(task.state)
        if layer:
            layer.neural_network.refresh()
        if task.trains:
            loss = _train(worker, task, layer)
        else:
            (loss, accuracy), status = _test_on_client(worker, task, layer), "tested"
    except BackendError as error:
        if worker.config.on_client_failure == "stop":
            raise _placed(error, task) from error
        status = f"failed: {error}"
    except TrainingError as error:
        status = f"refused: {error}"
    state = worker.model.trainable_state()
    if status == "ok" and not (np.isfinite(loss) and all(bool(t.isfinite().all()) for t in state.values())):
        status = "refused: the update is not finite"
    if status not in ("ok", "tested"):
        worker.optimizers.pop(task.client_id, None)  # what went wrong must not go on in the next round
    network = layer.neural_network if layer else None
    return ClientUpdate(
        client_id=task.client_id,
        backend=task.backend,
        simulator=network.simulator if network else "none",
        num_examples=len(task.rows),
        train_loss=loss if np.isfinite(loss) else None,
        seconds=time.perf_counter() - started,
        usage=(network.usage - before) if network else Usage(),
        status=status,
        state=state if status == "ok" else None,
        accuracy=accuracy,
        calibration=network.calibration() if network else None,
        started=started,
        success_probability=network.success_probability() if network else None,
    )


def _train(worker: Worker, task: ClientTask, layer: QuantumLayer | None) -> float:
    """Train all local epochs; return the mean loss over the examples of the last one."""
    worker.model.train()
    _seed_client(worker, task, layer)
    optimizer = worker.optimizer_for(task.client_id, task.round)
    proximal = _Proximal(worker.model, task.state, worker.config.proximal_mu)
    return [_train_epoch(worker, task, epoch, optimizer, proximal) for epoch in range(worker.config.local_epochs)][-1]


def _test_on_client(worker: Worker, task: ClientTask, layer: QuantumLayer | None) -> tuple[float, float]:
    if layer:
        seed = derive_seed(worker.seed, "shots of the client's test", task.round, task.client_id)
        layer.neural_network.reseed(seed, JobKey(task.round, task.client_id, 0, "test"))
    return loss_and_accuracy(predict(worker.model, worker.train, task.rows), worker.train.labels[task.rows])


def _placed(error: BackendError, task: ClientTask) -> BackendError:
    if isinstance(error, JobError):  # it says where already
        return error
    return BackendError(f"Round {task.round}, client {task.client_id}, backend {task.backend!r}: {error}")


def _seed_client(worker: Worker, task: ClientTask, layer: QuantumLayer | None) -> None:
    device = next(worker.model.parameters()).device
    dropout = derive_seed(worker.seed, "dropout", task.round, task.client_id)
    worker.model.use_dropout_generator(torch_generator(dropout, device))
    if layer:
        key = JobKey(task.round, task.client_id, 0, "train")
        layer.neural_network.reseed(derive_seed(worker.seed, "shots", task.round, task.client_id), key)


class _Proximal:
    """FedProx's term, μ/2 · ‖w − w_global‖² over the trained tensors (Li et al., 2020, arXiv:1812.06127, Eq. 2)."""

    def __init__(self, model: HybridClassifier, state: State, mu: float) -> None:
        self.mu = mu
        self.pairs = [(p, state[name]) for name, p in model.named_parameters() if p.requires_grad] if mu else []

    def add_gradient(self) -> None:
        """Add μ (w − w_global) to the gradients."""
        with torch.no_grad():
            for parameter, start in self.pairs:
                assert parameter.grad is not None
                parameter.grad.add_(parameter - start, alpha=self.mu)


def _train_epoch(
    worker: Worker, task: ClientTask, epoch: int, optimizer: torch.optim.Optimizer, proximal: _Proximal
) -> float:
    """Train one epoch; return the mean loss over its examples, without FedProx's term."""
    model, size = worker.model, worker.config.batch_size
    device = next(model.parameters()).device
    rng = numpy_generator(derive_seed(worker.seed, "order of examples", task.round, task.client_id, epoch))
    order = task.rows[rng.permutation(len(task.rows))]
    total = 0.0
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        features = torch.from_numpy(worker.train.features[rows]).to(device)
        labels = torch.from_numpy(worker.train.labels[rows]).to(device)
        optimizer.zero_grad()
        loss = cross_entropy(model(features), labels)
        loss.backward()
        proximal.add_gradient()
        optimizer.step()
        total += float(loss.detach()) * len(rows)
    return total / len(order)
