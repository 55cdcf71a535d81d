"""Parts of the user's own, given from Python, as the experiment that names them."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qiskit_fedqml.circuits.qpy_files import write_circuit
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.parts import reference_to
from qiskit_fedqml.config.sources import Key
from qiskit_fedqml.data.given import divided, given_section
from qiskit_fedqml.errors import ConfigurationError

_KEYS = {
    "head": ("model", "head"),
    "data": ("data",),
    "circuit": ("model", "circuit"),
    "loss": ("model", "loss"),
    "metrics": ("evaluation", "metrics"),
    "rule": ("aggregation", "rule"),
    "client_step": ("federation", "client_step"),
    "algorithm": ("federation", "algorithm"),
}
"""Where an experiment names each part."""


def with_own_parts(experiment: Experiment, parts: Mapping[str, Any]) -> Experiment:
    """Return an experiment with parts of the user's own in place of those that it names.

    Args:
        experiment: The experiment.
        parts: The parts, by the names of :func:`~qiskit_fedqml.run_federation`'s arguments; None leaves the
            experiment's.

    Raises:
        ConfigurationError: A part is not what its argument takes, or does not fit the experiment.
        DataError: Examples are wrong, or not for as many clients as the experiment has.
    """
    given = {name: part for name, part in parts.items() if part is not None}
    changes: dict[Key, tuple[str, Any]] = {
        _KEYS[name]: (f"Argument `{name}`", _data(experiment, part) if name == "data" else _named(name, part))
        for name, part in given.items()
    }
    if "head" in given:  # whose place it takes
        changes |= {("model", key): ("Argument `head`", value) for key, value in (("hidden", []), ("dropout", 0.0))}
    return experiment.changed(changes) if changes else experiment


def _data(experiment: Experiment, part: object) -> dict[str, Any]:
    if callable(part) and not isinstance(part, tuple):
        reference = reference_to(part, "data").model_dump(mode="json")
        return {**reference, **divided(experiment.data, is_divided=None)}
    return given_section(part, experiment.data, experiment.federation.clients, Path(_files().name))


def _named(name: str, part: object) -> Any:
    if name == "metrics":
        if isinstance(part, str) or not isinstance(part, Sequence):
            raise ConfigurationError(
                f"Argument `metrics` must be a list of names and functions, but is a {type(part).__name__}."
            )
        named = (one if isinstance(one, str) else reference_to(one, name).model_dump(mode="json") for one in part)
        return [*named]
    if name == "circuit" and isinstance(part, CircuitSpec):
        folder = Path(_files().name)
        path = folder / f"circuit{sum(1 for _ in folder.iterdir())}.qpy"
        return write_circuit(part, path).model_dump(mode="json")
    if name == "circuit" and not callable(part):
        raise ConfigurationError(
            f"Argument `circuit` must be a CircuitSpec, or a function that makes one, but is a {type(part).__name__}; "
            "CircuitSpec(circuit, inputs, weights, observables) says which parameters are what."
        )
    return reference_to(part, name).model_dump(mode="json")


@cache
def _files() -> TemporaryDirectory[str]:
    """Return a folder for files of this process's runs, from where each result folder gets its own copy."""
    return TemporaryDirectory(prefix="qiskit_fedqml-")
