"""What an experiment will cost on devices, before anything is sent.

The plan goes through the rounds as the run will: the same clients are drawn, hold the same shards and take the same
steps; each evaluation is costed by the backend that would send it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from qiskit_fedqml.angles import GateAngles
from qiskit_fedqml.backends.base import Program, compile_program
from qiskit_fedqml.backends.cost import MOST_JOBS_PER_MINUTE, SECONDS_PER_JOB
from qiskit_fedqml.backends.device import DeviceBackend
from qiskit_fedqml.backends.entries import Spsa
from qiskit_fedqml.backends.registry import BackendRegistry
from qiskit_fedqml.circuits import CircuitSpec
from qiskit_fedqml.data.loading import load_dataset
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.experiment import Experiment
from qiskit_fedqml.models import circuit_for
from qiskit_fedqml.preparation import share_out
from qiskit_fedqml.sampling import sample_clients
from qiskit_fedqml.training import TEST_BATCH


@dataclass(frozen=True)
class Work:
    """What is sent to a device.

    Args:
        jobs: Jobs, each of one PUB.
        circuits: Bound circuits, once for each measurement basis.
        executions: Their shots.
        qpu_seconds: QPU seconds by the device's own durations.
        payload_bytes: What is uploaded.
    """

    jobs: int = 0
    circuits: int = 0
    executions: int = 0
    qpu_seconds: float = 0.0
    payload_bytes: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.jobs + other.jobs,
            self.circuits + other.circuits,
            self.executions + other.executions,
            self.qpu_seconds + other.qpu_seconds,
            self.payload_bytes + other.payload_bytes,
        )

    def __mul__(self, times: int) -> "Work":
        return Work(*(times * value for value in asdict(self).values()))


@dataclass(frozen=True)
class Item:
    """A client's work in a round, or the centre's (``client`` None), on one device.

    Args:
        round: From 1.
        client: From 0, or None.
        backend: The backend's name.
        trains: Whether derivatives are wanted.
        samples: Examples that are evaluated, each as often as it is.
        work: What is sent.
    """

    round: int
    client: int | None
    backend: str
    trains: bool
    samples: int
    work: Work


@dataclass(frozen=True)
class DeviceFacts:
    """What the plan needs to know of a backend.

    Args:
        device: The device's name.
        shifted: Angles that are shifted.
        angles: Angles of all parameterised gates.
        outputs: Observables.
        uses_spsa: Whether derivatives come from SPSA.
        price_per_minute: Of QPU time, in US$, or None.
        budget_seconds: The most QPU seconds of the backend, or None.
        remaining_seconds: What the account has left, or None where there is no account or no limit.
    """

    device: str
    shifted: int
    angles: int
    outputs: int
    uses_spsa: bool
    price_per_minute: float | None
    budget_seconds: float | None
    remaining_seconds: float | None


@dataclass(frozen=True)
class Saving:
    """A change that would cost less.

    Args:
        change: In words.
        seconds: QPU seconds saved in the whole run.
    """

    change: str
    seconds: float


@dataclass(frozen=True)
class Plan:
    """The plan of a run.

    Args:
        items: What each client and the centre send in each round; simulated clients send nothing.
        devices: Facts by backend.
        local_epochs: Of the federation.
        batch_size: Of the federation.
        budget_seconds: The run's, or None.
    """

    items: tuple[Item, ...]
    devices: dict[str, DeviceFacts]
    local_epochs: int
    batch_size: int
    budget_seconds: float | None

    def total(self, of: Callable[[Item], bool] = lambda _: True) -> Work:
        """Return the work of all items, or of those that fit."""
        return sum((item.work for item in self.items if of(item)), Work())

    def rounds(self) -> list[int]:
        """Return the rounds in which a device is used."""
        return sorted({item.round for item in self.items})

    def price(self) -> float | None:
        """Return the price of the run in US$; None if no backend of it states a price."""
        prices = [
            item.work.qpu_seconds / 60 * price
            for item in self.items
            if (price := self.devices[item.backend].price_per_minute) is not None
        ]
        return sum(prices) if prices else None

    def array_seconds(self, queue_seconds: float = 0.0) -> float:
        """Return the time that devices take when they work beside each other, round after round.

        Args:
            queue_seconds: How long a job waits in its queue.
        """

        def busy(items: Iterable[Item]) -> float:
            return sum(item.work.qpu_seconds + queue_seconds * item.work.jobs for item in items)

        total = 0.0
        for round in self.rounds():
            of_round = [item for item in self.items if item.round == round]
            clients = [item for item in of_round if item.client is not None]
            by_device = [busy(i for i in clients if i.backend == name) for name in {i.backend for i in clients}]
            total += max(by_device, default=0.0) + busy(i for i in of_round if i.client is None)
        return total

    def one_machine_seconds(self, queue_seconds: float = 0.0) -> float:
        """Return the time that the same work takes on one device, one job after another."""
        total = self.total()
        return total.qpu_seconds + queue_seconds * total.jobs

    def submission_seconds(self) -> float:
        """Return the least time in which the service takes so many jobs from one account."""
        return self.total().jobs * 60.0 / MOST_JOBS_PER_MINUTE

    def stock_circuits(self) -> int:
        """Return the circuits that the stock ``EstimatorQNN`` would run in training for the same derivatives."""
        total = 0
        for item in self.items:
            facts = self.devices[item.backend]
            if item.trains:
                total += item.samples * facts.outputs * (1 + 2 * facts.angles)
        return total

    def lacking(self) -> list[str]:
        """Return a sentence for each budget that does not suffice."""
        needs = [(name, self.total(lambda i, n=name: i.backend == n).qpu_seconds) for name in self.devices]  # type: ignore[misc]
        ceilings = [("The run's budget", self.total().qpu_seconds, self.budget_seconds)]
        ceilings += [(f"The budget of {name}", need, self.devices[name].budget_seconds) for name, need in needs]
        ceilings += [(f"The account of {name}", need, self.devices[name].remaining_seconds) for name, need in needs]
        return [
            f"{what} is {ceiling:.0f} s, {need - ceiling:.0f} s too little."
            for what, need, ceiling in ceilings
            if ceiling is not None and need > ceiling
        ]

    def savings(self) -> list[Saving]:
        """Return changes that would cost less, the largest saving first."""
        training = self.total(lambda i: i.trains)
        everything = self.total()
        in_training = training.qpu_seconds - SECONDS_PER_JOB * training.jobs
        in_all = everything.qpu_seconds - SECONDS_PER_JOB * everything.jobs
        found = [
            Saving("half the shots", in_all / 2),
            Saving(
                f"federation.batch_size: {2 * self.batch_size} (half the jobs)", SECONDS_PER_JOB * training.jobs / 2
            ),
            Saving("task: evaluate on all devices (clients test there and train nothing)", self._without_training()),
        ]
        if not all(facts.uses_spsa for facts in self.devices.values()):
            found.append(Saving("gradient: {spsa: {}} (noisier derivatives)", self._with_spsa()))
        if self.local_epochs > 1:
            share = 1 - 1 / self.local_epochs
            found.append(Saving("federation.local_epochs: 1", share * (in_training + SECONDS_PER_JOB * training.jobs)))
        tests = self.total(lambda i: i.client is None)
        if tests.jobs:
            found.append(Saving("no tests of the centre on devices", tests.qpu_seconds))
        return sorted(found, key=lambda saving: -saving.seconds)

    def _with_spsa(self) -> float:
        saved = 0.0
        for item in self.items:
            facts = self.devices[item.backend]
            if item.trains and not facts.uses_spsa:
                running = item.work.qpu_seconds - SECONDS_PER_JOB * item.work.jobs
                saved += running * (1 - 3 / (1 + 2 * facts.shifted))
        return max(saved, 0.0)

    def _without_training(self) -> float:
        saved = 0.0
        for item in self.items:
            if item.trains:
                facts = self.devices[item.backend]
                points = 3 if facts.uses_spsa else 1 + 2 * facts.shifted
                running = item.work.qpu_seconds - SECONDS_PER_JOB * item.work.jobs
                saved += item.work.qpu_seconds - SECONDS_PER_JOB - running / points / self.local_epochs
        return saved

    def as_json(self) -> dict[str, Any]:
        """Return the whole plan as plain values."""
        return {
            "items": [asdict(item) for item in self.items],
            "devices": {name: asdict(facts) for name, facts in self.devices.items()},
            "total": asdict(self.total()),
            "price_usd": self.price(),
            "array_seconds": self.array_seconds(),
            "one_machine_seconds": self.one_machine_seconds(),
            "submission_seconds": self.submission_seconds(),
            "stock_training_circuits": self.stock_circuits(),
            "savings": [asdict(saving) for saving in self.savings()],
            "lacking": self.lacking(),
        }


def plan_experiment(experiment: Experiment) -> Plan:
    """Plan a run: open its devices, read their calibrations, and send nothing.

    Args:
        experiment: What to run.

    Raises:
        ConfigurationError: The assignment names a client that doesn't exist, or no client or test uses a device.
        DataError: The data are missing, or too few.
        BackendError: A device cannot be opened, or the circuit doesn't fit it.
    """
    registry = BackendRegistry(experiment.backends, Path())
    assignment = registry.assign(experiment.federation.clients)
    tests = [experiment.backends.assignment.server, *experiment.evaluation.backends]
    names = sorted({name for name in (*assignment, *tests) if registry.is_queued(name)})
    if not names:
        raise ConfigurationError("There is nothing to plan: no client and no test uses a backend of type ibm.")
    dataset = load_dataset(experiment.data, experiment.seed)
    shards, validation = share_out(experiment, dataset)
    spec = circuit_for(experiment.model, len(dataset.classes))
    programs = {name: _program(registry, name, spec) for name in names}

    @cache
    def evaluation(name: str, num_samples: int, jacobian: bool) -> Work:
        backend, program = programs[name]
        costs = backend.cost(program, num_samples, jacobian=jacobian)
        payload = backend.payload_bytes(program, num_samples, jacobian=jacobian)
        sums = (sum(c.circuits for c in costs), sum(c.executions for c in costs), sum(c.seconds for c in costs))
        return Work(len(costs), *sums, payload)

    def tested(name: str, num_samples: int) -> Work:
        return sum((evaluation(name, size, False) for size in _batches(num_samples, TEST_BATCH)), Work())

    def trained(name: str, num_samples: int) -> Work:
        config = experiment.federation
        epoch = sum((evaluation(name, size, True) for size in _batches(num_samples, config.batch_size)), Work())
        return epoch * config.local_epochs

    items = []
    for round in range(1, experiment.federation.rounds + 1):
        config = experiment.federation
        for client in sample_clients(experiment.seed, round, config.clients, config.clients_per_round):
            name = assignment[client]
            if name in programs:
                trains = registry.trains(name)
                samples = len(shards[client])
                work = (trained if trains else tested)(name, samples)
                items.append(Item(round, client, name, trains, samples * (config.local_epochs if trains else 1), work))
        for place, name in enumerate(tests):
            if name in programs:
                num_samples = len(dataset.test) + (len(validation) if place == 0 else 0)
                items.append(Item(round, None, name, False, num_samples, tested(name, num_samples)))
    devices = {name: _facts(*programs[name]) for name in names}
    config = experiment.federation
    return Plan(tuple(items), devices, config.local_epochs, config.batch_size, experiment.backends.budget_seconds)


def _program(registry: BackendRegistry, name: str, spec: CircuitSpec) -> tuple[DeviceBackend, Program]:
    backend = registry[name]
    assert isinstance(backend, DeviceBackend)
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    return backend, compile_program(backend, angles.circuit, angles.params, spec.observables)


def _facts(backend: DeviceBackend, program: Program) -> DeviceFacts:
    entry = backend.entry
    return DeviceFacts(
        device=backend.machine.device,
        shifted=len(program.shifted),
        angles=len(program.angles),
        outputs=len(program.observables),
        uses_spsa=isinstance(entry.gradient, Spsa),
        price_per_minute=entry.price_per_minute,
        budget_seconds=entry.budget_seconds,
        remaining_seconds=backend.remaining_seconds(),
    )


def _batches(num_samples: int, size: int) -> Iterator[int]:
    for start in range(0, num_samples, size):
        yield min(size, num_samples - start)
