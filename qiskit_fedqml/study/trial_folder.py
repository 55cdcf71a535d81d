"""A trial's result folder: whether its run is there, and is the trial's."""

from pathlib import Path

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.study.configuration import by_content
from qiskit_fedqml.study.study import Trial
from qiskit_fedqml.tables import flattened


def is_begun(folder: Path) -> bool:
    """Return whether a run has made its folder whole; ``config.yaml`` is the last file that it makes."""
    return (folder / "config.yaml").exists()


def is_finished(trial: Trial, folder: Path, keep_models: bool) -> bool:
    """Return whether a trial is finished; its model is deleted unless models are kept.

    Raises:
        ResultError: The folder holds a run of another configuration.
    """
    if not is_begun(folder):
        return False
    stored = RunResult.load(folder)
    before, wanted = by_content(stored.experiment), by_content(trial.experiment)
    if before != wanted:
        raise ResultError(
            f"{folder} holds a run of another configuration ({_difference(before, wanted)}); "
            "choose another folder, or move it away."
        )
    has_model, of = (folder / "model.safetensors").exists(), RunFolder(folder)
    is_finished = stored.is_complete and (of.is_finished or not of.has_checkpoint)
    if is_finished and not keep_models:
        drop_models(folder)
    return is_finished and (has_model or not keep_models)


def drop_models(folder: Path) -> None:
    """Delete the model of a finished run, and the checkpoints that stay if the run kept more than the model."""
    (folder / "model.safetensors").unlink(missing_ok=True)
    RunFolder(folder).checkpoints.remove()


def has_lost_model(folder: Path) -> bool:
    """Return whether a run is finished, and its model is gone."""
    has_model, of = (folder / "model.safetensors").exists(), RunFolder(folder)
    is_finished = of.is_finished or not of.has_checkpoint
    return not has_model and is_finished and RunResult.load(folder).is_complete


def _difference(stored: Experiment, wanted: Experiment) -> str:
    before, after = flattened(stored.resolved()), flattened(wanted.resolved())
    key = next(key for key in {**before, **after} if before.get(key) != after.get(key))
    return f"{key} is {before.get(key)} there, {after.get(key)} here"
