"""Buffered asynchronous aggregation, FedBuff (Nguyen et al., 2022, arXiv:2106.06639, Algorithm 1).

Some clients are always at work. Whenever one's update has arrived, another client gets a task with the present model;
whenever K updates have arrived, the server steps. How long tasks take on the simulated clock does not depend on what
is trained, so it is known which updates make the next step before any of them is computed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from qiskit_fedqml.config.buffered import BufferedOptions
from qiskit_fedqml.federation.algorithms.algorithm import Setting
from qiskit_fedqml.federation.algorithms.stepping import stepped
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, Flight, State, Status
from qiskit_fedqml.federation.scheduling.scheduler import Dispatch, Scheduler
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.seeds import derive_seed, numpy_generator


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
    """The server steps whenever K updates have arrived; each moves it by how far its client went from where it began.

    With x_t the global model, τ_i the number of server steps since client i's model x_{t−τ_i} was sent to it, and y_i
    what the client made of that, the rule averages x_t + (1 + τ_i)^(−a) · (y_i − x_{t−τ_i}). With FedAvg's weights n_i
    the model is x_t + Σ n_i (1 + τ_i)^(−a) (y_i − x_{t−τ_i}) / Σ n_i: Algorithm 1 with the paper's scaling by
    staleness, weighted by examples.

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
        after, returned = stepped(self.setting, server, self._moved(server, updates, advance.arrived))
        returned = [
            replace(update, share=update.share * self._scale(server, flight), flight=flight)
            for update, flight in zip(returned, advance.arrived, strict=True)
        ]
        versions = sorted({flight.model_version for flight in advance.flights})
        state = replace(
            after,
            clock_seconds=advance.clock_seconds,
            dispatched=advance.dispatched,
            flights=advance.flights,
            versions={version: server.model_of(version) for version in versions},
        )
        return state, returned

    def _advance(self, server: ServerState) -> _Advance:
        flights, arrived = list(server.flights), list[Flight]()
        clock, dispatched, num_counted = server.clock_seconds, server.dispatched, 0
        while num_counted < self.options.buffer:
            while len(flights) < self.setting.config.clients_per_round:
                client = self._drawn(dispatched, {flight.client_id for flight in (*flights, *arrived)})
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
            num_counted += not self._is_stale(server, first)
        ordered = tuple(sorted(arrived, key=lambda flight: flight.client_id))
        return _Advance(ordered, tuple(flights), clock, dispatched)

    def _drawn(self, number: int, busy: set[int]) -> int | None:
        """Draw the client of a dispatch among those that are free; None if nobody is."""
        clients = self.setting.config.clients
        if len(busy) == clients:
            return None
        rng = numpy_generator(derive_seed(self.setting.seed, "client of the dispatch", number))
        while (client := int(rng.integers(clients))) in busy:
            pass
        return client

    def _moved(
        self, server: ServerState, updates: Iterable[ClientUpdate], flights: Sequence[Flight]
    ) -> Iterator[ClientUpdate]:
        """Give updates as states that lie from the present model as far as their clients went, times the scale."""
        for update, flight in zip(updates, flights, strict=True):
            staleness = server.step - flight.model_version
            if update.state is None or not staleness:
                yield update
            elif self._is_stale(server, flight):
                reason = f"its model was {staleness} server steps old, more than {self.options.max_staleness}"
                yield replace(update, status=Status.REFUSED, reason=reason, state=None)
            else:
                start, scale = server.model_of(flight.model_version), self._scale(server, flight)
                moved = {
                    name: server.model[name] + (tensor - start[name]) * scale for name, tensor in update.state.items()
                }
                yield replace(update, state=moved)

    def _scale(self, server: ServerState, flight: Flight) -> float:
        """Return (1 + τ)^(−a)."""
        return float((1 + server.step - flight.model_version) ** -self.options.staleness_exponent)

    def _is_stale(self, server: ServerState, flight: Flight) -> bool:
        most = self.options.max_staleness
        return most is not None and server.step - flight.model_version > most
