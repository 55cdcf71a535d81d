"""What an experiment will cost on devices: jobs, circuits, executions, QPU time, money."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Work:
    """What is sent to a device.

    Args:
        jobs: Jobs, each of one PUB.
        circuits: Bound circuits, once for each measurement basis.
        executions: Their shots.
        qpu_seconds: QPU seconds by the device's own durations; those of devices that state none are not among them.
        payload_bytes: What is uploaded, where that is known.
        price_usd: By the prices of the backends file.
    """

    jobs: int = 0
    circuits: int = 0
    executions: int = 0
    qpu_seconds: float = 0.0
    payload_bytes: int = 0
    price_usd: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.jobs + other.jobs,
            self.circuits + other.circuits,
            self.executions + other.executions,
            self.qpu_seconds + other.qpu_seconds,
            self.payload_bytes + other.payload_bytes,
            self.price_usd + other.price_usd,
        )

    def __mul__(self, times: int) -> "Work":
        return Work(*(times * value for value in asdict(self).values()))


@dataclass(frozen=True)
class Item:
    """A client's work in a round, or the server's (``client`` None), on one device.

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
        account: The instance that is charged, or None.
        angles: Angles of all parameterised gates.
        outputs: Observables.
        has_price: Whether its entry states a price.
        budget_seconds: The most QPU seconds of the backend, or None.
        budget_executions: The most executions of the backend, or None.
        remaining_seconds: What the account has left, or None where there is no account or no limit.
        is_lower_bound: Whether the service will add executions that are not known beforehand.
        is_session: Whether the service charges by the clock.
        jobs_per_minute: So many jobs the service takes from one account, or None where that is not known.
    """

    device: str
    account: str | None
    angles: int
    outputs: int
    has_price: bool
    budget_seconds: float | None
    budget_executions: int | None
    remaining_seconds: float | None
    is_lower_bound: bool
    is_session: bool
    jobs_per_minute: int | None


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
        items: What each client and the server send in each round; simulated clients send nothing.
        devices: Facts by backend.
        budget_seconds: The run's, or None.
        savings: Changes that would cost less, the largest saving first.
    """

    items: tuple[Item, ...]
    devices: dict[str, DeviceFacts]
    budget_seconds: float | None
    savings: tuple[Saving, ...] = ()

    def total(self, of: Callable[[Item], bool] = lambda _: True) -> Work:
        """Return the work of all items, or of those that fit."""
        return sum((item.work for item in self.items if of(item)), Work())

    def by_round(self) -> list[tuple[int, list[Item]]]:
        """Return the rounds in which a device is used, each with its items."""
        rounds: dict[int, list[Item]] = {}
        for item in self.items:
            rounds.setdefault(item.round, []).append(item)
        return sorted(rounds.items(), key=lambda pair: pair[0])

    def price(self) -> float | None:
        """Return the price of the run in US$; None if no backend of it states a price."""
        prices = [item.work.price_usd for item in self.items if self.devices[item.backend].has_price]
        return sum(prices) if prices else None

    def array_seconds(self, queue_seconds: float = 0.0) -> float:
        """Return the time that devices take when they work at the same time, round after round.

        Args:
            queue_seconds: How long a job waits in its queue.
        """

        def busy(items: Iterable[Item]) -> float:
            return sum(item.work.qpu_seconds + queue_seconds * item.work.jobs for item in items)

        total = 0.0
        for _, of_round in self.by_round():
            clients = [item for item in of_round if item.client is not None]
            devices = {self.devices[i.backend].device for i in clients}
            by_device = [busy(i for i in clients if self.devices[i.backend].device == device) for device in devices]
            total += max(by_device, default=0.0) + busy(i for i in of_round if i.client is None)
        return total

    def one_machine_seconds(self, queue_seconds: float = 0.0) -> float:
        """Return the time that the same work takes on one device, one job after another."""
        total = self.total()
        return total.qpu_seconds + queue_seconds * total.jobs

    def submission_seconds(self) -> float:
        """Return the least time in which the service takes so many jobs from one account."""
        limits = {name: facts.jobs_per_minute for name, facts in self.devices.items()}
        return sum(item.work.jobs * 60.0 / limit for item in self.items if (limit := limits[item.backend]))

    def stock_circuits(self) -> int:
        """Return the circuits that the stock ``EstimatorQNN`` would run in training for the same derivatives."""
        total = 0
        for item in self.items:
            facts = self.devices[item.backend]
            if item.trains:
                total += item.samples * facts.outputs * (1 + 2 * facts.angles)
        return total

    def without_durations(self) -> list[str]:
        """Return the backends that are used and whose devices do not state how long their gates take."""
        work = {name: self._work_on({name}) for name in self.devices}
        return [name for name, of_backend in work.items() if of_backend.jobs and not of_backend.qpu_seconds]

    def lacking(self) -> list[str]:
        """Return a sentence for each budget that does not suffice."""
        ceilings = [("The run's budget", self.total().qpu_seconds, self.budget_seconds)]
        for name, facts in self.devices.items():
            ceilings.append((f"The budget of {name}", self._needs({name}), facts.budget_seconds))
        for account in {facts.account for facts in self.devices.values()}:
            names = {name for name, facts in self.devices.items() if facts.account == account}
            left = [facts.remaining_seconds for name, facts in self.devices.items() if name in names]
            known = [seconds for seconds in left if seconds is not None]
            what = f"What the account of {', '.join(sorted(names))} has left"
            ceilings.append((what, self._needs(names), min(known) if known else None))
        seconds = [
            f"{what} is {ceiling:.0f} s, {need - ceiling:.0f} s too little."
            for what, need, ceiling in ceilings
            if ceiling is not None and need > ceiling
        ]
        return [*seconds, *self._lacking_executions()]

    def _lacking_executions(self) -> list[str]:
        lacking = []
        for name, facts in self.devices.items():
            need, ceiling = self._work_on({name}).executions, facts.budget_executions
            if ceiling is not None and need > ceiling:
                lacking.append(
                    f"The budget of {name} is {ceiling:,} executions, {need - ceiling:,} executions too little."
                )
        return lacking

    def _needs(self, backends: set[str]) -> float:
        return self._work_on(backends).qpu_seconds

    def _work_on(self, backends: set[str]) -> Work:
        return self.total(lambda item: item.backend in backends)

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
            "savings": [asdict(saving) for saving in self.savings],
            "lacking": self.lacking(),
        }
