"""What was run, in words, and where it comes from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qiskit_fedqml.config.buffered import Buffered
from qiskit_fedqml.config.circuit import QpyCircuit
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.gossip import Gossip
from qiskit_fedqml.errors import listed
from qiskit_fedqml.ledger.overview import overview_of
from qiskit_fedqml.report.naming import step_word, steps_word
from qiskit_fedqml.report.nodes import graph_name, has_nodes
from qiskit_fedqml.results.result import RunResult

Row = dict[str, str]


def sentence(runs: Mapping[str, RunResult]) -> str:
    """Return one sentence that says what was run."""
    data = dict.fromkeys(_data(run) for run in runs.values())
    circuits = dict.fromkeys(_circuit(run.experiment) for run in runs.values())
    count = "One run" if len(runs) == 1 else f"{len(runs)} runs"
    by = "" if any(map(has_nodes, runs.values())) else " by the server"
    return (
        f"{count} of {_listed(list(dict.fromkeys(_kind(run.experiment) for run in runs.values())))} training of "
        f"{_listed(list(circuits))} on {_listed(list(data))}, tested{by} after each {steps_word(runs)}."
    )


def run_facts(run: RunResult) -> str:
    """Return how a run was done, in words."""
    config, machines = run.experiment.federation, run.experiment.backends.backends
    used = {client.backend for record in run.rounds for client in record.clients}
    names = [name for name in machines if name in used]
    is_poisson = run.experiment.privacy is not None and run.experiment.privacy.protects_clients
    how_many = "one client with all data" if config.clients == 1 else _clients(config, is_poisson=is_poisson)
    epochs = f"{config.local_epochs} local {'epoch' if config.local_epochs == 1 else 'epochs'}"
    where = f" on {_listed(names)}" if names and run.experiment.model.has_circuit else ""
    ended = ", where it ended early" if run.ended_early else ""
    kept = f", the model of {step_word(run)} {run.final.round} kept" if config.keep_best else ""
    rounds = f"{len(run.rounds)} of {config.rounds} {step_word(run)}s{ended}{kept}"
    privacy = f" {run.privacy_in_words}" if run.privacy_in_words else ""
    return (
        f"{rounds}; {how_many}{where}{_buffer(config)}; {epochs} in "
        f"batches of {config.batch_size}, {config.optimizer} at {config.learning_rate:g}.{privacy}"
    )


def origin_rows(runs: Mapping[str, RunResult]) -> list[Row]:
    """Return a row for each thing that decides a run's numbers (seed, commit, versions), a column for each run."""
    facts = {name: _origin(run) for name, run in runs.items()}
    keys = dict.fromkeys(key for of_run in facts.values() for key in of_run)
    return [{"": key, **{name: of_run.get(key, "–") for name, of_run in facts.items()}} for key in keys]


def _origin(run: RunResult) -> Row:
    described: dict[str, Any] = run.run
    versions: dict[str, str | None] = described.get("versions", {})
    return {
        "Seed": str(run.experiment.seed),
        "Threads": str(described.get("threads", "–")),
        "Features": f"{described['num_features']:,}",
        "Trained parameters": f"{described['num_trained_parameters']:,}"
        if "num_trained_parameters" in described
        else "–",
        **_missing(described),
        **_initial(described),
        **_ledger(run),
        "Commit": _short(described.get("git_commit")),
        **{package: version or "–" for package, version in versions.items()},
    }


def _missing(described: Mapping[str, Any]) -> Row:
    """Return how many values a table lacks, by column, and what was done about it."""
    columns = described.get("columns", {})
    if not (missing := columns.get("missing")):
        return {}
    dropped = columns.get("dropped_rows", 0)
    done = f"{dropped:,} {'row' if dropped == 1 else 'rows'} left out" if dropped else "the training data's mean"
    return {"Missing values": f"{listed((f'{count:,} of {name}' for name, count in missing.items()), 5)}: {done}"}


def _initial(described: Mapping[str, Any]) -> Row:
    """Return from whose model a run began, if it was another run's."""
    initial = described.get("initial")
    if not isinstance(initial, Mapping):
        return {}
    name, rounds = Path(str(initial.get("folder"))).name, initial.get("rounds")
    return {"Began from": f"the model of {name} after {_rounds(rounds)} (SHA-256 {str(initial.get('sha256'))[:12]})"}


def _ledger(run: RunResult) -> Row:
    """Return the head of a run's ledger, which was not verified."""
    found = overview_of(run.folder) if run.folder is not None and run.experiment.ledger else None
    return {"Ledger": f"{found.links:,} links, head {found.head}"} if found else {}


def _rounds(count: Any) -> str:
    return "1 round" if count == 1 else f"{count} rounds"


def _short(commit: str | None) -> str:
    if not commit:
        return "–"
    described = commit.removesuffix("-dirty")
    digits = described.rpartition("-g")[2][:12]  # records of version 0.1 may begin with the last tag
    return f"{digits}, with changes" if commit.endswith("-dirty") else digits


def _kind(experiment: Experiment) -> str:
    if isinstance(experiment.federation.algorithm, Gossip):
        return "decentralised"
    return "non-federated" if experiment.federation.clients == 1 else "federated"


def _circuit(experiment: Experiment) -> str:
    model = experiment.model
    if not model.has_circuit:
        return "a classical model"
    circuit, frozen = model.circuit, " frozen" if model.quantum == "frozen" else ""
    if isinstance(circuit, QpyCircuit | PythonReference):
        own = Path(circuit.qpy).name if isinstance(circuit, QpyCircuit) else circuit.python
        return f"a hybrid model with a{frozen} circuit of its own ({own})"
    num_layers = getattr(circuit, "num_layers", None)
    layers = "" if num_layers is None else " and 1 layer" if num_layers == 1 else f" and {num_layers} layers"
    ansatz = "" if circuit.ansatz == "paper" else f" {circuit.ansatz}"
    return f"a hybrid model with a{frozen}{ansatz} circuit of {circuit.num_qubits} qubits{layers}"


def _data(run: RunResult) -> str:
    data, classes = run.experiment.data, run.run["classes"]
    path = None if data.dataset in ("cifar10", "given") else getattr(data, "path", None)
    name = Path(path).name if path else "data given from Python" if data.dataset == "given" else data.dataset
    return f"{name} ({len(classes)} classes)"


def _clients(config: FederationConfig, *, is_poisson: bool) -> str:
    if isinstance(config.algorithm, Gossip):
        graph = graph_name(config.algorithm)
        return f"{config.clients} nodes of a {graph}"
    at_work, about = config.clients_per_round, "on average " if is_poisson else ""
    some = f"{about}{at_work} of {config.clients} clients"
    who = f"all {config.clients} clients" if config.clients == at_work else some
    return f"{who} {'at work at a time' if isinstance(config.algorithm, Buffered) else 'a round'}"


def _buffer(config: FederationConfig) -> str:
    """Return how many updates make a server step, where that is not all of a round."""
    if not isinstance(config.algorithm, Buffered):
        return ""
    buffer = config.algorithm.buffered.buffer
    return f", {buffer} {'update' if buffer == 1 else 'updates'} a step"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
