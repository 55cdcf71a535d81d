"""One worker process, as the process that started it sees it."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from qiskit_fedqml.workers.memory import Memory, Rooms
from qiskit_fedqml.workers.messages import Answer, Memories, Setup

_PROGRAM = "qiskit_fedqml.workers.program"
_ENVIRONMENT = {
    # glibc keeps the memory of a client's tensors for the next client's; to get it again takes a fifth of the time
    **{"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(1 << 25)},
    # torch's threads sleep while they wait, as those of a command do: other workers need the cores
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""What a worker's process is started with, unless the user's environment says something else."""
_END_SECONDS = 5.0
"""How long a worker gets to end by itself."""


class DeathError(Exception):
    """A worker's process has died."""


class WorkerProcess:
    """A process that works on one order at a time.

    Args:
        setup: What it is set up with.
        common: Shared memory that all workers read.
    """

    def __init__(self, setup: Setup, common: Memory) -> None:
        self.memories = Memories(common, Memory(), Memory())
        self.rooms = Rooms(self.memories.outbox)
        files = [common.file, self.memories.inbox.file, self.memories.outbox.file]
        here, there = socket.socketpair()
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _PROGRAM, *map(str, (there.fileno(), *files))],
                env={**_ENVIRONMENT, **os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                pass_fds=[there.fileno(), *files],
                start_new_session=True,  # so that Ctrl-C reaches this process alone, which stops the others
            )
        self.connection: Connection[Any, Any] = Connection(here.detach())
        self.send(setup)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def send(self, message: Any) -> None:
        """Send something; of a process that has died this shows when its answer is read."""
        with suppress(ConnectionError):
            self.connection.send(message)

    def receive(self) -> Answer:
        """Return the next answer.

        Raises:
            DeathError: The process has died.
        """
        try:
            answer: Answer = self.connection.recv()
        except (EOFError, ConnectionError) as error:
            raise self._death() from error
        return answer

    def ask_to_end(self) -> None:
        """Let the process end, and do not wait for it."""
        self._process.terminate()

    def end(self) -> None:
        """End the process; what it still works on is lost."""
        self.connection.close()
        self.ask_to_end()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.memories.inbox.close()
        self.memories.outbox.close()

    def _death(self) -> DeathError:
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return DeathError("its worker process no longer answers.")
        reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return DeathError(f"its worker process died ({reason}), perhaps for want of memory.")
