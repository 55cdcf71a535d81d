"""What an experiment will cost on devices: jobs, circuits, executions, QPU time, money."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from qiskit_fedqml.planning.ceilings import Ceiling, Fit, fit
from qiskit_fedqml.planning.facts import DeviceFacts
from qiskit_fedqml.planning.work import Item, Work, work_of


@dataclass(frozen=True)
class Saving:
    """A change that would cost less.

    Args:
        change: In words.
        seconds: QPU seconds saved in the whole run, on devices that state durations.
        executions: Executions saved in the whole run.
    """

    change: str
    seconds: float
    executions: int


@dataclass(frozen=True)
class Plan:
    """The plan of a run.

    Args:
        items: What each client and the server send in each round; simulated clients send nothing.
        devices: Facts by backend.
        num_rounds: Rounds of the run, with those in which no device is used.
        ceilings: What may be spent.
        savings: Changes that would cost less, the largest saving first.
        is_buffered: Whether the federation is asynchronous, so that who gets the tasks depends on who comes back first.
    """

    items: tuple[Item, ...]
    devices: dict[str, DeviceFacts]
    num_rounds: int
    ceilings: tuple[Ceiling, ...] = ()
    savings: tuple[Saving, ...] = ()
    is_buffered: bool = False

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

    def accounts(self) -> dict[tuple[str, ...], Work]:
        """Return the work on IBM's devices by account, which is named by its backends; rehearsals count as one."""
        members: dict[str | None, dict[str, Work]] = {}
        for name, work in work_of(self.items).items():
            if self.devices[name].jobs_per_minute is not None:
                members.setdefault(self.devices[name].account, {})[name] = work
        return {tuple(sorted(of)): sum(of.values(), Work()) for of in members.values()}

    def submission_seconds(self) -> float:
        """Return the least time in which the service takes so many jobs, from the account that sends the most."""
        limits = {name: facts.jobs_per_minute for name, facts in self.devices.items()}
        times = (work.jobs * 60.0 / limit for (name, *_), work in self.accounts().items() if (limit := limits[name]))
        return max(times, default=0.0)

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
