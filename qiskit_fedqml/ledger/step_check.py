"""Whether the link of a server step fits: signatures, stored updates, and what the server made of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import shown
from qiskit_fedqml.federation.algorithms.setting import weights_of
from qiskit_fedqml.federation.messages import ClientUpdate, State, Status
from qiskit_fedqml.federation.sampling import sample_clients
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.ledger.digests import digest_of_state
from qiskit_fedqml.ledger.keys import is_signed
from qiskit_fedqml.ledger.replay import Replay, digests_of
from qiskit_fedqml.ledger.statements import Statement
from qiskit_fedqml.ledger.update_files import UpdateFiles
from qiskit_fedqml.results.records import RoundRecord

Entry = Mapping[str, Any]


class MisfitError(Exception):
    """A link does not fit; its text says why."""


class ReplayError(MisfitError):
    """What the server did, done again, gives something else: to the bit, so where it is done again counts."""


class StepCheck:
    """Checks the links of server steps, one after another.

    Args:
        experiment: The configuration.
        chain: The digest of the chain's first link.
        replay: Repeats the steps; None where updates are not kept.
        files: The updates.
    """

    def __init__(self, experiment: Experiment, chain: str, replay: Replay | None, files: UpdateFiles) -> None:
        self._experiment, self._chain, self._replay, self._files = experiment, chain, replay, files
        self._weight_of = weights_of(experiment)
        self._is_synchronous = experiment.federation.algorithm == "synchronous"
        self._keys: dict[int, str] = {}
        self._asked: dict[int, int] = {}

    def forget_keys(self) -> None:
        """Forget the clients' keys: with another process new ones begin."""
        self._keys = {}

    def step(self, said: Entry, models: Sequence[str], record: RoundRecord | None) -> None:
        """Check a link.

        Args:
            said: Its content.
            models: The digests of the models after the steps before, the first one's included.
            record: The step's record, or None where there is none yet.

        Raises:
            MisfitError: It does not fit.
            KeyError: It lacks something.
            TypeError: Something in it is of another type.
            ValueError: Something in it is malformed.
            ResultError: A file of updates cannot be read.
        """
        if said["before"] != models[-1]:
            raise MisfitError("it does not begin at the model of the step before")
        if not said["attempts"]:
            raise MisfitError("it names no clients")
        after: ServerState | None = None
        for number, entries in enumerate(said["attempts"], start=1):
            is_last = number == len(said["attempts"])
            self._check_clients(said["step"], number, entries)
            if not is_last and not all(entry.get("signed") for entry in entries if entry["status"] != "failed"):
                continue  # an attempt before the run was resumed, of which its devices' journal keeps no updates
            updates = self._updates(said["step"], entries, models)
            after = self._attempt(updates, entries, number, is_last=is_last)
        if record is not None:
            _check_record(record, said["attempts"][-1])
        if self._replay is not None and after is not None:
            self._go_on(self._replay, after, said)

    def _go_on(self, replay: Replay, after: ServerState, said: Entry) -> None:
        found = digests_of(after)
        for name, what in (("after", "the global model"), ("optimizer", "the server optimiser"), ("rule", "the rule")):
            if found.get(name) != said.get(name):
                is_model = "is not what the rule gives of the stored updates"
                raise ReplayError(f"{what} after it {is_model if name == 'after' else 'remembers something else'}")
        replay.go_on(after, said.get("versions", []))

    def _check_clients(self, step: int, attempt: int, entries: Sequence[Entry]) -> None:
        """Check that the clients are those that the seed draws; of buffered steps the queues of machines say who."""
        config, clients = self._experiment.federation, [entry["client"] for entry in entries]
        if self._is_synchronous:
            drawn = sample_clients(self._experiment.seed, step, config.clients, config.clients_per_round, attempt)
            if clients != list(drawn):
                raise MisfitError(f"its clients are {shown(clients)}, but the run's seed draws {shown(list(drawn))}")
        elif len(set(clients)) != len(clients):
            raise MisfitError("a client is in it twice")

    def _updates(self, step: int, entries: Sequence[Entry], models: Sequence[str]) -> Iterator[ClientUpdate]:
        """Give the updates as the server got them, each with its signature and tensors checked."""
        for entry in entries:
            client, said = entry["client"], entry.get("signed")
            if said is None:
                if entry["status"] != Status.FAILED:
                    raise MisfitError(f"client {client} has signed nothing, but is not said to have failed")
                lost = Statement(client, step, "", None, 0, None, Status.FAILED)
                yield lost.as_update(entry["backend"], entry["reason"], None)
                continue
            statement = Statement(**said)
            if statement.client != client:
                raise MisfitError(f"what client {statement.client} has signed is said of client {client}")
            self._check_statement(step, statement, entry)
            if not 1 <= statement.step <= step or statement.start != models[statement.step - 1]:
                raise MisfitError(f"client {client} has not begun at a model of the server")
            yield statement.as_update(entry["backend"], entry["reason"], self._tensors(step, entry, statement))

    def _check_statement(self, step: int, statement: Statement, entry: Entry) -> None:
        """Check a client's signature, and that what it has signed was not in a link before."""
        client = statement.client
        key = self._keys.setdefault(client, entry["key"]) if "key" in entry else self._keys.get(client)
        if key is None:
            raise MisfitError(f"there is no key of client {client} before it")
        if "key" in entry and key != entry["key"]:
            raise MisfitError(f"client {client} has another key than before")
        if not is_signed(key, entry["signature"], statement.message(self._chain)):
            raise MisfitError(f"the signature of client {client} is not that of what it says")
        is_its_turn = statement.step == step if self._is_synchronous else statement.step > self._asked.get(client, 0)
        if not is_its_turn:
            raise MisfitError(f"client {client} has signed its update for step {statement.step}")
        self._asked[client] = statement.step

    def _tensors(self, step: int, entry: Entry, statement: Statement) -> State | None:
        if statement.update is None or self._replay is None:
            return None
        start, length = entry["at"]
        try:
            state = self._files.read(step, (int(start), int(length)))
        except ValueError as error:
            raise MisfitError(f"the stored update of client {statement.client} cannot be read: {error}") from error
        if digest_of_state(state) != statement.update:
            raise MisfitError(f"the stored update of client {statement.client} is not the one that it has signed")
        return state

    def _attempt(
        self, updates: Iterator[ClientUpdate], entries: Sequence[Entry], number: int, *, is_last: bool
    ) -> ServerState | None:
        """Check what became of the updates, and of the attempt."""
        if self._replay is None:
            for _ in updates:
                pass
            return None
        asked = [entry["signed"]["step"] if entry.get("signed") else self._replay.server.step + 1 for entry in entries]
        after, returned = self._replay.attempt(updates, [step - 1 for step in asked])
        for update, entry in zip(returned, entries, strict=True):
            share = update.share if is_last else 0.0
            weight = self._weight_of(update) if update.status is Status.OK else 0.0
            expected = (str(update.status), update.reason, share, weight)
            found = tuple(entry[name] for name in ("status", "reason", "share", "weight"))
            for name, one, other in zip(("status", "reason", "share", "weight"), found, expected, strict=True):
                if one != other:
                    raise ReplayError(f"the {name} of client {update.client_id} is {shown(one)}, not {shown(other)}")
        if self._is_enough(returned) != is_last:
            few = "has too few updates, but counts" if is_last else "has enough updates, but does not count"
            raise MisfitError(f"attempt {number} {few}")
        return after

    def _is_enough(self, returned: Sequence[ClientUpdate]) -> bool:
        num_updates = sum(update.status is Status.OK for update in returned)
        num_returned = num_updates + sum(update.status is Status.TESTED for update in returned)
        least = self._experiment.aggregation.least_updates
        return num_returned >= self._experiment.federation.min_clients and num_updates >= least


def _check_record(record: RoundRecord, entries: Sequence[Entry]) -> None:
    of_record = [(c.id, c.backend, str(c.status), c.reason, c.share) for c in record.clients]
    of_link = [tuple(entry[name] for name in ("client", "backend", "status", "reason", "share")) for entry in entries]
    if len(of_record) != len(of_link):
        raise MisfitError(f"it has {len(of_link)} clients, but rounds.jsonl {len(of_record)}")
    for one, other in zip(of_record, of_link, strict=True):
        if one != other:
            raise MisfitError(f"rounds.jsonl says something else of client {one[0]}")
