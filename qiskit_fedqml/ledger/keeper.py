"""The ledger of a run at work: it sees each update as it comes, and writes a link when a server step is done."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.federation.algorithms.setting import weights_of
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State, Status
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.ledger.chain import Chain
from qiskit_fedqml.ledger.digests import bytes_of, digest_of_state, digest_of_states, save_start
from qiskit_fedqml.ledger.environment import environment
from qiskit_fedqml.ledger.figures import digest_of_figures
from qiskit_fedqml.ledger.keys import SERVER, SimulatedKeys
from qiskit_fedqml.ledger.links import CHAIN, FOLDER, START, digest_of_value
from qiskit_fedqml.ledger.statements import Statement, entry_of
from qiskit_fedqml.ledger.update_files import UpdateFiles
from qiskit_fedqml.results.manifest import Manifest

if TYPE_CHECKING:
    from qiskit_fedqml.results.records import RoundRecord

FORMAT = 1
"""The version of the chain's format."""

Entry = dict[str, Any]


class LedgerKeeper:
    """Writes the ledger in a result folder; :meth:`begin` or :meth:`resume` comes first.

    Clients sign where they are. In a simulation that is this process, which has everybody's keys.

    Args:
        folder: The result folder.
        experiment: The configuration.
    """

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self._folder = folder / FOLDER
        self._experiment, self._weight_of = experiment, weights_of(experiment)
        self._keys = SimulatedKeys()
        self._chain, self._files = Chain(self._folder, self._keys), UpdateFiles(self._folder)
        self._signers: set[int] = set()
        self._models: dict[int, tuple[State, str]] = {}
        self._attempts: list[list[Entry]] = []

    @property
    def _keeps_updates(self) -> bool:
        return self._experiment.ledger is True

    def begin(self, manifest: Manifest, server: ServerState, model: State) -> None:
        """Write the first link, and the model with which the run begins.

        Args:
            manifest: The run's.
            server: The state before the first step.
            model: All of the model's tensors, of which the server's state has those that are trained.

        Raises:
            ResultError: The ledger cannot be written.
        """
        frozen = {name: model[name] for name in sorted(model.keys() - server.model.keys())}
        self._know(server)
        link = {
            "kind": "begin",
            "format": FORMAT,
            "run_id": manifest.run_id,
            "aggregation": manifest.configuration["aggregation"],
            "algorithm": manifest.configuration["federation"]["algorithm"],
            "model": self._digest(server.model),
            "frozen": digest_of_state(frozen),
            "updates": self._keeps_updates,
        }
        self._chain.append({**link, **self._opening(manifest)})
        save_start(self._folder / START, server.model)

    def resume(self, manifest: Manifest, server: ServerState, model: State) -> None:
        """Take up the chain of a run that was stopped, or gets more rounds, and write that new keys begin.

        Args:
            manifest: The run's.
            server: The state from which it goes on.
            model: As :meth:`begin`.

        Raises:
            ResultError: The chain is damaged or gone, or cannot be written.
        """
        if server.step == 0 and not (self._folder / START).exists():  # it was stopped before it had begun
            (self._folder / CHAIN).unlink(missing_ok=True)
            self.begin(manifest, server, model)
            return
        self._know(server)
        self._chain.take_up(server.step)
        self._files.drop_after(server.step)
        self._chain.append({"kind": "resume", "step": server.step, **self._opening(manifest)})

    def noted(
        self, server: ServerState, tasks: Sequence[ClientTask], updates: Iterable[ClientUpdate]
    ) -> Iterator[ClientUpdate]:
        """Give the updates of an attempt at a server step as they are; each is signed, and stored, before that.

        Args:
            server: The state before the step.
            tasks: The tasks.
            updates: Their updates, in the same order.

        Raises:
            ResultError: An update cannot be written.
        """
        self._attempts.append([])
        return self._noted(server.step + 1, tasks, updates)

    def _noted(self, step: int, tasks: Sequence[ClientTask], updates: Iterable[ClientUpdate]) -> Iterator[ClientUpdate]:
        by_client = {task.client_id: task for task in tasks}
        for update in updates:
            noted, entry = self._note(step, by_client[update.client_id], update)
            self._attempts[-1].append({**entry, "weight": self._weight_of(noted)})
            yield noted

    def _note(self, step: int, task: ClientTask, update: ClientUpdate) -> tuple[ClientUpdate, Entry]:
        """Return an update as it goes on, and what is noted of it."""
        if update.status is Status.FAILED:
            return update, {}
        digest, content = None, b""
        if update.state is not None:
            try:
                content = bytes_of(update.state) if self._keeps_updates else b""
                digest = digest_of_state(update.state)
            except (ValueError, RuntimeError):  # sparse, or without numbers: no rule would get it either
                reason = "it holds tensors that cannot be written down"
                update = replace(update, status=Status.REFUSED, reason=reason, state=None, client_states={})
        statement = Statement(
            client=update.client_id,
            step=task.server_step,
            start=self._digest(task.state),
            update=digest,
            examples=int(update.num_examples),
            success_probability=update.success_probability,
            status=str(update.status),
        )
        entry = {"signed": statement.as_json(), **self._signature(statement)}
        if digest is not None and self._keeps_updates:
            entry["at"] = list(self._files.add(step, content))
        return update, entry

    def _signature(self, statement: Statement) -> Entry:
        """Return the client's signature, and its key where it takes part for the first time.

        Where clients are elsewhere, both would come with the update.
        """
        signed = self._keys.sign(f"client {statement.client}", statement.message(self._chain.first_digest))
        if statement.client in self._signers:
            return {"signature": signed.signature}
        self._signers.add(statement.client)
        return {"signature": signed.signature, "key": signed.key}

    def stepped(self, before: ServerState, after: ServerState, attempts: Sequence[Sequence[ClientUpdate]]) -> None:
        """Write the link of a server step that is done.

        Args:
            before: The state before it.
            after: The state after it.
            attempts: What clients returned, without tensors, in each attempt; the last one counts.

        Raises:
            ResultError: It cannot be written.
        """
        link: dict[str, Any] = {"kind": "step", "step": after.step, "before": self._digest(before.model)}
        self._know(after)
        link["after"] = self._digest(after.model)
        if after.optimizer:
            link["optimizer"] = digest_of_states(after.optimizer)
        if after.rule:
            link["rule"] = digest_of_states(after.rule)
        if after.versions:
            link["versions"] = sorted(after.versions)
        own, self._attempts = self._attempts, []
        known = [*([] for _ in range(len(attempts) - len(own))), *own]  # of those before, the journal knows no more
        link["attempts"] = [self._entries(some, notes) for some, notes in zip(attempts, known, strict=True)]
        self._files.sync(after.step)
        self._chain.append(link)

    def _entries(self, updates: Sequence[ClientUpdate], notes: Sequence[Entry]) -> list[Entry]:
        return [
            {**note, **entry_of(update, note["weight"] if note and update.status is Status.OK else 0.0)}
            for update, note in zip(updates, notes or [{} for _ in updates], strict=True)
        ]

    def ended(self, server: ServerState, model_step: int, records: Iterable["RoundRecord"]) -> None:
        """Write the last link of a run that has all its rounds.

        Args:
            server: The state after the last one.
            model_step: The server step of the final model.
            records: All records.

        Raises:
            ResultError: It cannot be written.
        """
        figures = digest_of_figures(records)
        self._chain.append({"kind": "end", "step": server.step, "model_step": model_step, "figures": figures})

    def _opening(self, manifest: Manifest) -> dict[str, Any]:
        """Return what each process that works on the run says first."""
        return {
            "configuration": digest_of_value(manifest.configuration),
            "key": self._keys.public_key(SERVER),
            **environment(),
        }

    def _know(self, server: ServerState) -> None:
        """Keep the digests of the models from which tasks may start."""
        states = [server.model, *server.versions.values()]
        self._models = {id(state): (state, self._digest(state)) for state in states}

    def _digest(self, state: State) -> str:
        known = self._models.get(id(state))
        return known[1] if known is not None else digest_of_state(state)
