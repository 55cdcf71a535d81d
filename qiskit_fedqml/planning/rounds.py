"""What a round sends to devices: each evaluation is costed by the backend that would send it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from qiskit_fedqml.backends.devices.cost import price
from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.config.buffered import Buffered
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.gossip import Gossip, GossipOptions
from qiskit_fedqml.federation.algorithms.presence import left_before, present_in
from qiskit_fedqml.federation.algorithms.staleness import drawn_client
from qiskit_fedqml.federation.executors.lockstep import MOST_TOGETHER
from qiskit_fedqml.federation.sampling import sample_clients
from qiskit_fedqml.model.prediction import TEST_BATCH
from qiskit_fedqml.planning.compiled import Devices
from qiskit_fedqml.planning.work import Item, Work

Asked = tuple[tuple[int | None, int], ...]
"""Who asks for an evaluation (None is the server), each with a number of samples."""
Known = dict[tuple[DeviceBackend, Asked, bool], Work]
"""What evaluations cost: of a device, of those who ask, with or without derivatives."""


@dataclass(frozen=True)
class Sizes:
    """How many examples are evaluated.

    Args:
        clients: Examples of each client.
        tests: Backends of the server's tests in each round, and with how many examples; the server's first.
    """

    clients: tuple[int, ...]
    tests: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, experiment: Experiment, clients: Iterable[int], num_test: int, num_validation: int) -> "Sizes":
        """Return the sizes of an experiment whose data are shared out."""
        if (expected := experiment.expected_examples) is not None:
            clients = [expected for _ in clients]
        server = experiment.backends.assignment.server
        tests = [(name, num_test) for name in (server, *experiment.evaluation.backends)]
        if num_validation:
            tests.append((server, num_validation))
        return cls(tuple(clients), tuple(tests))


@dataclass(frozen=True)
class RoundCosts:
    """What rounds send with these settings on these devices.

    Args:
        devices: The devices that are used.
        config: The `federation` section.
        sizes: How many examples are evaluated.
        with_payload: Whether the size of uploads is worked out, which takes longer than all the rest.
        known: Evaluations whose cost was worked out before; others are added.
    """

    devices: Devices
    config: FederationConfig
    sizes: Sizes
    with_payload: bool = False
    known: Known = field(default_factory=dict, repr=False)
    _uploads: dict[tuple[str, bool], list[tuple[int, int]]] = field(default_factory=dict, init=False, repr=False)

    def items(self, round: int, clients: Iterable[tuple[int, str]]) -> list[Item]:
        """Return what a round's clients and the server send.

        Args:
            round: The round, from 1.
            clients: The clients that take part, each with the name of its backend; those on simulators send nothing.
        """
        of_devices: dict[str, list[int]] = {}
        for client, name in clients:
            if name in self.devices:
                of_devices.setdefault(name, []).append(client)
        items = [item for name, some in of_devices.items() for item in self._of_clients(round, name, some)]
        for name, samples in self.sizes.tests:
            if name in self.devices:
                work = self._evaluations(name, None, _batches(samples, TEST_BATCH), trains=False)
                items.append(Item(round, None, name, False, samples, work))
        return items

    def _of_clients(self, round: int, name: str, clients: Sequence[int]) -> Iterator[Item]:
        """Give what the clients of one device send in a round: each of them its own jobs, or joint ones."""
        if self.devices[name][0].is_joint and len(clients) > 1:
            for start in range(0, len(clients), MOST_TOGETHER):
                yield from self._together(round, name, clients[start : start + MOST_TOGETHER])
            return
        trains = self.devices[name][0].entry.task == "train"
        epochs, size = (self.config.local_epochs, self.config.batch_size) if trains else (1, TEST_BATCH)
        for client in clients:
            samples = self.sizes.clients[client]
            work = self._evaluations(name, client, _batches(samples, size), trains=trains) * epochs
            yield Item(round, client, name, trains, samples * epochs, work)

    def _together(self, round: int, name: str, clients: Sequence[int]) -> Iterator[Item]:
        """Give what clients in lockstep send: one job a step for all that still have batches, shared by samples."""
        trains = self.devices[name][0].entry.task == "train"
        epochs, size = (self.config.local_epochs, self.config.batch_size) if trains else (1, TEST_BATCH)
        batches = {client: list(_batches(self.sizes.clients[client], size)) * epochs for client in clients}
        works = dict.fromkeys(clients, Work())
        for step in range(max(map(len, batches.values()))):
            askers = {client: of[step] for client, of in batches.items() if step < len(of)}
            work, before = self._evaluation(name, tuple(askers.items()), trains), 0
            for client, samples in askers.items():
                works[client] += work.part(before, before + samples, sum(askers.values()))
                before += samples
        for client, work in works.items():
            yield Item(round, client, name, trains, self.sizes.clients[client] * epochs, work)

    def _evaluations(self, name: str, client: int | None, batches: Iterable[int], *, trains: bool) -> Work:
        return sum((self._evaluation(name, ((client, size),), trains) for size in batches), Work())

    def _evaluation(self, name: str, asked: Asked, trains: bool) -> Work:
        backend, program = self.devices[name]
        if backend.entry.blocks is None or backend.entry.blocks.spread != "clients":
            asked = tuple((None, samples) for _, samples in asked)  # it does not matter who asks
        key = (backend, asked, trains)
        if key not in self.known:
            costs = backend.cost(program, asked, jacobian=trains)
            circuits = sum(c.circuits for c in costs)
            self.known[key] = Work(
                jobs=len(costs),
                circuits=circuits,
                executions=sum(c.executions for c in costs),
                qpu_seconds=sum(c.seconds or 0.0 for c in costs),
                payload_bytes=self._payload_bytes(name, asked, trains, circuits) if self.with_payload else 0,
                price_usd=sum(price(backend.entry, c.circuits, c.executions, c.seconds) or 0.0 for c in costs),
            )
        return self.known[key]

    def _payload_bytes(self, name: str, asked: Asked, trains: bool, circuits: int) -> int:
        """Return the size of an upload: a circuit, and angles in proportion to the number of circuits.

        It takes long to prepare one, so that only that of one sample and a large one are, and the others lie on their
        line.
        """
        backend, program = self.devices[name]

        def prepared(of: Asked) -> tuple[int, int]:
            number = circuits if of == asked else sum(c.circuits for c in backend.cost(program, of, jacobian=trains))
            return number, backend.payload_bytes(program, of, jacobian=trains)

        known = self._uploads.setdefault((name, trains), [])
        if not known:
            known.append(prepared(((asked[0][0], 1),)))
        if circuits > known[0][0] and (len(known) == 1 or circuits > 2 * known[1][0]):
            known[1:] = [prepared(asked)]
        (few, of_few), (many, of_many) = known[0], known[-1]
        each = (of_many - of_few) / (many - few) if many > few else 0.0
        return round(of_few + each * (circuits - few))


def drawn_clients(
    experiment: Experiment, assignment: Sequence[str], first: int = 1
) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    """Give the rounds of synchronous federated averaging, each with the clients that will be drawn and their backends.

    Of buffered asynchronous federations, each server step is given with the clients that get a task before it, as if
    tasks ended in the order in which they are handed out; which clients are drawn depends on that a little. Where there
    is no server, each step is given with the nodes that are there.

    Args:
        experiment: The experiment.
        assignment: Name of each client's backend.
        first: The first round.
    """
    for round, clients in _drawn(experiment, first):
        if round >= first:
            yield round, [(client, assignment[client]) for client in clients]


def _drawn(experiment: Experiment, first: int) -> Iterator[tuple[int, list[int]]]:
    """Give the rounds with their clients; those before the first one may be left out."""
    config, seed = experiment.federation, experiment.seed
    if isinstance(config.algorithm, Buffered):
        yield from _handed_out(experiment, config.algorithm.buffered.buffer)
    elif isinstance(config.algorithm, Gossip):
        yield from _present(experiment, config.algorithm.gossip)
    elif (privacy := experiment.privacy) is not None and privacy.protects_clients:
        yield from ((round, []) for round in range(first, config.rounds + 1))  # on simulators, so they send nothing
    else:
        for round in range(first, config.rounds + 1):
            yield round, sample_clients(seed, round, config.clients, config.clients_per_round)


def _present(experiment: Experiment, options: GossipOptions) -> Iterator[tuple[int, list[int]]]:
    """Give the steps of a federation without a server with the nodes that are there in each."""
    nodes, left = experiment.federation.clients, tuple[int, ...]()
    for step in range(1, experiment.federation.rounds + 1):
        left = left_before(experiment.seed, options, nodes, step, left)
        yield step, present_in(options, nodes, step, left)


def _handed_out(experiment: Experiment, buffer: int) -> Iterator[tuple[int, list[int]]]:
    """Give the server steps of a buffered federation with the clients that get a task before each."""
    config, at_work, number = experiment.federation, list[int](), 0
    for step in range(1, config.rounds + 1):
        before = at_work = at_work[buffer:]
        while len(at_work) < config.clients_per_round:
            client = drawn_client(experiment.seed, config.clients, number, set(at_work))
            assert client is not None, "no more clients are at work than there are"
            at_work, number = [*at_work, client], number + 1
        yield step, at_work[len(before) :]


def _batches(num_samples: int, size: int) -> Iterator[int]:
    for start in range(0, num_samples, size):
        yield min(size, num_samples - start)
