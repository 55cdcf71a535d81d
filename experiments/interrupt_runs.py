"""Stops runs at random moments, by kill -9, SIGTERM and SIGINT, and compares what resuming makes of them, to the bit.

For each kind of run (executor and algorithm) a reference is made once. Then each trial starts such a run, stops it,
resumes it, stops some of the resumed runs too, and lets the last one finish. Model and records must be the reference's,
and no process may outlive the run that started it. A stop comes at a moment drawn from the reference's length (half of
them only once the result folder exists), or the run kills itself in the middle of a write: a part of a file or of a
line is written, or all of it but not renamed yet, or it has just been renamed. ::

    python experiments/interrupt_runs.py --stops 200 --inside 30 --signals SIGKILL --out interrupted.jsonl

Lines of the file are trials; started again, the script makes those that are missing.
"""

import argparse
import json
import random
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from parts.interruptions import KINDS, Run, Where, shared_memory, stored_trials

from qiskit_fedqml import FedQMLError, RunResult

_WAYS = ("cut", "written", "renamed")


@dataclass(frozen=True)
class Reference:
    """A run of a kind that was not stopped.

    Args:
        result: Its result.
        seconds: How long it took in all.
        until_folder: How long until its folder was there.
    """

    result: RunResult
    seconds: float
    until_folder: float


@dataclass(frozen=True)
class Trial:
    """One interrupted run.

    Args:
        number: From 0.
        kind: The kind of run.
        stops: What stopped each start, and when: a signal and seconds, or SIGKILL and the write. The last start
            finished.
        rounds: How many rounds were stored after each stop.
        survivors: How many processes outlived the run that started them.
        same: Whether model and records are the reference's.
    """

    number: int
    kind: str
    stops: list[tuple[str, float | Where]]
    rounds: list[int]
    survivors: int
    same: bool


def make_reference(kind: str, rounds: int, folder: Path) -> Reference:
    """Run without a stop."""
    began = time.monotonic()
    run = Run("run", folder, rounds, KINDS[kind])
    run.wait(until=folder / "config.yaml")
    until_folder = time.monotonic() - began
    run.wait()
    return Reference(RunResult.load(folder), time.monotonic() - began, until_folder)


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


def has_begun(folder: Path) -> bool:
    """Return whether a result folder is there that can be resumed."""
    return (folder / "config.yaml").exists()


class Interruption:
    """One trial at work.

    Args:
        number: Its number.
        rng: Draws its stops.
        kind: The kind of run.
        reference: The run that was not stopped.
        folder: Where it goes.
    """

    def __init__(self, number: int, rng: random.Random, kind: str, reference: Reference, folder: Path) -> None:
        self.number, self.rng, self.kind, self.reference, self.folder = number, rng, kind, reference, folder
        self.rounds = len(reference.result.rounds)
        self.stops: list[tuple[str, float | Where]] = []
        self.stored: list[int] = []
        self.survivors = 0

    def start(self, dies: Where | None = None) -> Run:
        """Begin the run, or resume it."""
        command = "resume" if has_begun(self.folder) else "run"
        return Run(command, self.folder, self.rounds, KINDS[self.kind], dies)

    def stop_inside(self) -> bool:
        """Let the run kill itself in a write; return False if it finished before."""
        left = self.rounds - num_rounds(self.folder)
        where = (self.rng.randint(1, 2 * left + 4), self.rng.choice(_WAYS), round(self.rng.random(), 3))
        run = self.start(where)
        return self._ended(run, run.wait(), "SIGKILL", where)

    def stop_outside(self, kind: signal.Signals) -> bool:
        """Send the run a signal at a random moment; return False if it finished before."""
        of_folder = self.number % 2 == 1
        length = self.reference.seconds - (self.reference.until_folder if of_folder else 0.0)
        seconds = self.rng.uniform(0, length)
        run = self.start()
        if of_folder:
            run.wait(until=self.folder / "config.yaml")
        status = run.wait(seconds)
        if status is None:
            run.stop(kind)
            status = -kind
        return self._ended(run, status, kind.name, round(seconds, 3))

    def finish(self) -> Trial:
        """Let the run end, and compare it with the reference."""
        run = self.start()
        same = run.wait() == 0 and is_same(RunResult.load(self.folder), self.reference.result)
        self.survivors += len(run.survivors())
        if same:
            shutil.rmtree(self.folder)
        return Trial(self.number, self.kind, self.stops, self.stored, self.survivors, same)

    def _ended(self, run: Run, status: int | None, kind: str, where: float | Where) -> bool:
        self.survivors += len(run.survivors())
        if status == 0:
            return False
        self.stops.append((kind, where))
        self.stored.append(num_rounds(self.folder))
        return True


def interrupt(trial: Interruption, kinds: list[signal.Signals], *, inside: bool) -> Trial:
    """Stop a run one to three times, and let it end.

    Args:
        trial: The trial.
        kinds: The signals, taken in turns.
        inside: Whether it kills itself in writes; otherwise signals come at random moments.
    """
    for attempt in range(trial.rng.choice((1, 1, 2, 3))):
        kind = kinds[(trial.number + attempt) % len(kinds)]
        if not (trial.stop_inside() if inside else trial.stop_outside(kind)):
            break
    return trial.finish()


def count(trials: list[dict[str, Any]], *, inside: bool) -> int:
    """Return how many stops there were, inside a write or at other moments."""
    return sum(isinstance(where, list | tuple) == inside for trial in trials for _, where in trial["stops"])


def main() -> None:
    """Make the trials that are missing, and say what came of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stops", type=int, default=60, help="number of stops (default: %(default)s)")
    parser.add_argument("--inside", type=int, default=10, help="how many of them are in the middle of a write")
    parser.add_argument("--rounds", type=int, default=40, help="rounds of the run")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    names = ["SIGKILL", "SIGTERM", "SIGINT"]
    parser.add_argument("--signals", nargs="+", choices=names, default=names, help="what stops runs outside of writes")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), help="kinds of runs")
    parser.add_argument("--out", type=Path, help="file that holds the trials")
    parser.add_argument("--smallest", action="store_true", help="five stops of runs of four rounds, for tests")
    arguments = parser.parse_args()
    if arguments.smallest:
        arguments.stops, arguments.inside, arguments.rounds, arguments.out = 5, 2, 4, None
        arguments.signals = ["SIGKILL"]
    trials: list[dict[str, Any]] = list(stored_trials(arguments.out))
    before = shared_memory()
    with TemporaryDirectory() as scratch:
        _make(trials, arguments, Path(scratch))
    sys.exit(_summarised(trials, arguments, shared_memory() - before))


def _make(trials: list[dict[str, Any]], arguments: argparse.Namespace, scratch: Path) -> None:
    references: dict[str, Reference] = {}
    kinds, signals = arguments.kinds, [signal.Signals[name] for name in arguments.signals]
    outside = arguments.stops - arguments.inside
    while (more_inside := count(trials, inside=True) < arguments.inside) or count(trials, inside=False) < outside:
        number = len(trials)
        kind, is_outside_done = kinds[number % len(kinds)], count(trials, inside=False) >= outside
        if kind not in references:
            references[kind] = make_reference(kind, arguments.rounds, scratch / f"reference {len(references)}")
        rng = random.Random(f"{arguments.seed}/{number}")
        inside = more_inside and (is_outside_done or number % 4 < 2)
        trial = Interruption(number, rng, kind, references[kind], scratch / f"trial{number}")
        made = interrupt(trial, signals, inside=inside)
        trials.append(asdict(made))
        print(
            f"{number}, {kind}: {made.stops}, rounds stored {made.rounds}: {'same' if made.same else 'DIFFERENT'}",
            flush=True,
        )
        if arguments.out:
            with arguments.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(made)) + "\n")


def _summarised(trials: list[dict[str, Any]], arguments: argparse.Namespace, memory: set[str]) -> bool:
    """Print what came of the trials; return whether something is wrong."""
    signals = Counter(kind for trial in trials for kind, _ in trial["stops"])
    between = sum(0 < stored < arguments.rounds for trial in trials for stored in trial["rounds"])
    inside, survivors = count(trials, inside=True), sum(trial["survivors"] for trial in trials)
    print(
        f"{len(trials)} runs, {sum(signals.values())} stops ({dict(signals)}), {inside} of them inside a write, "
        f"{between} with some rounds stored"
    )
    differing = [trial["number"] for trial in trials if not trial["same"]]
    print(f"Runs that differ from the reference: {differing or 'none'}")
    print(f"Processes that outlived their run: {survivors}; files that stayed in shared memory: {len(memory)}")
    return bool(differing or survivors or memory)


if __name__ == "__main__":
    main()
