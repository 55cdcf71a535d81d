"""What a run has spent of its privacy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.privacy.accountant import Accountant


@dataclass(frozen=True)
class Spending:
    """What has been released; each number is counted when it is begun, so that what is interrupted counts too.

    Args:
        aggregates: Noisy aggregates of clients' updates.
        tasks: How many noisy updates each client has made.
    """

    aggregates: int = 0
    tasks: Mapping[int, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.aggregates or self.tasks)

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"aggregates": self.aggregates, "tasks": [[client, number] for client, number in self.tasks.items()]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Spending":
        """Make one of what :meth:`as_json` gave.

        Raises:
            KeyError: A value is missing.
            TypeError: One has another type.
            ValueError: One has another form.
        """
        return cls(int(values["aggregates"]), {int(client): int(number) for client, number in values["tasks"]})


class PrivacyBudget:
    """Counts what is released, and says what it has spent.

    Args:
        config: The `privacy` section.
        federation: The `federation` section.
    """

    def __init__(self, config: PrivacyConfig, federation: FederationConfig) -> None:
        self.config = config
        if config.examples is not None:
            rate, noise = config.examples.sampling_rate, config.examples.noise_multiplier
            self._steps = config.examples.steps_per_epoch * federation.local_epochs
        else:
            assert config.clients is not None
            rate, noise = federation.clients_per_round / federation.clients, config.clients.noise_multiplier
            self._steps = 1
        self.accountant = Accountant(noise, rate, config.delta)

    def after(self, spending: Spending, clients: Iterable[int]) -> Spending:
        """Return what is spent when these clients have begun a server step.

        Args:
            spending: What was spent before.
            clients: Those that get a task.
        """
        if self.config.clients is not None:
            return Spending(spending.aggregates + 1)
        tasks = dict(spending.tasks)
        for client in clients:
            tasks[client] = tasks.get(client, 0) + 1
        return Spending(0, tasks)

    def steps(self, spending: Spending) -> int:
        """Return how often noise protects who is protected least: a client with the most tasks, or any client."""
        if self.config.clients is not None:
            return spending.aggregates
        return self._steps * max(spending.tasks.values(), default=0)

    def epsilon(self, spending: Spending) -> float:
        """Return the ε of whoever is protected least."""
        return self.accountant.epsilon(self.steps(spending))

    def allows(self, spending: Spending) -> bool:
        """Return whether so much may be spent."""
        return self.config.epsilon is None or self.epsilon(spending) <= self.config.epsilon
