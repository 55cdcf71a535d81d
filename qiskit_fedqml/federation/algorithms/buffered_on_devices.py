"""Buffered asynchronous aggregation, FedBuff (arXiv:2106.06639), on devices, whose time is the real one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from qiskit_fedqml.config.buffered import BufferedOptions
from qiskit_fedqml.federation.algorithms.algorithm import Setting
from qiskit_fedqml.federation.algorithms.staleness import drawn_client, in_flight, is_stale, moved
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, Flight, State
from qiskit_fedqml.federation.server_state import ServerState


@dataclass(frozen=True)
class BufferedOnDevices:
    """The server steps whenever K updates have arrived, and then hands out as many tasks.

    New tasks are part of the state after a step, so they are in the checkpoint before anything of them is sent; until
    the step, clients whose updates have arrived wait for it. Which updates arrive first is not known before, and the
    executor says so.

    Args:
        setting: Clients, rule and server optimiser.
        options: K, a, and the largest τ.
    """

    setting: Setting
    options: BufferedOptions

    def init(self, model: State) -> ServerState:
        """Return the state before the first step, with the first tasks."""
        return self._with_tasks(ServerState(0, model), ())

    def next_tasks(self, server: ServerState) -> list[ClientTask]:
        """Return all tasks that are on their way, of which some make the next step."""
        return [self.setting.task_of(server, flight) for flight in server.flights]

    def is_enough(self, server: ServerState, clients: Sequence[int]) -> bool:
        """Return whether the updates of these clients make the next step: K count, or nobody is left to wait for."""
        arrived = [flight for flight in server.flights if flight.client_id in clients]
        counted = sum(not is_stale(self.options, server, flight) for flight in arrived)
        return counted >= self.options.buffer or len(arrived) == len(server.flights)

    def apply(self, server: ServerState, updates: Iterable[ClientUpdate]) -> tuple[ServerState, list[ClientUpdate]]:
        """Move the global model by the updates that have arrived, and make as many tasks.

        Args:
            server: The state before the step.
            updates: Those that make it, by client.
        """
        arrived, by_client = list(updates), {flight.client_id: flight for flight in server.flights}
        flights = [by_client[update.client_id] for update in arrived]
        after, returned = moved(self.setting, self.options, server, arrived, flights)
        left = [flight for flight in server.flights if flight not in flights]
        return self._with_tasks(in_flight(after, server, left), left), returned

    def _with_tasks(self, server: ServerState, left: Sequence[Flight]) -> ServerState:
        """Return a state in which so many clients are at work as may be."""
        flights, dispatched = list(left), server.dispatched
        seed, config = self.setting.seed, self.setting.config
        while len(flights) < config.clients_per_round:
            client = drawn_client(seed, config.clients, dispatched, {flight.client_id for flight in flights})
            assert client is not None, "no more clients are at work than there are"
            backend = self.setting.backends[client]
            flights.append(Flight(client, backend, backend, server.step))
            dispatched += 1
        return replace(server, flights=tuple(flights), dispatched=dispatched)
