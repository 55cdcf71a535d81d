"""Time one training step of the quantum layer: the paper's circuit, all derivatives, the same numbers, in one run.

Compares this package's sweeps with Aer driven through this package's network, with qiskit-machine-learning's own
EstimatorQNN, and where they are installed (`pip install -e '.[benchmark]'`, then `pip install --no-deps mindquantum`)
with PennyLane, tensorcircuit-ng and MindQuantum. Before anything is timed, it asserts that values and gradients agree.
All are timed in turns; the median of each is printed, with its ratio to this package's, and drawn.

    python experiments/benchmark_training_step.py --batch 32
"""

import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata

import numpy as np
import torch
from parts.bars import bars
from parts.command_line import ScriptParser, positive, run_script
from parts.steps import (
    OURS,
    PEERS,
    PEERS_APART,
    SHOTS,
    SPEC,
    ideal_steps,
    installed,
    kernels,
    noisy_steps,
    sampled_steps,
)
from parts.timing import Way, compare

from qiskit_fedqml.backends.calibration import fake_calibration
from qiskit_fedqml.backends.noise import noise_from_calibration
from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.results.provenance import git_commit, versions

DEVICE = "FakeManilaV2"


def cases(batch: int, repeats: int, stock_repeats: int) -> Iterator[tuple[str, list[Way]]]:
    """Give each case in words, and the ways that are compared in it."""
    inputs = torch.from_numpy(np.random.default_rng(1).normal(size=(batch, SPEC.num_inputs))).float()
    machine = noise_from_calibration(fake_calibration(DEVICE), DEVICE)
    gate_errors = replace(machine, readout={})  # Aer's EstimatorV2 and PennyLane's channels leave readout error out
    size = f"batch {batch}"
    yield f"Training step without noise, {size}", ideal_steps(inputs, repeats, stock_repeats)
    yield f"Training step with the gate errors of {DEVICE}, exact, {size}", noisy_steps(inputs, repeats, gate_errors)
    yield f"Training step as {DEVICE}, {SHOTS:,} shots, {size}", sampled_steps(inputs, repeats, machine)
    yield f"Arrays in and out, without noise, {size}", kernels(inputs, repeats, None)
    yield f"Arrays in and out, with the gate errors of {DEVICE}, {size}", kernels(inputs, repeats, gate_errors)


def main() -> None:
    """Check agreement, time, print the tables, write the chart."""
    parser = ScriptParser(__file__, __doc__, smallest={"batch": 3, "repeats": 2, "stock_repeats": 1})
    parser.add_argument("--batch", type=positive, default=32, help="examples of a step (default: %(default)s)")
    parser.add_argument("--repeats", type=positive, default=300, help="of this package's steps (default: %(default)s)")
    parser.add_argument(
        "--stock-repeats", type=positive, default=3, help="of the stock network's (default: %(default)s)"
    )
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="tensorcircuit|pennylane|jax")
    peers = PEERS | PEERS_APART
    if missing := [package for package, module in peers.items() if not installed(module)]:
        how = "`pip install -e '.[benchmark]'`, then `pip install --no-deps mindquantum`"
        print(f"Left out, because it is not installed: {', '.join(missing)}. All are there after {how}.")
    rows = [
        row
        for case, ways in cases(options.batch, options.repeats, options.stock_repeats)
        for row in compare(case, ways)
    ]
    shots, exact = (row["median_ms"] for row in [r for r in rows if "shots" in r["case"]][:2])
    print(f"Shots cost {shots / exact:.2f} times the exact step.")
    options.out.mkdir(parents=True, exist_ok=True)
    save_figure(bars(rows, OURS), options.out / "training_step")
    write_text(options.out / "training_step.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    facts = {
        "command": "python " + " ".join(sys.argv),
        "threads": torch.get_num_threads(),
        "versions": {**versions(), **{p: metadata.version(p) for p, module in peers.items() if installed(module)}},
        "git_commit": git_commit(),
    }
    write_text(options.out / "training_step.json", json.dumps(facts, indent=2) + "\n")
    print(f"Chart and figures: {options.out}")


if __name__ == "__main__":
    run_script(main)
