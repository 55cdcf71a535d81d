"""The circuit of several clients: each step of all of them is one evaluation."""

from collections.abc import Sequence

import numpy as np

from qiskit_fedqml.backends.base import SimulatedBackend
from qiskit_fedqml.backends.job import JobKey, Usage
from qiskit_fedqml.backends.program import Asked, Evaluation, Program
from qiskit_fedqml.circuits.arrays import Array
from qiskit_fedqml.config.circuit import Wanted
from qiskit_fedqml.federation.clients.outcome import Machine
from qiskit_fedqml.model.qnn import BroadcastEstimatorQNN, NotFiniteError
from qiskit_fedqml.seeds import derive_seed


class StackedCircuit:
    """Evaluates a network for several clients at their own inputs and weights, with shots of their own.

    Args:
        network: The network, on the clients' backend.
        server_step: The server step.
        clients: The clients' ids.
        seeds: From which each client's shots derive, as they do alone.
        of: Of which of the circuit's parameters derivatives are wanted.

    Attributes:
        usages: What each client has asked of the backend.
        refused: Why a client takes no further part, by its place: its numbers are not finite.
    """

    def __init__(
        self,
        network: BroadcastEstimatorQNN,
        server_step: int,
        clients: Sequence[int],
        seeds: Sequence[int],
        *,
        of: Wanted,
    ) -> None:
        self._network = network.twin(self._evaluate)
        self._backend, self._of = network.backend, of
        # Asked once: to look through a protocol takes as long as a small circuit.
        self._joint = network.backend if isinstance(network.backend, SimulatedBackend) else None
        self._clients, self._seeds, self._server_step = clients, seeds, server_step
        self.usages = [Usage() for _ in clients]
        self.refused: dict[int, str] = {}
        self._sizes: list[int] = []
        self._step = 0
        self._machine: Machine | None = None
        self._see_as(0)

    def machine_of(self, place: int) -> Machine:
        """Return what a client's update says of its machine."""
        if self._machine is None or self._network.program.copies:  # of which each client has its own
            self._see_as(place)
            self._machine = Machine.of(self._network)
        return self._machine

    def _see_as(self, place: int) -> None:
        """Let the network ask for one of the clients."""
        self._network.reseed(self._seeds[place], JobKey(self._server_step, self._clients[place], 0, "train"))

    def __call__(self, inputs: Array, weights: Array, sizes: Sequence[int]) -> tuple[Array, Array]:
        """Do as :class:`~qiskit_fedqml.model.stacked.EvaluateRows`; a client that is refused gets zeros.

        Raises:
            BackendError: The backend failed.
        """
        of_rows = np.repeat(weights, sizes, axis=0)
        try:
            return self._ask(inputs, of_rows, list(sizes))
        except NotFiniteError:
            left = self._finite(inputs, of_rows, sizes)
        kept = np.repeat(np.array(left) > 0, sizes)
        num_outputs = self._network.output_shape[0]
        values = np.zeros((len(inputs), num_outputs))
        jacobian = np.zeros((len(inputs), num_outputs, inputs.shape[1] + weights.shape[1]))
        if kept.any():
            values[kept], jacobian[kept] = self._ask(inputs[kept], of_rows[kept], left)
        return values, jacobian

    def _ask(self, inputs: Array, weights: Array, sizes: list[int]) -> tuple[Array, Array]:
        self._sizes = sizes
        values, jacobian = self._network.evaluate(inputs, weights, jacobian=True, of=self._of)
        assert jacobian is not None
        return values, jacobian

    def _finite(self, inputs: Array, weights: Array, sizes: Sequence[int]) -> list[int]:
        """Find the clients whose numbers are not finite; return the sizes with 0 for these."""
        left, start = list(sizes), 0
        for place, size in enumerate(sizes):
            part = slice(start, start + size)
            try:
                self._network.points(inputs[part], weights[part])
            except NotFiniteError as error:
                self.refused[place], left[place] = str(error), 0
            start += size
        return left

    def _evaluate(self, program: Program, asked: Asked, *, jacobian: bool, key: JobKey) -> Evaluation:
        """Evaluate the rows of all clients, in place of the network's backend."""
        places = [place for place, size in enumerate(self._sizes) if size]
        stops = np.cumsum(self._sizes)
        parts = [
            Asked(
                asked.angles[stops[place] - self._sizes[place] : stops[place]],
                derive_seed(self._seeds[place], "evaluation", step=self._step),
                self._clients[place],
            )
            for place in places
        ]
        found = self._each(program, parts, jacobian=jacobian)
        self._step += 1
        for place, of_client in zip(places, found, strict=True):
            usage = self.usages[place]
            usage.jobs += 1
            usage.circuits += of_client.circuits
            usage.executions += of_client.executions
        derivatives = [of.jacobian for of in found if of.jacobian is not None]
        whole = np.concatenate([of.values for of in found]), np.concatenate(derivatives) if jacobian else None
        return Evaluation(*whole, 0, 0, found[0].simulator)

    def _each(self, program: Program, asked: list[Asked], *, jacobian: bool) -> list[Evaluation]:
        clients = tuple(of.client for of in asked if of.client is not None)
        key = JobKey(self._server_step, None, self._step, "train", clients)
        if self._joint is not None:
            return self._joint.evaluate_jointly(program, asked, jacobian=jacobian, key=key)
        return [
            self._backend.evaluate(
                program,
                of.angles,
                jacobian=jacobian,
                seed=of.seed,
                key=JobKey(self._server_step, of.client, self._step, "train"),
            )
            for of in asked
        ]
