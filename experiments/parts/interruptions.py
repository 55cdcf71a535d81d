"""Runs that are stopped from outside, or by themselves in the middle of a write; what remains of them is looked at."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
LONGEST_SECONDS = 300

_ARRAY = (
    "backends={backends: {ideal: {type: aer}, noisy: {type: aer, noise: {readout: 0.05}, shots: 64}}, "
    "assignment: {default: {cycle: [ideal, noisy]}}}"
)
_KEPT = ("federation.client_optimizer_state=keep", "aggregation.server_optimizer={method: fedadam}", _ARRAY)

_BUFFERED = (
    "federation.algorithm={buffered: {buffer: 2}}",
    "scheduling={queue: {lognormal: {median_seconds: 900, sigma: 1.5}}, policy: expected_queue}",
)

KINDS: dict[str, tuple[str, ...]] = {
    "serial": _KEPT,
    "two workers": (*_KEPT, "federation.workers=2"),
    "FedAvg, a checkpoint every third round": (_ARRAY, "checkpoints={keep: 1, every: 3}"),
    "lockstep": (*_KEPT, "federation.lockstep=auto"),
    "lockstep in two workers": (*_KEPT, "federation.lockstep=2", "federation.workers=2"),
    "buffered": (_ARRAY, *_BUFFERED),
    "buffered, two workers": (_ARRAY, *_BUFFERED, "federation.workers=2"),
}
"""Settings by the executor and algorithm that they choose."""

_PROGRAM = """
import signal

signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background Ctrl-C would be ignored
{dying}
from qiskit_fedqml.cli import main

main()
"""

_DYING = """
import itertools, os
from pathlib import Path

from qiskit_fedqml.results import record_log

number, way, part = {where!r}
writes, replace, append = itertools.count(1), Path.replace, record_log.RecordLog.append


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def replaced(self, target):
    if next(writes) != number:
        return replace(self, target)
    if way == "cut":  # as if not all of it had been written
        os.truncate(self, int(part * self.stat().st_size))
    elif way == "renamed":
        replace(self, target)
    die()


def appended(self, record):
    if next(writes) != number:
        return append(self, record)
    line = record_log.line_of(record)
    with self.path.open("ab") as file:
        file.write(line if way == "renamed" else line[: int(part * len(line))])
    die()


Path.replace, record_log.RecordLog.append = replaced, appended
"""
"""Makes a process kill itself in one of its writes: of a file that is replaced, or of a line of the records."""

Where = tuple[int, str, float]
"""The write, from 1; ``cut`` (partly written), ``written`` (not yet renamed) or ``renamed``; and how large a part."""


@dataclass
class Run:
    """A run at work in a process of its own.

    Args:
        command: ``run`` or ``resume``.
        folder: The result folder.
        rounds: Rounds of a run that begins.
        settings: Its settings.
        dies: In which write it kills itself, if in any.
    """

    command: str
    folder: Path
    rounds: int
    settings: tuple[str, ...]
    dies: Where | None = None
    _children: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Start the process."""
        arguments = [self.command, str(self.folder)]
        if self.command == "run":
            settings = [f"federation.rounds={self.rounds}", *self.settings]
            arguments = ["run", str(HERE / "digits.yaml"), "--out", str(self.folder)]
            arguments += [part for setting in settings for part in ("--set", setting)]
        program = _PROGRAM.format(dying=_DYING.format(where=self.dies) if self.dies else "")
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def wait(self, seconds: float = LONGEST_SECONDS, until: Path | None = None) -> int | None:
        """Wait until the process ends, a file is there, or some seconds are over.

        Returns:
            The exit status, or None while it runs.
        """
        began = time.monotonic()
        while self._process.poll() is None and time.monotonic() - began < seconds:
            if until is not None and until.exists():
                break
            with suppress(OSError):
                children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
                self._children |= set(map(int, children.split()))
            time.sleep(0.005)
        return self._process.poll()

    def stop(self, number: signal.Signals) -> None:
        """Send a signal, and wait until the process has ended."""
        self._process.send_signal(number)
        self._process.wait(LONGEST_SECONDS)

    def survivors(self, seconds: float = 60.0) -> list[int]:
        """Return the ids of processes that it started and that have not ended some seconds after it."""
        until = time.monotonic() + seconds
        while (alive := [pid for pid in self._children if _runs(pid)]) and time.monotonic() < until:
            time.sleep(0.02)
        return alive


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def shared_memory() -> set[str]:
    """Return the names of torch's files in shared memory."""
    with suppress(OSError):
        return {path.name for path in Path("/dev/shm").glob("torch_*")}
    return set()


def stored_trials(path: Path | None) -> Iterator[dict[str, object]]:
    """Give the trials that a file holds, if there is one."""
    if path is not None and path.exists():
        yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())
