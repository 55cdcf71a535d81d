"""What an experiment will cost on devices: jobs, circuits, executions, QPU time, money."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from qiskit_fedqml.planning.ceilings import Ceiling, Fit, fit
from qiskit_fedqml.planning.work import Item, Work, work_of


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

    def lacking(self) -> list[str]:
        """Return a sentence for each ceiling that would be passed."""
        total = work_of(self.items)
        return [
            f"{text[:1].upper()}{text[1:]}."
            for ceiling in self.ceilings
            if ceiling.is_passed(need := ceiling.need(total)) and (text := ceiling.described(need))
        ]

    def fit(self) -> Fit:
        """Return how many of the rounds fit under all ceilings."""
        by_round = dict(self.by_round())
        return fit(self.ceilings, (work_of(by_round.get(round, [])) for round in range(1, self.num_rounds + 1)))

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
