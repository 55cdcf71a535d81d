"""What `fedqml plan` prints: a plan, or settings that fit."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.yaml_files import dump_yaml
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.planning import sentences, tables
from qiskit_fedqml.planning.changes import Key
from qiskit_fedqml.planning.fitting import propose
from qiskit_fedqml.planning.plan import Plan
from qiskit_fedqml.planning.planner import Planner, plan_experiment
from qiskit_fedqml.planning.proposals import Proposal, few_steps, nested
from qiskit_fedqml.terminal.json_files import earlier_json, write_json
from qiskit_fedqml.terminal.output import print_table
from qiskit_fedqml.terminal.verbosity import is_verbose


def show_plan(
    experiment: Experiment,
    queue_seconds: float,
    json_: Path | None,
    *,
    overwrite: bool = False,
    command: Sequence[str] = ("fedqml", "plan", "FILE"),
) -> bool:
    """Print what an experiment will cost; return whether all budgets suffice.

    Args:
        experiment: The experiment.
        queue_seconds: How long a job waits in its queue.
        json_: Where the plan is written as JSON, or None; ``-`` prints that, and nothing else.
        overwrite: Whether a file there that holds something else may be replaced.
        command: What makes this plan.

    Raises:
        ResultError: The file exists already and holds something else, or cannot be written.
        FedQMLError: As :func:`~qiskit_fedqml.planning.planner.plan_experiment`.
    """
    plan = plan_experiment(experiment)
    if _writes(plan.as_json(), json_, overwrite):
        print_plan(plan, queue_seconds, command)
    return not plan.lacking()


def print_plan(plan: Plan, queue_seconds: float, command: Sequence[str]) -> None:
    """Print what a plan comes to, its tables, and what else there is to say.

    Args:
        plan: The plan.
        queue_seconds: How long a job waits in its queue.
        command: The `fedqml plan` that makes it.
    """
    for sentence in sentences.answer(plan, f"{shlex.join(command)} --fit {_fit_seconds(plan):g}"):
        print(sentence)
    for title, rows in tables.tables(plan, None if is_verbose() else tables.MOST_ROWS):
        print(f"\n{title}\n")
        print_table(rows)
    for sentence in sentences.sentences(plan, queue_seconds):
        print(sentence)


def _fit_seconds(plan: Plan) -> float:
    """Return the QPU seconds that settings may take which fit: the least that is there, or those of the Open Plan."""
    left = [ceiling.most - ceiling.spent for ceiling in plan.ceilings if ceiling.of == "seconds"]
    return max(1.0, min([*left, sentences.OPEN_PLAN_SECONDS]))


def show_proposals(
    experiment: Experiment,
    seconds: float,
    command: Sequence[str],
    json_: Path | None,
    *,
    overwrite: bool = False,
    number: int | None = None,
) -> bool:
    """Print settings that fit so many QPU seconds, and how to run with one of them; return whether there are any.

    Args:
        experiment: The experiment.
        seconds: The QPU seconds.
        command: What runs the experiment as it is.
        json_: As :func:`show_plan`.
        overwrite: As :func:`show_plan`.
        number: The proposal of which the command is printed, from 1; None for the first.

    Raises:
        ConfigurationError: There is no proposal of this number.
        FedQMLError: As :func:`~qiskit_fedqml.planning.planner.plan_experiment`.
    """
    planner = Planner.open(experiment)
    proposals = propose(planner, seconds)
    values = {"fit_seconds": seconds, "proposals": [proposal.as_json() for proposal in proposals]}
    if not _writes(values, json_, overwrite):
        return bool(proposals)
    if not proposals:
        print(f"No settings that were tried fit {seconds:g} s of QPU time and all budgets: not one round does.")
        return False
    print(f"Settings that fit {seconds:g} s of QPU time; those that depart least from the experiment come first\n")
    print_table(tables.proposal_rows(proposals, experiment))
    for sentence in (*sentences.unknown_times(planner.items(experiment)), *_warnings(experiment, proposals)):
        print(sentence)
    if number is not None and number > len(proposals):
        raise ConfigurationError(f"--proposal must be from 1 to {len(proposals)}, the number of proposals.")
    which = "The first one" if number is None else f"Proposal {number}"
    if number is None and len(proposals) > 1:
        print(f"--proposal 2 prints the command of the second one, and so on up to {len(proposals)}.")
    print(_how_to_use(which, proposals[(number or 1) - 1].settings(planner.budget(seconds)), command))
    return True


def _writes(values: object, json_: Path | None, overwrite: bool) -> bool:
    """Write values as JSON where that is wanted; return whether there is still something to print."""
    is_same = json_ is not None and _is_same(json_, json.dumps(values))
    return write_json(values, json_, overwrite=overwrite or is_same)


def _is_same(path: Path, text: str) -> bool:
    """Return whether a file holds a plan already, but for sizes: compressed circuits differ by some bytes each time."""
    return _without_sizes(earlier_json(path)) == _without_sizes(json.loads(text))


def _without_sizes(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _without_sizes(value) for key, value in values.items() if key != "payload_bytes"}
    return [_without_sizes(value) for value in values] if isinstance(values, list) else values


def _warnings(experiment: Experiment, proposals: Sequence[Proposal]) -> list[str]:
    """Return a warning of the first proposal that leaves too few steps; of the others the table says so."""
    warned = ((n, few_steps(experiment, proposal.steps)) for n, proposal in enumerate(proposals, start=1))
    return next(([f"Proposal {number}: {warning}"] for number, warning in warned if warning), [])


def _how_to_use(which: str, settings: Mapping[Key, Any], command: Sequence[str]) -> str:
    """Return a command that runs with other settings; where --set cannot name a key, the settings as YAML."""
    if any("." in part for key in settings for part in key):
        return f"{which} in the experiment file:\n\n{dump_yaml(nested(settings))}"
    lines = [shlex.join(command), *(f"  --set {shlex.quote(_assigned(key, value))}" for key, value in settings.items())]
    return f"{which}:\n\n" + " \\\n".join(lines)


def _assigned(key: Key, value: object) -> str:
    if isinstance(value, float):
        return f"{'.'.join(key)}={value:.12g}"
    return f"{'.'.join(key)}={value if isinstance(value, str) else json.dumps(value)}"
