"""Time worker processes against one: a study of many runs, and the rounds of a federation with a wide head.

Each is done with one worker and with several, in turns, each process with one thread of torch's. The study trains the
digits on the machines of the noise study, and its whole process is timed; of the federation, its rounds after the
first, in which workers start, and the whole process too. Medians are printed, and whether the bits are equal::

    FEDQML_DATA=… python experiments/benchmark_workers.py
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from parts.command_line import EXPERIMENTS, ScriptParser, experiment_file, positive, run_script

from qiskit_fedqml import RunResult
from qiskit_fedqml.errors import TrainingError
from qiskit_fedqml.files import make_folder, write_text
from qiskit_fedqml.results.manifest import digest_of_file
from qiskit_fedqml.tables import duration, markdown_table

_RUN = "from qiskit_fedqml.cli import main; main()"
_STUDY = """
import sys
from pathlib import Path
from parts.noise_design import FULL
from qiskit_fedqml import load_experiment
from qiskit_fedqml.config.loading import parse_override
from qiskit_fedqml.study.study import Trial
from qiskit_fedqml.study.trials import run_trials
file, out, workers, seeds, *changes = sys.argv[1:]
changed = dict(map(parse_override, changes))
trials = [
    Trial(scheme, load_experiment(file, {**changed, "backends": backends, "seed": seed}))
    for seed in range(int(seeds))
    for scheme, backends in FULL.schemes().items()
]
run_trials(trials, Path(out), processes=int(workers), keep_models=True)
"""
STUDY, ROUNDS, WHOLE = (
    "study of {} runs on the digits, whole process",
    "a round of {}",
    "{} rounds of {}, whole process",
)


def timed(program: str, *arguments: str) -> float:
    """Run Python, one thread a process; return the seconds that it takes.

    Raises:
        TrainingError: It failed.
    """
    path = os.pathsep.join([str(EXPERIMENTS), str(EXPERIMENTS.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    started = time.perf_counter()
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TrainingError(f"A process that was timed failed: {done.stderr.strip()[-500:]}")
    return time.perf_counter() - started


def bits_of(folder: Path) -> list[str]:
    """Return what must be equal of all runs in a folder: their models, and their records without times."""
    runs = sorted(path.parent for path in folder.rglob("model.safetensors"))
    records = [str([record.without_times() for record in RunResult.load(run).rounds]) for run in runs]
    return [*(digest_of_file(run / "model.safetensors") for run in runs), *records]


def time_study(workers: int, seeds: int, rounds: int, changes: Sequence[str]) -> tuple[dict[str, float], list[str]]:
    """Return the seconds of the study, and its bits."""
    with TemporaryDirectory() as folder:
        changed = [f"federation.rounds={rounds}", *changes]
        seconds = timed(_STUDY, str(experiment_file("digits")), folder, str(workers), str(seeds), *changed)
        bits = bits_of(Path(folder))
    return {STUDY.format(len(bits) // 2): seconds}, bits


def time_run(workers: int, file: Path, rounds: int, changes: Sequence[str]) -> tuple[dict[str, float], list[str]]:
    """Return the seconds of a run and of its rounds, and its bits."""
    changed = [word for change in (f"federation.rounds={rounds}", *changes) for word in ("--set", change)]
    with TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        whole = timed(_RUN, "run", str(file), "--out", str(out), "--workers", str(workers), *changed)
        records, bits = RunResult.load(out).rounds, bits_of(out)
    mean = statistics.fmean(record.seconds for record in records[1:])  # rounds overlap: their times add up
    return {ROUNDS.format(file.stem): mean, WHOLE.format(rounds, file.stem): whole}, bits


def row(what: str, found: dict[int, list[dict[str, float]]]) -> dict[str, str]:
    """Return a row of the table: medians, and the median of the ratios of the pairs with their range."""
    one, several = ([times[what] for times in of] for of in found.values())
    ratios = [before / after for before, after in zip(one, several, strict=True)]
    names = ["1 worker" if workers == 1 else f"{workers} workers" for workers in found]
    shown = [_shown(statistics.median(of)) for of in (one, several)]
    ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return {"Timed": what, **dict(zip(names, shown, strict=True)), "Times as fast": ratio}


def _shown(seconds: float) -> str:
    return duration(seconds) if seconds >= 10 else f"{seconds:.3f} s"


def main() -> None:
    """Measure in turns, and print."""
    few = ["data.test_fraction=0.8", "federation.clients=6", "federation.clients_per_round=2"]
    smallest = {"turns": 1, "experiment": "digits", "rounds": 2, "study_rounds": 1, "seeds": 1, "set": few}
    parser = ScriptParser(__file__, __doc__, smallest=smallest)
    parser.add_argument("experiment", nargs="?", default="planes_vs_cars_256", help="the federation (%(default)s)")
    parser.add_argument("--workers", type=positive, default=2, help="worker processes, from 2 (default: %(default)s)")
    parser.add_argument("--turns", type=positive, default=3, help="times that each is run (default: %(default)s)")
    parser.add_argument("--rounds", type=positive, default=40, help="of the federation, from 2 (default: %(default)s)")
    parser.add_argument("--study-rounds", type=positive, default=40, help="of each run of the study (%(default)s)")
    parser.add_argument("--seeds", type=positive, default=3, help="of the study (default: %(default)s)")
    parser.add_settings()
    arguments = parser.parse_args()
    if arguments.workers < 2 or arguments.rounds < 2:
        parser.error("--workers and --rounds must be at least 2")
    changes = [f"{key}={json.dumps(value)}" for key, value in arguments.set.items()]
    file = experiment_file(arguments.experiment)
    found: dict[int, list[dict[str, float]]] = {1: [], arguments.workers: []}
    bits = []
    for _ in range(arguments.turns):
        for workers, times in found.items():
            study, of_study = time_study(workers, arguments.seeds, arguments.study_rounds, changes)
            run, of_run = time_run(workers, file, arguments.rounds, changes)
            times.append(study | run)
            bits.append((of_study, of_run))
    print(markdown_table([row(what, found) for what in found[1][0]]))
    are_equal = [all(each[place] == bits[0][place] for each in bits) for place in (0, 1)]
    print(f"Bits: {'equal' if all(are_equal) else 'NOT EQUAL'} in {len(bits)} studies and {len(bits)} runs.")
    make_folder(arguments.out)
    lines = [json.dumps({"workers": workers, **times}) for workers, of in found.items() for times in of]
    write_text(arguments.out / "workers.jsonl", "\n".join(lines) + "\n")
    if not all(are_equal):
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)
