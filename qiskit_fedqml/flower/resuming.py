"""Whether what nodes say, and what the operator wants, fits a run that has begun."""

import logging
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.text_files import reading
from qiskit_fedqml.errors import ResultError, shortened
from qiskit_fedqml.flower import texts
from qiskit_fedqml.flower.roll import Member
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.provenance import versions
from qiskit_fedqml.tables import flattened

logger = logging.getLogger(__name__)


def rounds_to_resume(folder: RunFolder, experiment: Experiment) -> int | None:
    """Check that a folder holds this run; return the number of rounds it is to have, if that is another one.

    Raises:
        ResultError: It is another run's, or its configuration or machines are others now.
    """
    stored = folder.load_experiment()
    before, now = _comparable(stored), _comparable(experiment)
    rounds = before.pop("federation.rounds"), now.pop("federation.rounds")
    if before != now:
        key = min(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        raise ResultError(
            f"{folder.path} holds a run that cannot go on as it is now: {shortened(key, 100)} was "
            f"{shortened(str(before.get(key)))}, is {shortened(str(now.get(key)))}. Undo that, or give the new run "
            "another folder by `flwr run --run-config 'out=\"…\"'`."
        )
    return None if rounds[0] == rounds[1] else experiment.federation.rounds


def _comparable(experiment: Experiment) -> dict[str, str]:
    """Return the configuration by dotted key, with the digests of calibrations in the place of their paths."""

    def digest(_: str, path: str) -> str:
        with reading(Path(path), ResultError) as file:
            return sha256(file.read()).hexdigest()

    return flattened(experiment.with_files(digest).resolved())


def compare_versions(members: Mapping[int, Member]) -> None:
    """Say which nodes have other versions, with which bits may differ."""
    here = versions()
    for client, member in members.items():
        there = member.introduction.versions
        if differing := [
            f"{name} {texts.plain(str(there.get(name)), 50)}, not {here[name]}"
            for name in here
            if there.get(name) != here[name]
        ]:
            logger.warning("Client %d has %s; its bits may differ.", client, ", ".join(differing[:5]))
