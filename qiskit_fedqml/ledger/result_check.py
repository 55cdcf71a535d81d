"""Whether the result of a finished run is the one that its ledger leads to."""

from collections.abc import Mapping
from typing import Any

from qiskit_fedqml.ledger.digests import digest_of_state, load_start
from qiskit_fedqml.ledger.figures import digest_of_figures
from qiskit_fedqml.ledger.links import FOLDER, START
from qiskit_fedqml.ledger.step_check import MisfitError
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.results.tensors import load_tensors


def check_result(run: RunFolder, result: RunResult, said: Mapping[str, Any], model: str, frozen: str) -> None:
    """Check the records and the final model of a run against the link that ends it.

    Args:
        run: The result folder.
        result: Its configuration and records.
        said: The link's content.
        model: The digest of the trained tensors after the step of the final model.
        frozen: The digest of all other tensors.

    Raises:
        MisfitError: They do not fit.
        ResultError: The model is damaged or gone.
    """
    records = result.rounds
    if len(records) != said["step"] or digest_of_figures(records) != said["figures"]:
        raise MisfitError("the figures of rounds.jsonl are not those of the run")
    if not result.is_complete:
        raise MisfitError(f"it ends the run after {len(records)} rounds, too early")
    if result.final.round != said["model_step"]:
        raise MisfitError(f"the final model is that of round {result.final.round}")
    found = load_tensors(run.model_file())
    trained = {name: found.pop(name) for name in load_start(run.path / FOLDER / START) if name in found}
    others = {name: found[name] for name in sorted(found)}
    if (digest_of_state(trained), digest_of_state(others)) != (model, frozen):
        raise MisfitError("model.safetensors is not the model that it leads to")
