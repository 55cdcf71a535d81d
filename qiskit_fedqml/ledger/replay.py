"""What the server did, done again: its rule, weights, checks and server optimiser, on the stored updates."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from qiskit_fedqml.config.buffered import Buffered
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.federation.algorithms.setting import make_setting
from qiskit_fedqml.federation.algorithms.staleness import moved
from qiskit_fedqml.federation.algorithms.stepping import stepped
from qiskit_fedqml.federation.messages import ClientUpdate, Flight, State
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.ledger.digests import digest_of_state, digest_of_states


class Replay:
    """The server's steps, one after another.

    Args:
        experiment: The configuration; neither rule nor algorithm is the user's own.
        start: The trained tensors with which the run began.
    """

    def __init__(self, experiment: Experiment, start: State) -> None:
        self._setting = make_setting(experiment, (), lambda _: True, start)
        algorithm = experiment.federation.algorithm
        self._options = algorithm.buffered if isinstance(algorithm, Buffered) else None
        self.server = ServerState(0, start)
        self._digests = {0: digest_of_state(start)}

    def digest_of_version(self, version: int) -> str | None:
        """Return the digest of the global model after so many steps; None where no task may start from it any more."""
        return self._digests.get(version)

    def attempt(
        self, updates: Iterable[ClientUpdate], versions: Sequence[int]
    ) -> tuple[ServerState, list[ClientUpdate]]:
        """Do a server step, without going on to the state after it.

        Args:
            updates: The updates as the server got them; used up one after another.
            versions: The number of steps after which each one's model was the global one.

        Returns:
            The state after it, and what became of the updates.
        """
        if self._options is None:
            return stepped(self._setting, self.server, updates)
        flights = [Flight(-1, "", "", version) for version in versions]
        return moved(self._setting, self._options, self.server, updates, flights)

    def go_on(self, after: ServerState, versions: Sequence[int]) -> None:
        """Take up the state after a step.

        Args:
            after: The state.
            versions: Earlier models from which tasks on their way start.

        Raises:
            KeyError: There is no such model any more.
        """
        kept = {version: self.server.model_of(version) for version in versions}
        digests = {version: self._digests[version] for version in versions}
        self.server = replace(after, versions=kept, clients={})
        self._digests = {**digests, after.step: digest_of_state(after.model)}


def digests_of(server: ServerState) -> Mapping[str, str]:
    """Return the digests by which a link names a state."""
    found = {"after": digest_of_state(server.model)}
    if server.optimizer:
        found["optimizer"] = digest_of_states(server.optimizer)
    if server.rule:
        found["rule"] = digest_of_states(server.rule)
    return found
