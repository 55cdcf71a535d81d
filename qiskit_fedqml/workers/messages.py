"""What a worker process and the process that started it send each other."""

import logging
import traceback
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qiskit_fedqml import errors
from qiskit_fedqml.workers.memory import Memory, Room


@dataclass
class Memories:
    """The shared memory of one worker.

    Args:
        common: What all workers read; written while none of them works.
        inbox: Written by the process that started the worker, with each order.
        outbox: Written by the worker, with each answer.
        room: Where in the outbox the next answers go; it comes with each order, and after each message but its last.
    """

    common: Memory
    inbox: Memory
    outbox: Memory
    room: Room = field(default_factory=Room)


Work = Callable[[Any], Iterator[Sized]]
"""Answers an order: gives those answers that are ready at the same time, until there are as many as it wants."""


@dataclass(frozen=True)
class Setup:
    """What a worker gets first.

    Args:
        make: Makes what does the work, of the kit and the shared memory.
        kit: What it is made of.
        threads: torch's threads.
    """

    make: Callable[[Any, Memories], Work]
    kit: Any
    threads: int


@dataclass(frozen=True)
class Answer:
    """What a worker says.

    Args:
        content: Answers that were ready at the same time; of a worker that has just started, None.
        failure: What was raised in their place.
        logged: What was logged meanwhile.
    """

    content: Any = None
    failure: "Failure | None" = None
    logged: tuple[logging.LogRecord, ...] = ()


@dataclass(frozen=True)
class Failure:
    """What was raised in a worker.

    Args:
        kind: The name of its class.
        text: Its text; of a foreign error, with the place where it was raised.
    """

    kind: str
    text: str

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """Return what is sent of an error."""
        text = str(error)
        if not isinstance(error, errors.FedQMLError) and (frames := traceback.extract_tb(error.__traceback__)):
            text += f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
        return cls(type(error).__name__, text)

    def error(self) -> errors.FedQMLError:
        """Return it as an error of the same kind; a foreign one is a TrainingError."""
        kind: type[errors.FedQMLError] | None = getattr(errors, self.kind, None)
        return kind(self.text) if kind is not None else errors.TrainingError(f"{self.kind}: {self.text}")
