"""Wrong input of every kind, given to the package as a user would: each must be refused in a sentence, or work.

A finding is an exception that is none of the package's, more than 10 seconds (``--seconds``), more than 4 GiB, a
message too long to be read, or, for a result folder, anything but a refusal or exactly what the whole folder gives::

    python experiments/fuzz.py --inputs 3000 --seed 1          # all kinds; ends with 1 if there is a finding
    python experiments/fuzz.py --kind npz --seed 1 --only 17   # one of them again, with the whole traceback
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

MOST_SECONDS = 10.0
MOST_BYTES = 4 * 2**30
WEIGHTS = {
    "experiment": 5,
    "backends": 4,
    "trace": 2,
    "--set": 4,
    "paths": 3,
    "npz": 4,
    "images": 3,
    "weights": 3,
    "calibration": 3,
    "results": 6,
    "checkpoints": 3,
    "nodes": 3,
    "updates": 6,
}
"""How many inputs each kind has of all."""


@dataclass(frozen=True)
class Outcome:
    """What came of an input.

    Args:
        kind: The kind.
        number: Which of the kind's inputs.
        change: What was done to it.
        result: ``"refused"``, ``"accepted"`` or ``"finding"``.
        detail: The error's text, or the traceback's end.
        seconds: How long it took.
    """

    kind: str
    number: int
    change: str
    result: str
    detail: str = ""
    seconds: float = 0.0


class TooLongError(BaseException):
    """The time is up; no `except Exception` holds it."""


def kinds() -> dict[str, Any]:
    """Return all kinds of input by name."""
    from parts import (
        fuzz_calibrations,
        fuzz_checkpoints,
        fuzz_documents,
        fuzz_images,
        fuzz_nodes,
        fuzz_npz,
        fuzz_paths,
        fuzz_results,
        fuzz_updates,
        fuzz_weights,
    )

    modules = (
        *(fuzz_documents, fuzz_paths, fuzz_npz, fuzz_images, fuzz_weights, fuzz_calibrations, fuzz_results),
        *(fuzz_checkpoints, fuzz_nodes, fuzz_updates),
    )
    return {name: kind for module in modules for name, kind in module.KINDS.items()}


@contextlib.contextmanager
def limits(seconds: float, num_bytes: int = MOST_BYTES) -> Iterator[None]:
    """Let what runs inside take so many seconds, and so many bytes more than the process has, at most."""

    def stop(_: int, frame: FrameType | None) -> NoReturn:
        raise TooLongError

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (used + num_bytes, hard))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _without_network() -> Iterator[None]:
    from unittest import mock

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise OSError("the fuzzer has no network")

    with mock.patch("socket.socket.connect", refuse), mock.patch("socket.getaddrinfo", refuse):
        yield


def base_of(kind: str, folder: Path) -> Path:
    """Return the folder of a kind's whole input, which is made at its first use."""
    base = folder / f"base of {kind.strip('-')}"
    if not (base / "ready").exists():
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir(parents=True)
        kinds()[kind].prepare(base)
        (base / "ready").touch()
    return base


def attempt(
    kind: str,
    number: int,
    seed: int,
    folder: Path,
    *,
    most_seconds: float,
    show: bool = False,
    started_now: Callable[[], None] = lambda: None,
) -> Outcome:
    """Make an input and give it to the package, in this process.

    Args:
        kind: The kind.
        number: Which of the kind's inputs.
        seed: From which, with kind and number, the input derives.
        folder: Where whole inputs and this one are written.
        most_seconds: How long the package may take.
        show: Whether the whole traceback of a finding is wanted, and the input is kept.
        started_now: Called when the input is made and its time begins.
    """
    from parts.fuzz_cases import DifferentError, check_message

    from qiskit_fedqml import FedQMLError

    base, place = base_of(kind, folder), folder / "case"
    _clear(place)
    place.mkdir()
    case = kinds()[kind].make(random.Random(f"{seed}/{kind}/{number}"), base, place)
    started_now()
    started = time.perf_counter()
    result, detail = "accepted", ""
    try:
        with limits(most_seconds), _without_network():
            case.run()
    except FedQMLError as error:
        result, detail = "refused", str(error)
        try:
            check_message(error)
        except DifferentError as wrong:
            result, detail = "finding", str(wrong)
    except SystemExit:
        result = "refused"
    except TooLongError:
        result, detail = "finding", f"longer than {most_seconds:g} s: {_last_line(show=show)}"
    except BaseException as error:
        detail = f"{type(error).__name__}: {str(error)[:160]} {_last_line(show=show)}"
        result = "finding"
    seconds = time.perf_counter() - started
    if not show:
        _clear(place)
    return Outcome(kind, number, case.change, result, " ".join(detail.split()) if not show else detail, seconds)


def _clear(place: Path) -> None:
    shutil.rmtree(os.fsencode(place), ignore_errors=True)


def _last_line(*, show: bool) -> str:
    """Return where in the package the exception that is handled now came from."""
    if show:
        return traceback.format_exc()
    frames = traceback.extract_tb(sys.exc_info()[2])
    own = [frame for frame in frames if "qiskit_fedqml" in frame.filename]
    return f"({Path(own[-1].filename).name}:{own[-1].lineno} {own[-1].name})" if own else ""


def _work(pipe: Connection, seed: int, folder: Path, most_seconds: float) -> None:
    """Attempt one input after another, in a process of its own."""
    import logging
    import warnings

    logging.disable()
    warnings.simplefilter("ignore")
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    while True:
        kind, number = pipe.recv()
        pipe.send(
            attempt(kind, number, seed, folder, most_seconds=most_seconds, started_now=lambda: pipe.send("started"))
        )


class Worker:
    """A process that attempts inputs, and is killed and replaced where one does not end.

    Args:
        seed: The seed of all inputs.
        folder: Where inputs are written.
        most_seconds: How long the package may take for one.
    """

    def __init__(self, seed: int, folder: Path, most_seconds: float) -> None:
        self._seed, self._folder, self._most_seconds = seed, folder, most_seconds
        self._process: multiprocessing.Process | None = None
        self._pipe: Any = None

    def attempt(self, kind: str, number: int) -> Outcome:
        """Return what comes of an input."""
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, other = context.Pipe()
            arguments = (other, self._seed, self._folder, self._most_seconds)
            self._process = context.Process(target=_work, args=arguments, daemon=True)
            self._process.start()
            other.close()
        self._pipe.send((kind, number))
        try:
            assert self._pipe.recv() == "started"
            if self._pipe.poll(self._most_seconds + 5):
                return self._pipe.recv()
            change = f"longer than {self._most_seconds:g} s, and had to be killed"
        except EOFError:
            self._process.join()
            change = f"the process died with code {self._process.exitcode}"
        self.close()
        return Outcome(kind, number, "(run it alone with --only to see it)", "finding", change, self._most_seconds)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def numbers(inputs: int, chosen: Sequence[str]) -> dict[str, int]:
    """Return how many inputs each kind has."""
    total = sum(WEIGHTS[kind] for kind in chosen)
    return {kind: max(1, round(inputs * WEIGHTS[kind] / total)) for kind in chosen}


def rows(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """Return a row for each kind, and one for all."""
    found = []
    for kind in [*dict.fromkeys(o.kind for o in outcomes), "all"]:
        some = [o for o in outcomes if kind in (o.kind, "all")]
        count = Counter(o.result for o in some)
        slowest = max(some, key=lambda o: o.seconds)
        found.append(
            {
                "Kind": kind,
                "Inputs": str(len(some)),
                **{name.capitalize(): str(count[name]) for name in ("refused", "accepted")},
                "Findings": str(count["finding"]),
                "Mean time": f"{1000 * sum(o.seconds for o in some) / len(some):.0f} ms",
                "Longest": f"{slowest.seconds:.1f} s (input {slowest.number})",
            }
        )
    return found


def main() -> int:
    """Run the fuzzer; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=3000, help="how many inputs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all inputs (default: %(default)s)")
    parser.add_argument("--kind", action="append", choices=list(WEIGHTS), help="only this kind; may be repeated")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="only this input of the kind, with its traceback")
    parser.add_argument(
        "--seconds", type=float, default=MOST_SECONDS, help="what an input may take (default: %(default)g)"
    )
    parser.add_argument("--all", action="store_true", help="print every input with what came of it")
    parser.add_argument("--smallest", action="store_true", help="60 inputs, and time enough, for tests")
    arguments = parser.parse_args()
    if arguments.smallest:
        arguments.inputs, arguments.seconds = 60, 60.0  # a busy machine is no finding
    chosen = arguments.kind or list(WEIGHTS)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    if arguments.only is not None:
        outcome = attempt(chosen[0], arguments.only, arguments.seed, folder, most_seconds=arguments.seconds, show=True)
        print(f"{outcome.change}\n{outcome.result} in {outcome.seconds:.2f} s: {outcome.detail}")
        print(f"The input: {folder / 'case'}")
        return int(outcome.result == "finding")
    outcomes = []
    worker = Worker(arguments.seed, folder, arguments.seconds)
    try:
        for kind, count in numbers(arguments.inputs, chosen).items():
            for number in range(count):
                outcomes.append(outcome := worker.attempt(kind, number))
                if outcome.result == "finding" or arguments.all:
                    print(f"{kind} {number}: {outcome.change}\n    {outcome.result}: {outcome.detail}", flush=True)
    finally:
        worker.close()
        shutil.rmtree(folder, ignore_errors=True)
    from qiskit_fedqml.tables import markdown_table

    print(f"\n{markdown_table(rows(outcomes))}")
    findings = [o for o in outcomes if o.result == "finding"]
    if findings:
        one = findings[0]
        print(f"One again: python experiments/fuzz.py --kind {one.kind} --seed {arguments.seed} --only {one.number}")
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main())
