"""Time federations of many small clients: thousands of trainings a run, and rounds among up to a million clients.

The data are made here: 64 features around a centre of each of four classes. Every measurement is a process of its own;
times and memory are those of the whole process, start-up included. Processor time is that of all its cores together;
other work on the machine hardly changes it.

*Trainings*: in each round some of the clients train one epoch of batches of 4 on 5 examples of their own, through a
head of width 8 and the paper's circuit, on an array of simulated machines with noise and 1,024 shots. The ways are
one client after another, and together where this version can (`federation.lockstep`), in one process and in two::

    python experiments/benchmark_many_clients.py

*Growth*: five rounds among 10 to 1,000,000 clients, of one example of 8 features each, 50 clients a round and 5,000 a
round where there are so many, in a noiseless federation. Peak memory and the time to the first round are drawn, and
the time of a round.
"""

import csv
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from parts.client_growth import growth_figure
from parts.command_line import ScriptParser, positive, run_script

from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.results.provenance import versions
from qiskit_fedqml.tables import markdown_table

DEVICES = ("FakeManilaV2", "FakeBelemV2", "FakeLimaV2", "FakeQuitoV2")
CLASSES = 4
SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
FEW, MANY = 50, 5_000
"""Clients of a round while the federation grows."""

_RUN = """
import gc, json, sys, time
begun = float(sys.argv[1])
gc.set_threshold(1_000_000, 10, 50)  # as `fedqml` has it, and what it does at the end
from qiskit_fedqml import load_experiment, run_federation

class Clock:
    started, ended = [], []
    def __getattr__(self, name):
        kept = {"round_started": self.started, "round_finished": self.ended}.get(name, [])
        return lambda *about: kept.append((time.time() - begun, time.process_time()))

clock = Clock()
experiment = load_experiment(sys.argv[2], json.loads(sys.argv[3]))
result = run_federation(experiment, sys.argv[4], observer=clock)
seconds, processor = zip(clock.started[0], *clock.ended)
print(json.dumps({
    "start_seconds": seconds[0],
    "start_processor_seconds": processor[0],
    "round_seconds": [after - before for before, after in zip(seconds, seconds[1:])],
    "round_processor_seconds": [after - before for before, after in zip(processor, processor[1:])],
    "test_loss": result.rounds[-1].test_loss,
    "test_accuracy": result.rounds[-1].test_accuracy,
}))
gc.freeze()
"""


def write_data(path: Path, num_examples: int, num_features: int) -> None:
    """Write examples of four classes, and 500 for testing."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLASSES, num_features)).astype(np.float32)
    arrays = {}
    for part, count in (("train", num_examples), ("test", 500)):
        labels = rng.integers(CLASSES, size=count)
        noise = rng.standard_normal((count, num_features), dtype=np.float32)
        arrays |= {f"x_{part}": centres[labels] + 2 * noise, f"y_{part}": labels}
    np.savez(path, **arrays)


def measure(folder: Path, settings: Mapping[str, Any], checkout: Path | None = None) -> dict[str, Any]:
    """Run a federation of the data in a folder, in a process of its own; return its times and peak memory.

    Args:
        folder: Has the data.
        settings: Values of the experiment by dotted key.
        checkout: Another checkout, whose package runs with the environment as it is; None runs this one's.
    """
    file = folder / "experiment.yaml"
    file.write_text("data: {dataset: npz, path: data.npz}\nmodel: {hidden: [8], dropout: 0.0}\n", encoding="utf-8")
    settings = {"data.path": str(folder / "data.npz"), **settings}
    with TemporaryDirectory() as out:
        started, clock = time.perf_counter(), time.time()
        command = [sys.executable, "-c", _RUN, str(clock), str(file), json.dumps(settings), f"{out}/run"]
        environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}  # as `fedqml` has it
        if checkout is not None:
            environment = {**os.environ, "PYTHONPATH": str(checkout)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            printed = process.stdout.read()
            _, code, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(code)
        seconds = time.perf_counter() - started
        if process.returncode:
            raise RuntimeError(f"A run with {dict(settings)} ended with {process.returncode}.")
        size = sum(file.stat().st_size for file in Path(out).rglob("*") if file.is_file())
    found = json.loads(printed.splitlines()[-1])
    processor = usage.ru_utime + usage.ru_stime  # also of the workers that it waited for
    return {
        **found,
        "seconds": seconds,
        "processor_seconds": processor,
        "peak_memory_bytes": usage.ru_maxrss * 1024,
        "folder_bytes": size,
    }


def trainings(
    folder: Path, clients: int, chosen: int, rounds: int, turns: int, against: Path | None
) -> list[dict[str, Any]]:
    """Time each way to train many small clients, in turns; another checkout's way is the first."""
    write_data(folder / "data.npz", 5 * clients, 64)
    machines = {name: {"type": "aer", "noise": name, "shots": 1024} for name in DEVICES}
    backends = {"ideal": {"type": "aer"}, **machines}
    federation = {"clients": clients, "clients_per_round": chosen, "rounds": rounds, "batch_size": 4}
    settings: dict[str, Any] = {f"federation.{key}": value for key, value in federation.items()}
    settings["backends"] = {"backends": backends, "assignment": {"default": {"cycle": list(machines)}}}
    rows: list[dict[str, Any]] = []
    for turn in range(-1, turns):  # the first turn fills the caches of compiled code and is not counted
        ways: list[tuple[str, dict[str, Any], Path | None]] = [(way, changes, None) for way, changes in _ways()]
        if against is not None:
            ways = [("the other checkout, one process", {}, against), *ways]
        for way, changes, checkout in ways:
            few = {"federation.rounds": 1} if turn < 0 else {}
            found = measure(folder, {**settings, **changes, **few}, checkout)
            if turn >= 0:
                rows.append({"way": way, "clients": clients, "trainings": chosen * rounds, **found})
    return rows


def _ways() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the ways that this version of the package has, the usual one first."""
    can_together = "lockstep" in FederationConfig.model_fields
    for workers, processes in ((1, "one process"), (2, "two processes")):
        yield f"one after another, {processes}", {"federation.workers": workers}
        if can_together:
            yield f"together, {processes}", {"federation.workers": workers, "federation.lockstep": "auto"}


def growth(folder: Path, sizes: Sequence[int], few: int, many: int) -> list[dict[str, Any]]:
    """Measure rounds of few and of many clients as federations grow."""
    rows = []
    for clients in sizes:
        write_data(folder / "data.npz", max(clients, 2 * CLASSES), 8)
        for chosen in sorted({min(few, clients), many} if clients >= many else {min(few, clients)}):
            federation: dict[str, Any] = {"clients": clients, "clients_per_round": chosen, "rounds": 5}
            if "lockstep" in FederationConfig.model_fields:
                federation["lockstep"] = "auto"
            found = measure(folder, {f"federation.{key}": value for key, value in federation.items()})
            for name in ("round_seconds", "round_processor_seconds"):
                found[f"median_{name}"] = statistics.median(found[name][1:])
            rows.append({"clients": clients, "chosen": chosen, **found})
            print(
                f"{clients:>9,} clients, {chosen:>5,} a round: starts in {found['start_seconds']:.1f} s "
                f"(processor {found['start_processor_seconds']:.1f} s), a round takes "
                f"{found['median_round_seconds']:.3f} s, {found['peak_memory_bytes'] / 2**30:.2f} GiB",
                flush=True,
            )
    return rows


def main() -> None:
    """Measure, print, draw, and write the figures."""
    smallest = {"clients": 40, "chosen": 6, "rounds": 2, "turns": 1, "sizes": [10, 100], "few": 5, "many": 20}
    parser = ScriptParser(__file__, __doc__, smallest=smallest)
    parser.add_argument("--clients", type=positive, default=100_000, help="that train (default: %(default)s)")
    parser.add_argument("--chosen", type=positive, default=100, help="of them a round (default: %(default)s)")
    parser.add_argument("--rounds", type=positive, default=100, help="of trainings (default: %(default)s)")
    parser.add_argument("--turns", type=positive, default=1, help="times that each way is run (default: %(default)s)")
    parser.add_argument("--sizes", type=positive, nargs="+", default=list(SIZES), help="of the federation that grows")
    parser.add_argument("--few", type=positive, default=FEW, help="clients of its rounds (default: %(default)s)")
    parser.add_argument("--many", type=positive, default=MANY, help="or so many (default: %(default)s)")
    parser.add_argument("--against", type=Path, help="another checkout, whose trainings are timed first in each turn")
    parser.add_argument("--only", choices=["trainings", "growth"], help="one of the two parts")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    against = options.against.absolute() if options.against else None
    with TemporaryDirectory() as name:
        folder = Path(name)
        if options.only != "growth":
            rows = trainings(folder, options.clients, options.chosen, options.rounds, options.turns, against)
            print(markdown_table(_compared(rows)), flush=True)
            _write(options.out / "trainings.jsonl", rows)
        if options.only != "trainings":
            rows = growth(folder, options.sizes, options.few, options.many)
            save_figure(growth_figure(rows), options.out / "growth")
            _write_table(options.out / "growth.csv", rows)
    print(f"\nFigures: {options.out}")


def _compared(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return a table of the ways: medians, and how many times faster than the first of the same turn."""
    ways = list(dict.fromkeys(row["way"] for row in rows))
    seconds = {way: [row["seconds"] for row in rows if row["way"] == way] for way in ways}
    table = []
    for way in ways:
        ratios = [first / of for first, of in zip(seconds[ways[0]], seconds[way], strict=True)]
        of_way = [row for row in rows if row["way"] == way]
        table.append(
            {
                f"{of_way[0]['trainings']:,} trainings": way,
                "Whole process": f"{statistics.median(seconds[way]):.1f} s",
                "Times faster": f"{statistics.median(ratios):.2f}",
                "Processor": f"{statistics.median(row['processor_seconds'] for row in of_way):.1f} s",
                "Start": f"{statistics.median(row['start_seconds'] for row in of_way):.1f} s",
                "A round": f"{1000 * statistics.median(s for row in of_way for s in row['round_seconds']):.0f} ms",
                "Testing loss": f"{statistics.fmean(row['test_loss'] for row in of_way):.3f}",
                "Peak memory": f"{max(row['peak_memory_bytes'] for row in of_way) / 2**30:.2f} GiB",
            }
        )
    return table


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    facts = {"command": "python " + " ".join(sys.argv), "versions": versions()}
    write_text(path, "".join(json.dumps({**row, **facts}) + "\n" for row in rows))


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        names = [f"{of}{kind}_seconds" for of in ("start", "median_round") for kind in ("", "_processor")]
        table.writerow(["clients", "clients_per_round", *names, "peak_memory_bytes"])
        for row in rows:
            times = [f"{row[name]:.4f}" for name in names]
            table.writerow([row["clients"], row["chosen"], *times, row["peak_memory_bytes"]])


if __name__ == "__main__":
    run_script(main)
