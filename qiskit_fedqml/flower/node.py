"""What happens at a node: it opens its own data and its own backend, and trains like any client."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.base import PackingBackend
from qiskit_fedqml.backends.devices.dispatch import Dispatcher
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.config.backends import AerEntry, BackendEntry, CalibrationFile
from qiskit_fedqml.config.data import ClientSumsScaling, FeaturesConfig
from qiskit_fedqml.config.devices import IBMEntry
from qiskit_fedqml.config.own_machines import ObjectEntry
from qiskit_fedqml.config.strict import nearest
from qiskit_fedqml.config.text_files import read_text
from qiskit_fedqml.data.examples import Examples
from qiskit_fedqml.data.features import extract_features
from qiskit_fedqml.data.location import find_data
from qiskit_fedqml.data.npz import own_examples
from qiskit_fedqml.data.preparation import digest_of
from qiskit_fedqml.data.scaling import feature_sums
from qiskit_fedqml.errors import BackendError, ConfigurationError, DataError, shown
from qiskit_fedqml.federation.clients.worker import Worker
from qiskit_fedqml.federation.executors.devices import DeviceExecutor
from qiskit_fedqml.federation.executors.executor import Executor
from qiskit_fedqml.federation.executors.serial import SerialExecutor
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State, States
from qiskit_fedqml.federation.steps.opening import open_step
from qiskit_fedqml.files import make_folder
from qiskit_fedqml.flower.node_config import NodeConfig
from qiskit_fedqml.flower.protocol import SUMS, Introduction, Question, Work
from qiskit_fedqml.model.building import Blueprint
from qiskit_fedqml.results.provenance import versions


@dataclass(frozen=True)
class OneClient:
    """The data of a single client.

    Args:
        client_id: The client.
        examples: Its examples.
    """

    client_id: int
    examples: Examples

    def open(self, client_id: int) -> Examples:
        """Return its examples.

        Raises:
            DataError: Another client's are asked for.
        """
        if client_id != self.client_id:
            raise DataError(f"This node is client {self.client_id} and has no data of client {client_id}.")
        return self.examples


@dataclass(frozen=True)
class _Run:
    """A run at the node: its journal is open and its circuit is compiled.

    Args:
        work: The run's first task, of which only what holds for all tasks counts.
        scaling: ``mean`` and ``deviation`` of the features.
        executor: Lets the client work.
        journal: The journal of its device.
    """

    work: Work
    scaling: State
    executor: Executor
    journal: Journal

    def fits(self, work: Work, scaling: State) -> bool:
        """Return whether another task is one of this run."""
        of_task = {"server_step": 1, "trains": True, "kept": ()}
        is_same = self.work.model_copy(update=of_task) == work.model_copy(update=of_task)
        return is_same and all(torch.equal(self.scaling[name], scaling[name]) for name in ("mean", "deviation"))

    def close(self) -> None:
        """Let go of it."""
        self.executor.stop()
        self.journal.close()


class Node:
    """A node at work.

    Args:
        config: What it is, and where its data and its backend are.

    Raises:
        ConfigurationError: The backends file cannot be read, or does not have the backend.
    """

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self._files = self._stamps()
        self._run: _Run | None = None
        self._registry = BackendRegistry.from_yaml(config.backends)
        known = self._registry.file.backends
        if config.backend not in known:
            near = nearest(config.backend, known)
            raise ConfigurationError(f"--node-config: {config.backends} has no backend {shown(config.backend)}{near}")
        if isinstance(self.entry, ObjectEntry):
            raise ConfigurationError(
                f"--node-config: {shown(config.backend)} would be an object of Python, which a node is not given; name "
                "a function that makes it (type: python)."
            )

    def has_changed(self) -> bool:
        """Return whether the node's data or its backends file are no longer those that were read."""
        return self._stamps() != self._files

    def close(self) -> None:
        """Let go of the run that the node works for."""
        if self._run is not None:
            self._run.close()
        self._run = None

    @property
    def entry(self) -> BackendEntry:
        """The entry of the node's backend."""
        return self._registry.file.backends[self.config.backend]

    def introduce(self, question: Question) -> tuple[Introduction, States]:
        """Say what the node is, and the sums of its features where the scaling needs them; nothing else of its data.

        Raises:
            DataError: Its data cannot be read, or do not fit.
            BackendError: Its backend's calibration cannot be read.
        """
        split = own_examples(self.config.data, len(question.classes))
        features = extract_features(split, self._features(question.features))
        states: States = {}
        if isinstance(question.features.scaling, ClientSumsScaling):
            sums = feature_sums(features, np.arange(len(features)))
            states[SUMS] = {
                "total": torch.from_numpy(sums.total),
                "total_squared": torch.from_numpy(sums.total_squared),
            }
        introduction = Introduction(
            client=self.config.client,
            backend=self.config.backend,
            entry=_without_account(self.entry),
            calibration=self._calibration(),
            examples=0 if question.is_private else len(split),
            num_features=features.shape[1],
            digest=None if question.is_private else digest_of(split),
            versions=versions(),
        )
        return introduction, states

    def work(self, work: Work, model: State, kept: States, scaling: State) -> ClientUpdate:
        """Train the global model on the node's data and backend, or test it there.

        Args:
            work: The task.
            model: The global model.
            kept: What the client keeps.
            scaling: ``mean`` and ``deviation`` of the features.

        Raises:
            ConfigurationError: The task is another client's, or does not fit the node.
            FedQMLError: What :func:`~qiskit_fedqml.federation.clients.client.train_client` raises.
        """
        if work.client != self.config.client:
            raise ConfigurationError(f"This node is client {self.config.client}, but was given work of {work.client}.")
        if self.config.secure_threshold is not None and work.secure is None:
            raise ConfigurationError(
                "--node-config: `secure_threshold` lets this node take part in secure aggregation alone, but the "
                "server's experiment has no `aggregation.secure`."
            )
        if self._run is None or not self._run.fits(work, scaling):
            self.close()
            self._run = self._begin(work, scaling)
        task = ClientTask(work.server_step, work.client, self.config.backend, model, work.trains, kept)
        (update,) = self._run.executor.run([task])
        return update

    def _begin(self, work: Work, scaling: State) -> _Run:
        if self.config.device == "cuda" and not torch.cuda.is_available():
            raise ConfigurationError("--node-config: device is 'cuda', but torch finds no CUDA device here.")
        if work.federation.workers != 1:  # as in the local engine's worker processes
            torch.set_num_threads(1)
        split = own_examples(self.config.data, len(work.classes))
        data = OneClient(work.client, Examples(extract_features(split, self._features(work.features)), split.labels))
        model = work.model.model_copy(update={"device": self.config.device})
        sizes = data.examples.features.shape[1], len(work.classes)
        moments = scaling["mean"].numpy(), scaling["deviation"].numpy()
        blueprint = Blueprint.of(work.seed, model, *sizes, moments)
        journal = self._journal(work.run)
        registry = BackendRegistry(self._registry.file, self._registry.folder)
        registry.dispatcher = Dispatcher(journal, registry.file.budget_seconds)
        if self.entry.blocks is not None and isinstance(backend := registry[self.config.backend], PackingBackend):
            backend.give_blocks_to([work.client])

        def make_worker() -> Worker:
            step = open_step(work.federation, work.privacy)
            return Worker(blueprint, registry, data, work.federation, step, work.seed, work.privacy)

        executor: Executor = SerialExecutor(make_worker())
        if registry.is_queued(self.config.backend):
            let_go = registry.dispatcher.patience.stop
            executor = DeviceExecutor(executor, (self.config.backend,), make_worker, let_go)
        return _Run(work, scaling, executor, journal)

    def _journal(self, run: str) -> Journal:
        """Open the journal of a run on a device; that of a simulator stays empty, and in memory."""
        if not self._registry.is_queued(self.config.backend):
            return Journal()
        folder = Path(self.config.folder) / "journals"
        make_folder(folder)
        return Journal(folder / f"{run}.sqlite")

    def _stamps(self) -> list[tuple[int, int] | None]:
        """Return what tells whether the node's files have changed."""
        found: list[tuple[int, int] | None] = []
        for path in (find_data(self.config.data), Path(self.config.backends)):
            try:
                status = path.stat()
            except OSError:
                found.append(None)
            else:
                found.append((status.st_mtime_ns, status.st_size))
        return found

    def _features(self, config: FeaturesConfig) -> FeaturesConfig:
        if config.backbone is None or self.config.weights is None:
            return config
        return config.model_copy(update={"weights": self.config.weights})

    def _calibration(self) -> str | None:
        entry = self.entry
        if not isinstance(entry, AerEntry) or not isinstance(entry.noise, CalibrationFile):
            return None
        return read_text(self._registry.folder / entry.noise.calibration, BackendError)


def _without_account(entry: BackendEntry) -> BackendEntry:
    """Return an entry without what is nobody else's business."""
    if isinstance(entry, IBMEntry):
        return entry.model_copy(update={"account": None, "instance": None, "channel": None})
    return entry
