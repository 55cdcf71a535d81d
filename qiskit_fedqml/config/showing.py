"""Experiments and backends files at a glance, as a notebook shows them: without accounts and instances."""

import json
from typing import TYPE_CHECKING, Any

from qiskit_fedqml.errors import listed, shortened
from qiskit_fedqml.tables import html_table

if TYPE_CHECKING:
    from qiskit_fedqml.config.backends import BackendEntry, BackendsFile
    from qiskit_fedqml.config.experiment import Experiment

_LONGEST = 300
"""Characters of a section's settings."""


def experiment_in_words(experiment: "Experiment") -> str:
    """Return an experiment in one line."""
    config, data = experiment.federation, experiment.data
    name = getattr(data, "dataset", type(data).__name__)
    clients = "1 client" if config.clients == 1 else f"{config.clients:,} clients, {config.clients_per_round:,} a round"
    rounds = "1 round" if config.rounds == 1 else f"{config.rounds:,} rounds"
    machines = [name for name in experiment.backends.backends if name in experiment.backends.assignment.machines]
    return f"<Experiment: {name}; {clients}; {rounds}; on {_names(machines)}; seed {experiment.seed}>"


def experiment_as_html(experiment: "Experiment") -> str:
    """Return an experiment as tables: the settings that are not the defaults, by section, and its machines."""
    settings = experiment.model_dump(mode="json", exclude_defaults=True, exclude={"backends"})
    rows = [{"Section": key, "Settings that are not the defaults": _flow(value)} for key, value in settings.items()]
    return html_table(rows, experiment_in_words(experiment).strip("<>")) + backends_as_html(experiment.backends)


def backends_in_words(file: "BackendsFile") -> str:
    """Return the machines of a backends file in one line."""
    sources = {name: _source(entry) for name, entry in file.backends.items()}
    machines = [name if source in ("ideal", name) else f"{name} ({source})" for name, source in sources.items()]
    return f"<BackendRegistry: {_names(machines)}>"


def backends_as_html(file: "BackendsFile") -> str:
    """Return the machines of a backends file as a table; nothing is opened for it."""
    uses = _uses(file)
    rows = [
        {
            "Backend": name,
            "Type": entry.type,
            "Noise or device": _source(entry),
            "Shots": str(entry.shots or "exact"),
            "Used by": ", ".join(uses.get(name, [])) or "–",
        }
        for name, entry in file.backends.items()
    ]
    return html_table(rows, "Machines")


def _names(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:5])} and {len(names) - 5:,} more"


def _flow(value: Any) -> str:
    """Return a value as YAML in one line, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False).replace('"', "")
    return shortened(text[1:-1] if isinstance(value, dict) else text, _LONGEST)


def _source(entry: "BackendEntry") -> str:
    """Return a machine's device, or the origin of its noise."""
    if entry.type == "aer":
        noise = entry.noise
        if noise is None:
            return "ideal"
        kind = noise if isinstance(noise, str) else "stated rates"
        name = str(getattr(noise, "calibration", kind))
        return name if entry.noise_factor == 1 else f"{name} × {entry.noise_factor:g}"
    if entry.type == "ibm":
        return entry.device if isinstance(entry.device, str) else "the least busy device"
    return entry.made_of


def _uses(file: "BackendsFile") -> dict[str, list[str]]:
    """Return what each backend is used for, in words."""
    found: dict[str, list[str]] = {file.assignment.server: ["server"]}
    default = file.assignment.default
    in_turn, at_random = getattr(default, "cycle", ()), getattr(default, "random", ())
    names, words = ((default,), "clients") if isinstance(default, str) else (in_turn, "clients in turn")
    names, words = (at_random, "clients at random") if at_random else (names, words)
    for name in dict.fromkeys(names):
        found.setdefault(name, []).append(words)
    by_name: dict[str, list[str]] = {}
    for key, name in file.assignment.clients.items():
        by_name.setdefault(name, []).append(str(key))
    for name, keys in by_name.items():
        found.setdefault(name, []).append(f"clients {listed(keys)}")
    return found
