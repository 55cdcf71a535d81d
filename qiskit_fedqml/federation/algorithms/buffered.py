"""Buffered asynchronous aggregation, FedBuff (Nguyen et al., 2022, arXiv:2106.06639, Algorithm 1).

Some clients are always at work. Whenever one's update has arrived, another client gets a task with the present model;
whenever K updates have arrived, the server steps. How long tasks take on the simulated clock does not depend on what
is trained, so it is known which updates make the next step before any of them is computed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from qiskit_fedqml.config.buffered import BufferedOptions
from qiskit_fedqml.federation.algorithms.algorithm import Setting
from qiskit_fedqml.federation.algorithms.staleness import drawn_client, in_flight, is_stale, moved
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, Flight, State
from qiskit_fedqml.federation.scheduling.scheduler import Dispatch, Scheduler
from qiskit_fedqml.federation.server_state import ServerState


@dataclass(frozen=True)
class _Advance:
    """What happens up to the next server step.

    Args:
        arrived: Tasks whose updates make the step, and those that come too late to count, by client.
        flights: Tasks that are on their way at the step, in the order of dispatch.
        clock_seconds: When the step is taken.
        dispatched: Tasks that were dispatched until then.
    """

    arrived: tuple[Flight, ...]
    flights: tuple[Flight, ...]
    clock_seconds: float
    dispatched: int


@dataclass(frozen=True)
class Buffered:
    """The server steps whenever K updates have arrived (:func:`~.staleness.moved` says how far).

    A client whose update waits in the buffer gets no task before the step, so that no client trains twice from one
    model.

    Args:
        setting: Clients, rule and server optimiser.
        scheduler: The simulated clock's machines.
        options: K, a, and the largest τ.
    """

    setting: Setting
    scheduler: Scheduler
    options: BufferedOptions

    def init(self, model: State) -> ServerState:
        """Return the state before the first step, when nobody is at work yet."""
        return ServerState(0, model)

    def next_tasks(self, server: ServerState) -> list[ClientTask]:
        """Let time pass until K updates have arrived; return their tasks, each with the model that it started from."""
        return [self.setting.task_of(server, flight) for flight in self._advance(server).arrived]

    def apply(self, server: ServerState, updates: Iterable[ClientUpdate]) -> tuple[ServerState, list[ClientUpdate]]:
        """Move the global model; where no update counts, it stays."""
        advance = self._advance(server)
        after, returned = moved(self.setting, self.options, server, updates, advance.arrived)
        state = replace(after, clock_seconds=advance.clock_seconds, dispatched=advance.dispatched)
        return in_flight(state, server, advance.flights), returned

    def _advance(self, server: ServerState) -> _Advance:
        flights, arrived = list(server.flights), list[Flight]()
        clock, dispatched, num_counted = server.clock_seconds or 0.0, server.dispatched, 0
        while num_counted < self.options.buffer:
            while len(flights) < self.setting.config.clients_per_round:
                busy = {flight.client_id for flight in (*flights, *arrived)}
                client = drawn_client(self.setting.seed, self.setting.config.clients, dispatched, busy)
                if client is None:
                    break
                flights.append(self.scheduler.dispatch(Dispatch(client, dispatched, server.step, clock), flights))
                dispatched += 1
            if not flights:  # every client has come back, some of them too late to count
                break
            first = min(flights, key=lambda flight: flight.arrives_seconds)  # of equal ones the first dispatched
            flights.remove(first)
            arrived.append(first)
            clock = first.arrives_seconds
            num_counted += not is_stale(self.options, server, first)
        ordered = tuple(sorted(arrived, key=lambda flight: flight.client_id))
        return _Advance(ordered, tuple(flights), clock, dispatched)
