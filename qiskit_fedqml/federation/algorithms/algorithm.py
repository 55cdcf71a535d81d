"""What an algorithm is, and what it is given."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, Flight, State
from qiskit_fedqml.federation.rules.aggregator import Aggregator
from qiskit_fedqml.federation.rules.server_optimizer import ServerOptimizer
from qiskit_fedqml.federation.sampling import PoissonSampler
from qiskit_fedqml.federation.scheduling.scheduler import Scheduler
from qiskit_fedqml.federation.server_state import ServerState


@dataclass(frozen=True)
class Setting:
    """What an algorithm is given.

    Args:
        seed: The run's seed.
        config: The `federation` section.
        backends: Name of each client's backend.
        trains: Whether clients of a backend train, and not only test.
        weight_of: An update's weight in the aggregate, from 0.
        rule: Makes one state of the updates.
        server_optimizer: Steps towards it; None takes it as it is.
        scheduler: The machines of the simulated clock; None where time is not simulated.
        norm_ratio: Updates whose norm is more than so many times the median are refused; None compares none.
        sampler: Draws each client by itself, as privacy for clients needs it; None draws so many as there must be.
    """

    seed: int
    config: FederationConfig
    backends: tuple[str, ...]
    trains: Callable[[str], bool]
    weight_of: Callable[[ClientUpdate], float]
    rule: Aggregator
    server_optimizer: ServerOptimizer | None
    scheduler: Scheduler | None = None
    norm_ratio: float | None = None
    sampler: PoissonSampler | None = None

    def task(self, server: ServerState, client_id: int) -> ClientTask:
        """Return a client's task in the next server step."""
        backend = self.backends[client_id]
        kept = server.clients.get(client_id, {})
        return ClientTask(server.step + 1, client_id, backend, server.model, self.trains(backend), kept)

    def task_of(self, server: ServerState, flight: Flight) -> ClientTask:
        """Return the task that is on its way."""
        kept, model = server.clients.get(flight.client_id, {}), server.model_of(flight.model_version)
        step, trains = flight.model_version + 1, self.trains(flight.backend)
        return ClientTask(step, flight.client_id, flight.backend, model, trains, kept)


class Algorithm(Protocol):
    """Who gets which task next, and what becomes of the updates. All that it remembers is the server's state."""

    def init(self, model: State) -> ServerState:
        """Return the state before the first server step."""
        ...

    def next_tasks(self, server: ServerState) -> list[ClientTask]:
        """Return the tasks of the next server step, each of another client."""
        ...

    def apply(self, server: ServerState, updates: Iterable[ClientUpdate]) -> tuple[ServerState, list[ClientUpdate]]:
        """Return the state after the step, and the updates without their tensors but with their shares.

        Args:
            server: The state before the step.
            updates: The updates, in the order of the tasks.
        """
        ...
