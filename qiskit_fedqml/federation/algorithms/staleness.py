"""What asynchronous federations have in common: who gets the next task, and how a late update moves the model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from qiskit_fedqml.config.buffered import BufferedOptions
from qiskit_fedqml.federation.algorithms.stepping import stepped
from qiskit_fedqml.federation.messages import ClientUpdate, Flight, Status
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.seeds import derive_seed, numpy_generator

if TYPE_CHECKING:
    from qiskit_fedqml.federation.algorithms.algorithm import Setting


def drawn_client(seed: int, clients: int, number: int, busy: set[int]) -> int | None:
    """Draw the client of a dispatch among those that are free; None if nobody is.

    Args:
        seed: The run's seed.
        clients: How many clients there are.
        number: How many tasks were dispatched before.
        busy: Clients that are not free.
    """
    if len(busy) == clients:
        return None
    rng = numpy_generator(derive_seed(seed, "client of the dispatch", number))
    while (client := int(rng.integers(clients))) in busy:
        pass
    return client


def moved(
    setting: "Setting",
    options: BufferedOptions,
    server: ServerState,
    updates: Iterable[ClientUpdate],
    flights: Sequence[Flight],
) -> tuple[ServerState, list[ClientUpdate]]:
    """Move the global model by how far clients went from where they began; where no update counts, it stays.

    With x_t the global model, τ_i the number of server steps since client i's model x_{t−τ_i} was sent to it, and y_i
    what the client made of that, the rule averages x_t + (1 + τ_i)^(−a) · (y_i − x_{t−τ_i}). With FedAvg's weights n_i
    the model is x_t + Σ n_i (1 + τ_i)^(−a) (y_i − x_{t−τ_i}) / Σ n_i: FedBuff's Algorithm 1 (arXiv:2106.06639) with
    its scaling by staleness, weighted by examples.

    Args:
        setting: Rule, weights and server optimiser.
        options: a, and the largest τ.
        server: The state before the step.
        updates: The updates.
        flights: The tasks that they come from, in the same order.

    Returns:
        The state after the step, and the updates without their tensors but with their shares and flights.
    """
    after, returned = stepped(setting, server, _from_present(options, server, updates, flights))
    shared = [
        replace(update, share=update.share * _scale(options, server, flight), flight=flight)
        for update, flight in zip(returned, flights, strict=True)
    ]
    return after, shared


def in_flight(after: ServerState, before: ServerState, flights: Sequence[Flight]) -> ServerState:
    """Return a state with tasks on their way, and the models that they start from.

    Args:
        after: The state after a step.
        before: The state before it.
        flights: The tasks.
    """
    versions = sorted({flight.model_version for flight in flights} - {after.step})
    return replace(after, flights=tuple(flights), versions={version: before.model_of(version) for version in versions})


def is_stale(options: BufferedOptions, server: ServerState, flight: Flight) -> bool:
    """Return whether an update comes too late to count in the next step."""
    return options.max_staleness is not None and server.step - flight.model_version > options.max_staleness


def _from_present(
    options: BufferedOptions, server: ServerState, updates: Iterable[ClientUpdate], flights: Sequence[Flight]
) -> Iterator[ClientUpdate]:
    """Give updates as states that lie from the present model as far as their clients went, times the scale."""
    for update, flight in zip(updates, flights, strict=True):
        staleness = server.step - flight.model_version
        if update.state is None or not staleness:
            yield update
        elif is_stale(options, server, flight):
            reason = f"its model was {staleness} server steps old, more than {options.max_staleness}"
            yield replace(update, status=Status.REFUSED, reason=reason, state=None)
        else:
            start, scale = server.model_of(flight.model_version), _scale(options, server, flight)
            state = {name: server.model[name] + (tensor - start[name]) * scale for name, tensor in update.state.items()}
            yield replace(update, state=state)


def _scale(options: BufferedOptions, server: ServerState, flight: Flight) -> float:
    """Return (1 + τ)^(−a)."""
    return float((1 + server.step - flight.model_version) ** -options.staleness_exponent)
