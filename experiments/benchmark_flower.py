"""Time a federation of 20 clients by this package, and by Flower's simulation engine with PennyLane's TorchLayer.

The same experiment, `digits.yaml`: the same data on each client, the same head and circuit with the same initial
weights, the same optimiser, batches of 8, 5 clients a round, the aggregate tested after each round. Both have two
cores. The ways run in turns, each in a process of its own; printed are the whole process, start-up included, and one
round, from the end of the round before, with their ratios in this run::

    pip install -e '.[benchmark]'
    python experiments/benchmark_flower.py

Flower trains two clients at a time, each on one core, by PennyLane's fastest way for this circuit through torch:
`default.qubit` with backpropagation and broadcast batches (`--peer lightning.qubit/adjoint` takes another). This
package trains the clients of a round together (`federation.lockstep`), and one after another. Ratios are to the first
row. Where Flower or PennyLane is not installed, only this package is timed.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from parts.command_line import EXPERIMENTS, ScriptParser, positive, run_script

from qiskit_fedqml import load_experiment
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.federation.runs.assembly import assemble
from qiskit_fedqml.files import write_text
from qiskit_fedqml.results.provenance import versions
from qiskit_fedqml.tables import markdown_table

DIGITS = str(EXPERIMENTS / "digits.yaml")
PEERS = {"flwr": "flwr", "ray": "ray", "pennylane": "pennylane", "pennylane-lightning": "pennylane_lightning"}
"""What the peer takes, and the modules that it is imported as."""

_CLI = "from qiskit_fedqml.cli import main; main()"
_ROUNDS = """
import json, sys, time
from qiskit_fedqml import load_experiment, run_federation

class Clock:
    ended = []
    def __getattr__(self, name):
        return lambda *about: name == "round_finished" and self.ended.append(time.perf_counter())

result = run_federation(load_experiment(sys.argv[1], json.loads(sys.argv[2])), sys.argv[3], observer=Clock())
last, ended = result.rounds[-1], Clock.ended
rounds = [after - before for before, after in zip(ended, ended[1:])]
print(json.dumps({"rounds": rounds, "test_loss": last.test_loss, "test_accuracy": last.test_accuracy}))
"""
_PEER = "from parts.flower_peer import main; main()"
_OFFLINE = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}


def python(*arguments: str, **environment: str) -> tuple[float, str]:
    """Run Python; return how long the whole process took, and the last line that it printed."""
    command = [sys.executable, "-W", "ignore", "-c", *arguments]
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **environment}  # as `fedqml` has it, for all ways
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{arguments[0]!r} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return seconds, (done.stdout.splitlines() or [""])[-1]


def ours(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Time `fedqml run`, and the rounds of another process."""
    with TemporaryDirectory() as folder:
        changes = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
        seconds, _ = python(_CLI, "run", DIGITS, "--out", f"{folder}/whole", *changes)
        _, line = python(_ROUNDS, DIGITS, json.dumps(settings), f"{folder}/rounds")
    return {**json.loads(line), "seconds": seconds}


def flower(split: Path, device: str) -> dict[str, Any]:
    """Time the peer, whose first round starts its processes and counts in the whole process alone.

    Raises:
        RuntimeError: A client of its failed.
    """
    paths = {"PYTHONPATH": str(EXPERIMENTS), "FLOWER_PEER_SPLIT": str(split), "FLOWER_PEER_DEVICE": device}
    seconds, line = python(_PEER, **_OFFLINE, **paths)
    found: dict[str, Any] = json.loads(line)
    with np.load(split) as arrays:
        if {*found["clients"]} != {int(arrays["clients_per_round"])}:
            raise RuntimeError(f"Flower's rounds averaged {found['clients']} clients.")
    return {**found, "rounds": found["rounds"][1:], "seconds": seconds}


def write_split(path: Path, settings: Mapping[str, Any]) -> None:
    """Write each client's examples, the test data, the initial model and the settings for the peer."""
    experiment = load_experiment(DIGITS, dict(settings))
    federation = assemble(experiment, None, None)
    data, config = federation.data, experiment.federation
    scaled = {
        f"x_{part}": ((of.features - data.mean) / data.deviation).astype(np.float32)
        for part, of in (("train", data.train), ("test", data.test))
    }
    names = ("w0", "b0", "w1", "b1", "angles")
    model = {name: tensor.numpy() for name, tensor in zip(names, federation.initial.model.values(), strict=True)}
    np.savez(
        path,
        **scaled,
        **model,
        y_train=data.train.labels,
        y_test=data.test.labels,
        rows=np.concatenate(data.shards),
        client=np.repeat(np.arange(config.clients), [len(shard) for shard in data.shards]),
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        clients_per_round=config.clients_per_round,
        rounds=config.rounds,
    )


def main() -> None:
    """Time in turns, print, and write the figures."""
    parser = ScriptParser(__file__, __doc__, smallest={"turns": 1, "rounds": 3})
    parser.add_argument("--turns", type=positive, default=5, help="times that each is run (default: %(default)s)")
    parser.add_argument("--rounds", type=positive, default=20, help="of a run, from 2 (default: %(default)s)")
    parser.add_argument("--peer", nargs="+", default=["default.qubit/backprop"], metavar="DEVICE/METHOD", help="ways")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("--rounds must be at least 2, because the first round is not like the others")
    settings = {"federation.rounds": options.rounds}
    missing = [package for package, module in PEERS.items() if importlib.util.find_spec(module) is None]
    if missing:
        print(f"Flower is left out, because it is not installed: {', '.join(missing)}.")
    with TemporaryDirectory() as folder:
        split = Path(folder) / "split.npz"
        write_split(split, settings)
        ways = {"this package": partial(ours, settings)}
        if "lockstep" in FederationConfig.model_fields:
            ways = {
                "this package, clients together": partial(ours, {**settings, "federation.lockstep": "auto"}),
                **ways,
            }
        if not missing:
            ways |= {
                f"Flower, PennyLane {peer.replace('/', ', ')}": partial(flower, split, peer) for peer in options.peer
            }
        found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
        for turn in range(-1, options.turns):  # the first turn fills the caches of compiled code, and is not counted
            for way, run in ways.items():
                if turn >= 0:
                    found[way].append(run())
                elif way.startswith("this"):
                    run()
    rows = [_row(way, turns, next(iter(found.values()))) for way, turns in found.items()]
    print(markdown_table(rows))
    peers = {package: metadata.version(package) for package in PEERS if package not in missing}
    facts = {"command": "python " + " ".join(sys.argv), "versions": {**versions(), **peers}}
    options.out.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"way": way, "turns": turns, **facts}) + "\n" for way, turns in found.items()]
    write_text(options.out / "flower.jsonl", "".join(lines))
    print(f"\nFigures: {options.out}")


def _row(way: str, turns: list[dict[str, Any]], first: list[dict[str, Any]]) -> dict[str, str]:
    """Return a row of the table: medians, and of the pairs of one turn the median ratio and its range."""
    whole, of_first = [turn["seconds"] for turn in turns], [turn["seconds"] for turn in first]
    rounds, rounds_of_first = ([statistics.median(turn["rounds"]) for turn in of] for of in (turns, first))
    return {
        "By": way,
        "A round": f"{1000 * statistics.median(rounds):,.1f} ms",
        "Ratio": _ratio(rounds, rounds_of_first),
        "Whole process": f"{statistics.median(whole):.2f} s",
        "Ratio of whole": _ratio(whole, of_first),
        "Testing loss": f"{statistics.fmean(turn['test_loss'] for turn in turns):.3f}",
        "Accuracy": f"{statistics.fmean(turn['test_accuracy'] for turn in turns):.1%}",
    }


def _ratio(seconds: list[float], of_first: list[float]) -> str:
    ratios = [of / first for of, first in zip(seconds, of_first, strict=True)]
    return f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"


if __name__ == "__main__":
    run_script(main)
