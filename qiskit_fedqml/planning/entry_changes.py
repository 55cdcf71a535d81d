"""Changes of the entries of devices: copies side by side, shots, derivatives, and what clients do there."""

from math import log2
from typing import Any

from qiskit_fedqml.config.devices import DeviceEntry
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.gradient import Spsa
from qiskit_fedqml.planning.changes import Change, Key, Machines

_FEWEST_SHOTS = 4
_FRACTION = 0.25
"""The part of a batch's samples in which random shifts move each weight."""


def blocks(experiment: Experiment, machines: Machines) -> list[Change]:
    """Return the change that puts copies of the circuit side by side on all devices that hold several."""
    entries = _entries(experiment, machines)
    copies = {name: machines.copies[name] for name in entries if name in machines.copies}
    if not copies:
        return []
    fewest, most = min(copies.values()), max(copies.values())
    where = "" if len(copies) == len(entries) else f" on {', '.join(copies)}"
    number = f"{most}" if fewest == most else f"{fewest} to {most}"
    settings: dict[Key, Any] = {_key(name, "blocks"): "auto" for name in copies}
    return [Change(f"blocks: auto{where} ({number} copies side by side)", settings, 0.5)]


def joint_jobs(experiment: Experiment, machines: Machines) -> list[Change]:
    """Return the change that brings the clients of a device together; none where a round never has two of them."""
    if experiment.federation.clients_per_round < 2:
        return []
    entries = _entries(experiment, machines).items()
    apart = [name for name, entry in entries if not entry.is_joint and machines.assignment.count(name) > 1]
    settings: dict[Key, Any] = {_key(name, "joint"): True for name in apart}
    return [Change("joint: true (one job for each step of a device's clients)", settings, 0.25)] if settings else []


def shots(experiment: Experiment, machines: Machines) -> list[Change]:
    """Return changes to fewer shots, each time half as many."""
    entries, found, factor = _entries(experiment, machines), [], 2
    most = most_shots(experiment, machines)
    while most // factor >= _FEWEST_SHOTS or (factor == 2 and most > 1):
        fewer = {name: max(1, entry.shots // factor) for name, entry in entries.items()}
        words = "half the shots" if factor == 2 else f"1/{factor} of the shots"
        settings = {_key(name, "shots"): few for name, few in fewer.items()}
        listed = ", ".join(str(few) for few in sorted(set(fewer.values())))
        found.append(Change(f"{words} ({listed})", settings, log2(factor)))
        factor *= 2
    return found


def most_shots(experiment: Experiment, machines: Machines) -> int:
    """Return the most shots of a device that is used; 1 without one."""
    return max((entry.shots for entry in _entries(experiment, machines).values()), default=1)


def fewer_shots(experiment: Experiment, machines: Machines, most: int) -> Change:
    """Return the change to so many shots of the device that has the most, and to the same part of the others' shots."""
    asked, entries = most_shots(experiment, machines), _entries(experiment, machines)
    fewer = {name: max(1, entry.shots * most // asked) for name, entry in entries.items()}
    settings: dict[Key, Any] = {_key(name, "shots"): few for name, few in fewer.items()}
    listed = ", ".join(str(few) for few in sorted(set(fewer.values())))
    return Change(f"{most / asked:.0%} of the shots ({listed})", settings, log2(asked / most))


def is_of_shots(change: Change) -> bool:
    """Return whether a change is one of shots alone."""
    return bool(change.settings) and all(key[-1] == "shots" for key in change.settings)


def random_shifts(experiment: Experiment, machines: Machines) -> list[Change]:
    """Return the change that shifts weights in a random part of the samples."""
    training = _training(experiment, machines).items()
    shifting = [name for name, entry in training if entry.gradient == "parameter_shift"]
    settings: dict[Key, Any] = {_key(name, "gradient"): {"random_shifts": {"fraction": _FRACTION}} for name in shifting}
    return [Change(f"gradient: {{random_shifts: {{fraction: {_FRACTION}}}}}", settings, 2.0)] if settings else []


def spsa(experiment: Experiment, machines: Machines) -> list[Change]:
    """Return the change that moves all angles at once."""
    training = _training(experiment, machines).items()
    shifting = [name for name, entry in training if not isinstance(entry.gradient, Spsa)]
    settings: dict[Key, Any] = {_key(name, "gradient"): {"spsa": {}} for name in shifting}
    return [Change("gradient: {spsa: {}} (noisier derivatives)", settings, 6.0)] if settings else []


def task(experiment: Experiment, machines: Machines) -> list[Change]:
    """Return the change that lets the clients of devices train nothing."""
    settings = {_key(name, "task"): "evaluate" for name in _training(experiment, machines)}
    words = "task: evaluate on all devices (clients test there and train nothing)"
    return [Change(words, settings, 20.0)] if settings else []


def _entries(experiment: Experiment, machines: Machines) -> dict[str, DeviceEntry]:
    """Return the entries of the devices that are used."""
    entries = experiment.backends.backends
    return {name: entry for name in machines.devices if isinstance(entry := entries[name], DeviceEntry)}


def _training(experiment: Experiment, machines: Machines) -> dict[str, DeviceEntry]:
    """Return the entries of the devices whose clients train."""
    return {name: entry for name, entry in _entries(experiment, machines).items() if entry.task == "train"}


def _key(name: str, key: str) -> Key:
    return "backends", "backends", name, key
