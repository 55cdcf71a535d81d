"""Misbehaviour on request: wrong answers, lost connections, slow bodies, failing jobs."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock


@dataclass
class Fault:
    """One thing that goes wrong, `times` times after `after` matching requests that go well."""

    route: re.Pattern
    kind: str
    times: int
    after: int = 0
    processed: bool = False
    status: int = 0
    body: dict | str | None = None
    seconds: float = 0.0
    part: float = 0.5
    function: Callable[..., object] | None = None
    lasting: float | None = None
    end: float | None = None


class Faults:
    """The faults to come.

    A route is a regular expression for the whole of "METHOD /path", where the path has neither the API's prefix nor a
    query: "POST /jobs" is a submission and nothing else, "GET /jobs/[^/]+" a job's state, "GET /jobs/.*" everything
    about jobs. Where several faults match, the one asked for first strikes first. With `processed` the request is
    carried out and only its answer is spoiled; without it nothing happens on the server.
    """

    def __init__(self):
        self._faults: list[Fault] = []
        self._failures: list[tuple[str, int]] = []
        self._lock = Lock()

    def answer(self, route, status, times=1, body=None, processed=False, after=0) -> None:
        """Answer with this status, and this body if any."""
        self._add(route, "answer", times, after, processed=processed, status=status, body=body)

    def drop(self, route, times=1, processed=False, after=0) -> None:
        """Close the connection without an answer."""
        self._add(route, "drop", times, after, processed=processed)

    def stall(self, route, seconds, times=1, part=0.5, after=0) -> None:
        """Send the headers and this part of the body, wait, then send the rest."""
        self._add(route, "stall", times, after, seconds=seconds, part=part, processed=True)

    def call(self, route, function, times=1, processed=False, after=0) -> None:
        """Call a function before the request is carried out, or after it and before its answer."""
        self._add(route, "call", times, after, processed=processed, function=function)

    def outage(self, route, seconds, status=503) -> None:
        """Answer with this status for some seconds, from the first matching request on."""
        self._add(route, "answer", times=1, after=0, status=status, lasting=seconds)

    def edit(self, route, function, times=1, after=0) -> None:
        """Send what a function makes of the right answer's body, a text."""
        self._add(route, "edit", times, after, function=function)

    def fail_job(self, reason, reason_code=9999, times=1) -> None:
        """Let the next jobs that start end as failed."""
        with self._lock:
            self._failures += [(reason, reason_code)] * times

    def clear(self) -> None:
        """Forget all faults to come."""
        with self._lock:
            self._faults, self._failures = [], []

    @property
    def pending(self) -> int:
        """The number of faults still to come."""
        return sum(fault.times for fault in self._faults) + len(self._failures)

    def take(self, name: str) -> Fault | None:
        """Return the fault that strikes this request, if any."""
        with self._lock:
            for fault in self._faults:
                if fault.times <= 0 or not fault.route.fullmatch(name):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                if fault.lasting is not None:
                    fault.end = fault.end or time.monotonic() + fault.lasting
                    if time.monotonic() < fault.end:
                        return fault
                    fault.times = 0
                    continue
                fault.times -= 1
                self._faults = [other for other in self._faults if other.times > 0]
                return fault
        return None

    def take_failure(self) -> tuple[str, int] | None:
        """Return the reason and code with which the job that starts now is to fail, if it is."""
        with self._lock:
            return self._failures.pop(0) if self._failures else None

    def _add(self, route: str, kind: str, times: int, after: int, **settings) -> None:
        with self._lock:
            self._faults.append(Fault(re.compile(route), kind, times, after, **settings))
