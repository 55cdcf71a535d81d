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

from qiskit_fedqml.errors import ConfigurationError
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


def check(checkout: Path) -> None:
    """Raise ConfigurationError unless Python finds the package in a checkout."""
    if not (checkout / "qiskit_fedqml").is_dir():
        raise ConfigurationError(f"{checkout} is no checkout: it has no folder `qiskit_fedqml`.")
    found = Path(python(checkout, "import qiskit_fedqml; print(qiskit_fedqml.__file__)").strip())
    if not found.is_relative_to(checkout.resolve()):
        raise ConfigurationError(f"With {checkout} on its path, Python takes the package from {found.parent} instead.")


def measure(checkout: Path, rounds: int, steps: int) -> tuple[dict[str, float], float]:
    """Return seconds by what is timed, once each, and the run's last testing loss."""
    with TemporaryDirectory() as folder:
        out, file = Path(folder) / "run", str(EXPERIMENTS / "digits.yaml")
        started = time.perf_counter()
        python(checkout, _RUN, "run", file, "--out", str(out), "--set", f"federation.rounds={rounds}")
        whole = time.perf_counter() - started
        lines = (out / "rounds.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    step: Mapping[str, float] = json.loads(python(checkout, _STEP, str(steps)))
    times = {
        f"`fedqml run`, digits, {rounds} rounds, whole process": whole,
        "one round of it, after the first": statistics.median(record["seconds"] for record in records[1:]),
        "training step, ideal, exact": step["ideal"],
        "training step, noise, 1,024 shots": step["noisy"],
    }
    return times, records[-1]["test_loss"]


def main() -> None:
    """Measure in turns, and print."""
    parser = ScriptParser(__file__, __doc__, smallest={"turns": 1, "rounds": 3, "steps": 8})
    parser.add_argument("--against", type=Path, help="another checkout, such as that of the commit before")
    parser.add_argument("--turns", type=positive, default=5, help="times that each is run (default: %(default)s)")
    parser.add_argument("--rounds", type=positive, default=20, help="of the run, from 2 (default: %(default)s)")
    parser.add_argument("--steps", type=positive, default=400, help="training steps of a turn (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("--rounds must be at least 2, because the first round is not like the others")
    checkouts = {"here": EXPERIMENTS.parent}
    if arguments.against:
        checkouts["there"] = arguments.against.absolute()
    for checkout in checkouts.values():
        check(checkout)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    losses = {}
    is_warm = arguments.turns == 1  # else a first turn, which is not counted, fills the caches
    for _ in range(arguments.turns + (not is_warm)):
        for name, checkout in checkouts.items():
            times, losses[name] = measure(checkout, arguments.rounds, arguments.steps)
            if is_warm:
                found[name].append(times)
        is_warm = True
    print(markdown_table([row(what, found) for what in found["here"][0]]))
    print(f"Last testing loss: {', '.join(f'{loss:.6f} {name}' for name, loss in losses.items())}")


def row(what: str, found: Mapping[str, list[dict[str, float]]]) -> dict[str, str]:
    """Return a row of the table: medians, and the median of the ratios of the pairs with their range."""
    seconds = {name: [times[what] for times in turns] for name, turns in found.items()}
    cells = {"Timed": what} | {name.capitalize(): _shown(statistics.median(of)) for name, of in seconds.items()}
    if "there" in seconds:
        ratios = [here / there for here, there in zip(seconds["here"], seconds["there"], strict=True)]
        cells["Ratio"] = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return cells


def _shown(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.2f} ms"


if __name__ == "__main__":
    run_script(main)
