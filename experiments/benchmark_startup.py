"""Time the whole process of a short run, and its rounds, against another checkout of the package.

The processes of both checkouts run in turns on the same files; medians and ratios of one run are printed::

    python experiments/benchmark_startup.py --against ../before

Timed are `fedqml run` on the digits (the whole process, and one of its rounds after the first) and one training step of
the paper's circuit, batch 32, values and all derivatives, exact without noise and with noise and shots.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from parts.command_line import EXPERIMENTS, ScriptParser, positive, run_script

from qiskit_fedqml.tables import markdown_table

_RUN = "import sys; from qiskit_fedqml.cli import main; main()"
_STEP = """
import json, statistics, sys, time, torch, numpy as np
from qiskit_fedqml import BackendRegistry, paper_circuit, quantum_layer
noise = {"depolarizing": {"one_qubit": 0.001, "two_qubit": 0.01}, "readout": 0.02}
array = BackendRegistry.from_mapping({"backends": {
    "ideal": {"type": "aer"}, "noisy": {"type": "aer", "noise": noise, "shots": 1024}}})
found = {}
for name in array:
    layer = quantum_layer(paper_circuit(), array[name])
    inputs = torch.from_numpy(np.random.default_rng(1).normal(size=(32, 4))).float().requires_grad_()
    seconds = []
    for number in range(int(sys.argv[1])):
        layer.neural_network.reseed(number)
        started = time.perf_counter()
        layer(inputs).square().sum().backward()
        seconds.append(time.perf_counter() - started)
    found[name] = statistics.median(seconds[len(seconds) // 4 :])
print(json.dumps(found))
"""


def python(checkout: Path, *arguments: str) -> str:
    """Run Python with a checkout's package; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-c", *arguments]
    return subprocess.run(command, env=environment, cwd=checkout, capture_output=True, text=True, check=True).stdout


def measure(checkout: Path, rounds: int, steps: int) -> dict[str, float]:
    """Return seconds by what is timed, once each."""
    with TemporaryDirectory() as folder:
        out, file = Path(folder) / "run", str(EXPERIMENTS / "digits.yaml")
        started = time.perf_counter()
        python(checkout, _RUN, "run", file, "--out", str(out), "--set", f"federation.rounds={rounds}")
        whole = time.perf_counter() - started
        lines = (out / "rounds.jsonl").read_text(encoding="utf-8").splitlines()
    later = [json.loads(line)["seconds"] for line in lines[1:]]
    step: Mapping[str, float] = json.loads(python(checkout, _STEP, str(steps)))
    return {
        f"`fedqml run`, digits, {rounds} rounds, whole process": whole,
        "one round of it, after the first": statistics.median(later),
        "training step, ideal, exact": step["ideal"],
        "training step, noise, 1,024 shots": step["noisy"],
    }


def main() -> None:
    """Measure in turns, and print."""
    parser = ScriptParser(__file__, __doc__, smallest={"turns": 1, "rounds": 3, "steps": 8})
    parser.add_argument("--against", type=Path, help="another checkout, such as that of the commit before")
    parser.add_argument("--turns", type=positive, default=5, help="times that each is run (default: %(default)s)")
    parser.add_argument("--rounds", type=positive, default=20, help="of the run (default: %(default)s)")
    parser.add_argument("--steps", type=positive, default=400, help="training steps of a turn (default: %(default)s)")
    arguments = parser.parse_args()
    checkouts = {"here": EXPERIMENTS.parent}
    if arguments.against:
        checkouts["there"] = arguments.against.absolute()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    for turn in range(arguments.turns + (arguments.turns > 1)):
        for name, checkout in checkouts.items():
            times = measure(checkout, arguments.rounds, arguments.steps)
            if turn or arguments.turns == 1:  # the first one fills caches
                found[name].append(times)
    rows = []
    for what in found["here"][0]:
        row = {"Timed": what}
        medians = {name: statistics.median(times[what] for times in turns) for name, turns in found.items()}
        row |= {name.capitalize(): _shown(seconds) for name, seconds in medians.items()}
        if "there" in found:
            ratios = [a[what] / b[what] for a, b in zip(found["here"], found["there"], strict=True)]
            row |= {"Ratio": f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"}
        rows.append(row)
    print(markdown_table(rows))


def _shown(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.2f} ms"


if __name__ == "__main__":
    run_script(main)
