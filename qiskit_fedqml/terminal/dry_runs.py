"""What `fedqml run --dry-run` prints."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import listed
from qiskit_fedqml.federation.runs.dry_run import DryRun, as_values, try_run
from qiskit_fedqml.planning.planner import plan_experiment
from qiskit_fedqml.tables import about, duration, gibibytes
from qiskit_fedqml.terminal.json_files import write_json
from qiskit_fedqml.terminal.plans import print_plan
from qiskit_fedqml.terminal.showing import progress_of


def show_dry_run(
    experiment: Experiment, title: str, json_: Path | None, *, overwrite: bool, command: Sequence[str], began: float
) -> bool:
    """Try a run and print how large it is, what it takes and what it costs; return whether all budgets suffice.

    Args:
        experiment: What is to run.
        title: What it is called.
        json_: Where that is written as JSON, or None; ``-`` prints it, and nothing else.
        overwrite: Whether a file there that holds something else may be replaced.
        command: The `fedqml plan` of the same experiment.
        began: When the command began, by :func:`time.perf_counter`.

    Raises:
        FedQMLError: As :func:`~qiskit_fedqml.run_federation`.
    """
    loading = time.perf_counter() - began
    with progress_of(title) as watching:
        found = try_run(experiment, watching)
    found = replace(found, start_seconds=loading + found.start_seconds)
    plan = plan_experiment(experiment) if found.devices else None
    values = {**as_values(found), "plan": None if plan is None else plan.as_json()}
    if write_json(values, json_, overwrite=overwrite):
        for row in _rows(found):
            print(row)
        if plan is not None:
            print()
            print_plan(plan, 0.0, command)
    return plan is None or not plan.lacking()


def _rows(found: DryRun) -> list[str]:
    size = found.size
    shards = f"{size.smallest:,}" if size.smallest == size.largest else f"{size.smallest:,} to {size.largest:,}"
    steps = [f"{duration(seconds)} on {name}" for name, seconds in found.step_seconds.items()]
    left = found.num_machines - len(steps)
    steps += [f"{left} more machines were not timed"] if left > 0 else []
    whole = "depends on queues" if found.run_seconds is None else about(found.start_seconds + found.run_seconds)
    facts = {
        "Data": f"{size.examples:,} training examples, {size.test_examples:,} for tests",
        "Features": f"{found.num_features:,} of an example",
        "Classes": listed(size.classes),
        "Clients": f"{size.clients:,}, with {shards} training examples",
        "Trained parameters": f"{size.parameters:,}",
        "Memory": f"at least {gibibytes(found.peak_memory_bytes or 0)}: what the data, the model and a step took here",
        "Training step": steps[0] if steps else "not timed: all clients train on devices",
        **{" " * number: words for number, words in enumerate(steps[1:], start=1)},
        **({"Test": duration(found.test_seconds)} if found.test_seconds else {}),
        "Start": f"{about(found.start_seconds)} for libraries, data, model and compilation",
        **({} if found.run_seconds is None else {"Rounds": f"{about(found.run_seconds)} of training and tests"}),
        "In all": whole,
        **({"Devices": listed(found.devices)} if found.devices else {}),
        **({"Warning": size.warning} if size.warning else {}),
    }
    width = max(map(len, facts))
    return [f"{name:<{width}}  {words}" for name, words in facts.items()]
