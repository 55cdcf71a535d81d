"""What an experiment will cost on devices: jobs, circuits, executions, QPU time, money."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from qiskit_fedqml.backends.devices.cost import MOST_JOBS_PER_MINUTE
from qiskit_fedqml.planning.ceilings import Ceiling, Fit, fit


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

    def part(self, low: int, high: int, of: int) -> "Work":
        """Return the part from ``low`` to ``high`` of a whole of ``of``; parts add up to the whole.

        A job belongs to the part that begins it.
        """
        whole = (self.circuits, self.executions)
        circuits, executions = (total * high // of - total * low // of for total in whole)
        share = (high - low) / of
        payload = self.payload_bytes * high // of - self.payload_bytes * low // of
        return Work(0 if low else self.jobs, circuits, executions, self.qpu_seconds * share, payload)

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
        price_per_minute: Of QPU time, in US$, or None.
        budget_seconds: The most QPU seconds of the backend, or None.
        remaining_seconds: What the account has left, or None where there is no account or no limit.
        is_lower_bound: Whether the service will add executions that are not known beforehand.
        is_session: Whether the service charges by the clock.
    """

    device: str
    account: str | None
    angles: int
    outputs: int
    price_per_minute: float | None
    budget_seconds: float | None
    remaining_seconds: float | None
    is_lower_bound: bool
    is_session: bool


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
        num_rounds: Rounds of the run, with those in which no device is used.
        ceilings: What may be spent.
        savings: Changes that would cost less, the largest saving first.
    """

    items: tuple[Item, ...]
    devices: dict[str, DeviceFacts]
    num_rounds: int
    ceilings: tuple[Ceiling, ...] = ()
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
        prices = [
            item.work.qpu_seconds / 60 * price
            for item in self.items
            if (price := self.devices[item.backend].price_per_minute) is not None
        ]
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
        """Return a sentence for each ceiling that would be passed."""
        total = seconds_of(self.items)
        return [
            f"{text[:1].upper()}{text[1:]}."
            for ceiling in self.ceilings
            if ceiling.is_passed(need := ceiling.need(total)) and (text := ceiling.described(need))
        ]

    def fit(self) -> Fit:
        """Return how many of the rounds fit under all ceilings."""
        by_round = dict(self.by_round())
        return fit(self.ceilings, (seconds_of(by_round.get(round, [])) for round in range(1, self.num_rounds + 1)))

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
            "rounds_that_fit": self.fit().rounds,
        }


def seconds_of(items: Iterable[Item]) -> dict[str, float]:
    """Return the QPU seconds of items by backend."""
    found: dict[str, float] = {}
    for item in items:
        found[item.backend] = found.get(item.backend, 0.0) + item.work.qpu_seconds
    return found
