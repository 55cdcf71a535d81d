"""Settings that would cost less: each kind of change is one function, listed in :data:`KINDS`.

A plan tries the mildest change of each kind alone; ``fedqml plan --fit`` tries all of them together.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, log2
from typing import Any

from qiskit_fedqml.config.backends import AerEntry
from qiskit_fedqml.config.devices import DeviceEntry
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.strict import validate

Key = tuple[str, ...]
"""A key of an experiment file, in its parts."""

_FEWEST_SHOTS = 4
_SHARES = (2, 5, 10, 20, 50, 100)
"""Of the clients on devices, one in so many stays there."""


@dataclass(frozen=True)
class Change:
    """Settings in the place of an experiment's.

    Args:
        words: What is changed.
        settings: Values by key.
        departure: How far that is from what the experiment asks for. One is a halving of the shots, one and a half a
            halving of the clients on devices, two a halving of the optimiser's steps.
    """

    words: str
    settings: Mapping[Key, Any]
    departure: float


@dataclass(frozen=True)
class Machines:
    """Who has which machine.

    Args:
        assignment: Name of each client's backend.
        devices: Names of those that are used and whose jobs wait in a queue.
    """

    assignment: tuple[str, ...]
    devices: tuple[str, ...]


def changed(experiment: Experiment, changes: Iterable[Change]) -> Experiment:
    """Return the experiment with other settings.

    Raises:
        ConfigurationError: They do not fit together.
    """
    data = experiment.resolved()
    for change in changes:
        for key, value in change.settings.items():
            section = data
            for part in key[:-1]:
                section = section[part]
            section[key[-1]] = value
    return validate(Experiment, data, "the experiment with other settings")


def single_changes(experiment: Experiment, machines: Machines) -> list[Change]:
    """Return the mildest change of each kind."""
    return [found[0] for kind in KINDS if (found := kind(experiment, machines))]


def _shots(experiment: Experiment, machines: Machines) -> list[Change]:
    entries, found, factor = _entries(experiment, machines), [], 2
    most = max((entry.shots for entry in entries.values()), default=1)
    while most // factor >= _FEWEST_SHOTS or (factor == 2 and most > 1):
        fewer = {name: max(1, entry.shots // factor) for name, entry in entries.items()}
        words = "half the shots" if factor == 2 else f"1/{factor} of the shots"
        settings = {_key(name, "shots"): shots for name, shots in fewer.items()}
        listed = ", ".join(str(shots) for shots in sorted(set(fewer.values())))
        found.append(Change(f"{words} ({listed})", settings, log2(factor)))
        factor *= 2
    return found


def _gradient(experiment: Experiment, machines: Machines) -> list[Change]:
    training = [n for n, e in _entries(experiment, machines).items() if e.task == "train" and _is_shifted(e)]
    settings: dict[Key, Any] = {_key(name, "gradient"): {"spsa": {}} for name in training}
    return [Change("gradient: {spsa: {}} (noisier derivatives)", settings, 6.0)] if settings else []


def _batch_size(experiment: Experiment, machines: Machines) -> list[Change]:
    larger = [(doublings, experiment.federation.batch_size * 2**doublings) for doublings in (1, 2, 3)]
    return [
        Change(f"federation.batch_size: {size} (fewer jobs)", _federation("batch_size", size), 2.0 * doublings)
        for doublings, size in larger
    ]


def _local_epochs(experiment: Experiment, machines: Machines) -> list[Change]:
    epochs = experiment.federation.local_epochs
    change = Change("federation.local_epochs: 1", _federation("local_epochs", 1), 2 * log2(epochs))
    return [change] if epochs > 1 else []


def _clients_on_devices(experiment: Experiment, machines: Machines) -> list[Change]:
    """Return changes that leave the first of the clients on their devices, and simulate the others."""
    on_devices = [client for client, name in enumerate(machines.assignment) if name in machines.devices]
    simulator, found = _simulator(experiment), []
    if simulator is None:
        return []
    counts = dict.fromkeys(ceil(len(on_devices) / share) for share in _SHARES)
    for count in (count for count in counts if count < len(on_devices)):
        simulated = set(on_devices[count:])
        names = [simulator if client in simulated else name for client, name in enumerate(machines.assignment)]
        settings: dict[Key, Any] = {
            ("backends", "assignment", "clients"): _ranges(names, simulator),
            ("backends", "assignment", "default"): simulator,
        }
        words = f"{count} of {len(on_devices)} clients on devices (the others on {simulator})"
        found.append(Change(words, settings, 1.5 * log2(len(on_devices) / count)))
    return found


def _tests(experiment: Experiment, machines: Machines) -> list[Change]:
    server, others = experiment.backends.assignment.server, experiment.evaluation.backends
    settings: dict[Key, Any] = {}
    if any(name in machines.devices for name in others):
        settings["evaluation", "backends"] = [name for name in others if name not in machines.devices]
    if server in machines.devices and (simulator := _simulator(experiment)) is not None:
        settings["backends", "assignment", "server"] = simulator
    return [Change("no tests of the server on devices", settings, 1.0)] if settings else []


def _task(experiment: Experiment, machines: Machines) -> list[Change]:
    training = [name for name, entry in _entries(experiment, machines).items() if entry.task == "train"]
    settings = {_key(name, "task"): "evaluate" for name in training}
    words = "task: evaluate on all devices (clients test there and train nothing)"
    return [Change(words, settings, 20.0)] if settings else []


Kind = Callable[[Experiment, Machines], list[Change]]
KINDS: tuple[Kind, ...] = (_shots, _gradient, _task, _batch_size, _local_epochs, _clients_on_devices, _tests)
"""The kinds of change that are tried. Each gives changes from the mildest on; none where it would change nothing."""


def _entries(experiment: Experiment, machines: Machines) -> dict[str, DeviceEntry]:
    """Return the entries of the devices that are used."""
    entries = experiment.backends.backends
    return {name: entry for name in machines.devices if isinstance(entry := entries[name], DeviceEntry)}


def _is_shifted(entry: DeviceEntry) -> bool:
    return entry.gradient == "parameter_shift"


def _simulator(experiment: Experiment) -> str | None:
    """Return the simulator that serves in a device's place: the server's, or else the first; None without one."""
    entries = experiment.backends.backends
    names = [experiment.backends.assignment.server, *entries]
    return next((name for name in names if isinstance(entries[name], AerEntry)), None)


def _ranges(names: list[str], default: str) -> dict[str, str]:
    """Return the clients that do not have the default backend, as keys of ``assignment.clients``."""
    starts = [c for c in range(len(names)) if c == 0 or names[c] != names[c - 1]]
    ends = [*starts, len(names)]
    return {
        str(first) if last == first + 1 else f"{first}-{last - 1}": names[first]
        for first, last in pairwise(ends)
        if names[first] != default
    }


def _federation(key: str, value: Any) -> dict[Key, Any]:
    return {("federation", key): value}


def _key(name: str, key: str) -> Key:
    return "backends", "backends", name, key
