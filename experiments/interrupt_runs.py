"""Stops runs at random moments, by kill -9, SIGTERM and SIGINT, and compares what resuming makes of them, to the bit.

A reference run is made once. Then each trial starts the same run, stops it at a moment drawn from the reference's
length (half of them only once the result folder exists), resumes it, stops some of the resumed runs too, and lets the
last one finish. Model and records must be the reference's::

    python experiments/interrupt_runs.py --stops 60 --out interrupted.jsonl

Lines of the file are trials; started again, the script makes those that are missing.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from qiskit_fedqml import FedQMLError, RunResult

HERE = Path(__file__).resolve().parent
SETTINGS = (
    "federation.client_optimizer_state=keep",
    "aggregation.server_optimizer={method: fedadam}",
    "backends={backends: {ideal: {type: aer}, noisy: {type: aer, noise: {readout: 0.05}, shots: 64}}, "
    "assignment: {default: {cycle: [ideal, noisy]}}}",
)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_LONGEST_SECONDS = 300


@dataclass(frozen=True)
class Trial:
    """One interrupted run.

    Args:
        number: From 0.
        stops: Each start's signal and the moment at which it came, in seconds; the last start finished.
        rounds: How many rounds were stored after each stop.
        same: Whether model and records are the reference's.
    """

    number: int
    stops: list[tuple[str, float]]
    rounds: list[int]
    same: bool


def start(command: str, folder: Path, rounds: int) -> subprocess.Popen[bytes]:
    """Start a run, or resume one."""
    arguments = [command, str(folder)]
    if command == "run":
        settings = [f"federation.rounds={rounds}", *SETTINGS]
        arguments = ["run", str(HERE / "digits.yaml"), "--out", str(folder)]
        arguments += [part for setting in settings for part in ("--set", setting)]
    # A process that was started in the background would ignore Ctrl-C, and so would its children.
    script = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    script += "from qiskit_fedqml.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def stopped(process: subprocess.Popen[bytes], number: signal.Signals, seconds: float, after: Path | None) -> bool:
    """Stop a process after some seconds, counted from when a file is there if one is given; return whether it ran."""
    began = time.monotonic()
    while after is not None and not after.exists() and process.poll() is None:
        time.sleep(0.005)
        if time.monotonic() - began > _LONGEST_SECONDS:
            raise TimeoutError("the run makes no folder")
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        process.wait(timeout=_LONGEST_SECONDS)
        return True
    return False


def num_rounds(folder: Path) -> int:
    """Return how many rounds a folder proves; 0 where the run had not begun."""
    try:
        return len(RunResult.load(folder).rounds)
    except FedQMLError:
        return 0


def is_same(a: RunResult, b: RunResult) -> bool:
    """Return whether two runs have the same model and records, times apart."""
    return (
        [r.without_times() for r in a.rounds] == [r.without_times() for r in b.rounds]
        and a.state.keys() == b.state.keys()
        and all(torch.equal(a.state[name], b.state[name]) for name in a.state)
    )


def interrupt(number: int, seed: int, reference: RunResult, lengths: tuple[float, float], parent: Path) -> Trial:
    """Make one trial.

    Args:
        number: Its number.
        seed: Of the moments.
        reference: The run that was not stopped.
        lengths: Seconds that the reference took in all, and until its folder was there.
        parent: Where the trial's folder goes.
    """
    rng = random.Random(f"{seed}/{number}")
    folder, rounds = parent / f"trial{number}", len(reference.rounds)
    stops: list[tuple[str, float]] = []
    stored: list[int] = []
    for attempt in range(rng.choice((1, 1, 2, 3))):
        kind = SIGNALS[(number + attempt) % len(SIGNALS)]
        has_begun = (folder / "config.yaml").exists()
        of_folder = folder / "config.yaml" if number % 2 else None
        seconds = rng.uniform(0, (lengths[0] - lengths[1]) * 1.1 if of_folder else lengths[0])
        process = start("resume" if has_begun else "run", folder, rounds)
        while not stopped(process, kind, seconds, of_folder) and not stops:  # it was faster than the reference
            shutil.rmtree(folder)
            seconds /= 2
            process = start("run", folder, rounds)
        if process.returncode == 0:
            break
        stops.append((kind.name, round(seconds, 3)))
        stored.append(num_rounds(folder))
    process = start("resume" if (folder / "config.yaml").exists() else "run", folder, rounds)
    process.wait(timeout=_LONGEST_SECONDS)
    same = process.returncode == 0 and is_same(RunResult.load(folder), reference)
    if same:
        shutil.rmtree(folder)
    return Trial(number, stops, stored, same)


def main() -> None:
    """Make the trials that are missing, and say what came of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stops", type=int, default=60, help="number of trials, each stopped at least once")
    parser.add_argument("--rounds", type=int, default=40, help="rounds of the run")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, help="file that holds the trials")
    parser.add_argument("--smallest", action="store_true", help="two trials of three rounds, for tests")
    arguments = parser.parse_args()
    if arguments.smallest:
        arguments.stops, arguments.rounds, arguments.out = 2, 3, None
    trials = (
        [json.loads(line) for line in arguments.out.read_text().splitlines()]
        if (arguments.out and arguments.out.exists())
        else []
    )
    with TemporaryDirectory() as scratch:
        parent, began = Path(scratch), time.monotonic()
        process, until_folder = start("run", parent / "reference", arguments.rounds), 0.0
        while process.poll() is None:
            if not until_folder and (parent / "reference" / "config.yaml").exists():
                until_folder = time.monotonic() - began
            time.sleep(0.005)
        reference, lengths = RunResult.load(parent / "reference"), (time.monotonic() - began, until_folder)
        for number in range(len(trials), arguments.stops):
            trial = interrupt(number, arguments.seed, reference, lengths, parent)
            trials.append(asdict(trial))
            print(f"{number}: {trial.stops}, rounds stored {trial.rounds}: {'same' if trial.same else 'DIFFERENT'}")
            if arguments.out:
                with arguments.out.open("a") as file:
                    file.write(json.dumps(asdict(trial)) + "\n")
    signals = Counter(kind for trial in trials for kind, _ in trial["stops"])
    inside = sum(0 < stored < arguments.rounds for trial in trials for stored in trial["rounds"])
    print(f"{len(trials)} runs, {sum(signals.values())} stops ({dict(signals)}), {inside} of them between rounds")
    differing = [trial["number"] for trial in trials if not trial["same"]]
    print(f"Runs that differ from the reference: {differing or 'none'}")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
