"""Synchronous rounds, as in federated averaging (McMahan et al., 2017, arXiv:1602.05629, Algorithm 1)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from qiskit_fedqml.federation.algorithms.algorithm import Setting
from qiskit_fedqml.federation.algorithms.stepping import stepped
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, Flight, State
from qiskit_fedqml.federation.sampling import sample_clients
from qiskit_fedqml.federation.scheduling.scheduler import Dispatch, Scheduler
from qiskit_fedqml.federation.server_state import ServerState


@dataclass(frozen=True)
class Synchronous:
    """Each server step is a round: some clients are drawn, all train from the same model, and all are waited for.

    On a simulated clock a round lasts until the last of its updates has arrived.

    Args:
        setting: Clients, rule, server optimiser, and the simulated clock's machines if there is one.
    """

    setting: Setting

    def init(self, model: State) -> ServerState:
        """Return the state before the first round."""
        return ServerState(0, model)

    def next_tasks(self, server: ServerState) -> list[ClientTask]:
        """Draw the clients of the next round; there may be none where each is drawn by itself."""
        if self.setting.scheduler is not None:
            return [self.setting.task_of(server, flight) for flight in self._flights(server, self.setting.scheduler)]
        return [self.setting.task(server, client) for client in self._drawn(server)]

    def apply(self, server: ServerState, updates: Iterable[ClientUpdate]) -> tuple[ServerState, list[ClientUpdate]]:
        """Aggregate a round; where nothing came back, the global model stays, unless noise is released."""
        after, returned = stepped(self.setting, server, updates)
        if self.setting.scheduler is None:
            return after, returned
        flights = self._flights(server, self.setting.scheduler)
        returned = [replace(update, flight=flight) for update, flight in zip(returned, flights, strict=True)]
        clock = max(flight.arrives_seconds for flight in flights)
        return replace(after, clock_seconds=clock, dispatched=server.dispatched + len(flights)), returned

    def _drawn(self, server: ServerState) -> list[int]:
        if self.setting.sampler is not None:
            return self.setting.sampler.clients_of(server.step + 1)
        config = self.setting.config
        seed, step = self.setting.seed, server.step + 1
        return sample_clients(seed, step, config.clients, config.clients_per_round, server.attempt)

    def _flights(self, server: ServerState, scheduler: Scheduler) -> list[Flight]:
        """Dispatch the clients of the next round, one after another, at the same time."""
        flights: list[Flight] = []
        for number, client in enumerate(self._drawn(server), start=server.dispatched):
            task = Dispatch(client, number, server.step, server.clock_seconds or 0.0)
            flights.append(scheduler.dispatch(task, flights))
        return flights
