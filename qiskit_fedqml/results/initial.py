"""The final model of one run as the model from which another begins: found, checked, and written down."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from qiskit_fedqml.config.model import ModelConfig
from qiskit_fedqml.config.text_files import unusable
from qiskit_fedqml.errors import ResultError, listed, shown
from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.manifest import digest_of_file
from qiskit_fedqml.results.result import RunResult

_ARCHITECTURE = ("head", "hidden", "circuit")
"""Keys of the `model` section that decide the shapes and the meaning of the tensors, besides a circuit or none."""


@dataclass(frozen=True)
class InitialModel:
    """The model from which a run begins.

    Args:
        folder: The result folder that it comes from.
        state: All tensors of that run's final model, by name.
        classes: Names of the classes that it was trained on.
        origin: What the run's description says of it: folder, run_id, rounds, and the SHA-256 of its file.
    """

    folder: Path
    state: State
    classes: tuple[str, ...]
    origin: dict[str, Any]

    def fitted(self, model: State, classes: tuple[str, ...]) -> State:
        """Return its trained tensors, on the torch devices of another model's.

        Args:
            model: The trained tensors of the model that begins from it, as they would be without it.
            classes: Names of the classes that that model is for.

        Raises:
            ResultError: It is for other classes, or a tensor is missing or has another shape.
        """
        if self.classes != classes:
            raise ResultError(
                f"model.initial: the model of {self.folder} is for the classes {listed(self.classes)}, but the data "
                f"have {listed(classes)}."
            )
        for name, tensor in model.items():
            found = self.state.get(name)
            if found is None or found.shape != tensor.shape:
                got = "is missing" if found is None else f"has the shape {tuple(found.shape)}"
                raise ResultError(
                    f"model.initial: the model of {self.folder} does not fit: {name} must have the shape "
                    f"{tuple(tensor.shape)}, but {got}."
                )
        return {name: self.state[name].to(tensor) for name, tensor in model.items()}

    def scaling_differs(self, mean: torch.Tensor, deviation: torch.Tensor) -> bool:
        """Return whether it was trained on features that were scaled differently."""
        now = {"scaling.mean": mean, "scaling.deviation": deviation}
        before = {name: self.state[name] for name in now}
        return any(
            before[name].shape != now[name].shape or not torch.allclose(before[name].to(now[name]), now[name])
            for name in now
        )


def load_initial(folder: Path, model: ModelConfig) -> InitialModel:
    """Read the final model of a run.

    Args:
        folder: The run's result folder.
        model: The `model` section of the run that begins from it.

    Raises:
        ResultError: It is no result folder, the run is not finished, its model has another architecture, or a file of
            it is damaged.
    """
    if reason := unusable(folder):
        raise ResultError(f"model.initial: {shown(str(folder))} cannot be used: {reason}.")
    try:
        source = RunResult.load(folder)
        if not RunFolder(folder).is_finished:
            raise ResultError(
                f"the run in {folder} is not finished: {len(source.rounds)} of its "
                f"{source.experiment.federation.rounds} rounds are done; `fedqml resume` continues it."
            )
        _check_architecture(folder, source.experiment.model, model)
        state = source.state
        digest = digest_of_file(folder / "model.safetensors")
    except ResultError as error:
        raise ResultError(f"model.initial: {error}") from error
    origin = {
        "folder": str(folder.absolute()),
        "run_id": source.run.get("run_id"),
        "rounds": len(source.rounds),
        "sha256": digest,
    }
    return InitialModel(folder, state, tuple(source.run["classes"]), origin)


def _check_architecture(folder: Path, source: ModelConfig, model: ModelConfig) -> None:
    before, now = source.model_dump(mode="json"), model.model_dump(mode="json")
    keys = [key for key in _ARCHITECTURE if before[key] != now[key]]
    if source.quantum != model.quantum and not (source.has_circuit and model.has_circuit):
        keys.append("quantum")
    if keys:
        key = keys[0]
        raise ResultError(
            f"the model of {folder} is another one: its model.{key} is {shown(before[key])}, but must be "
            f"{shown(now[key])}."
        )
