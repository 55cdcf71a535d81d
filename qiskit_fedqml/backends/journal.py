"""The journal of submissions: what was sent to devices, what it cost, and what came back.

Each submission is a row, keyed by what it is for (round, client, step, kind) and by its part where an evaluation was
split. A row is written before its job is sent (*intended*), gets the job's id when the service has accepted it
(*sent*), and its expectation values when they are read (*done*). So after a crash at any point the journal says which
jobs may exist; the tag, which the job carries too, finds them.
"""

import io
import json
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.backends.base import JobKey
from qiskit_fedqml.errors import ResultError

State = Literal["intended", "sent", "done", "failed", "cancelled", "too long"]
OPEN: tuple[State, ...] = ("intended", "sent")
"""States of submissions whose jobs may be waiting or running."""

_CENTRE = -1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS submissions (
    tag TEXT PRIMARY KEY,
    round INTEGER NOT NULL, client INTEGER NOT NULL, step INTEGER NOT NULL, kind TEXT NOT NULL, part TEXT NOT NULL,
    attempt INTEGER NOT NULL, backend TEXT NOT NULL, device TEXT NOT NULL, fingerprint TEXT NOT NULL,
    request TEXT NOT NULL, circuits INTEGER NOT NULL, executions INTEGER NOT NULL, planned_seconds REAL NOT NULL,
    state TEXT NOT NULL, job_id TEXT, reported_seconds REAL, duplicates TEXT NOT NULL DEFAULT '{}', reason TEXT,
    intended_at TEXT NOT NULL, sent_at TEXT, ended_at TEXT, result BLOB,
    UNIQUE (round, client, step, kind, part, attempt)
);
"""


@dataclass(frozen=True)
class Submission:
    """A row of the journal, without the result.

    Args:
        tag: The job's tag, unique to this row.
        key: What the job is for.
        part: Which part of the evaluation's samples: "" is all, "0" and "1" its halves, "01" the second half of "0".
        attempt: From 0; a job that failed for the service's own reasons is sent again as the next attempt.
        backend: The backend's name in the registry.
        device: The device's name.
        fingerprint: Digest of what was asked, apart from layout and calibration.
        request: What is needed to read the answer, as JSON values.
        circuits: Bound circuits.
        executions: Their shots.
        planned_seconds: QPU seconds that were estimated.
        state: How far it is.
        job_id: The service's name of the job, once known.
        reported_seconds: QPU seconds that the service charged, once known.
        duplicates: Other jobs that the same submission made (the client library sends a submission again after a
            503), each with ``"cancelled"`` or ``"ran"``.
        reason: Why it failed.
    """

    tag: str
    key: JobKey
    part: str
    attempt: int
    backend: str
    device: str
    fingerprint: str
    request: dict[str, Any]
    circuits: int
    executions: int
    planned_seconds: float
    state: State
    job_id: str | None = None
    reported_seconds: float | None = None
    duplicates: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether its job may be waiting or running."""
        return self.state in OPEN

    @property
    def charged_seconds(self) -> float:
        """QPU seconds to reckon with: what was reported, or else what was planned; duplicates that ran as planned."""
        own = self.planned_seconds if self.reported_seconds is None else self.reported_seconds
        return own + self.planned_seconds * sum(fate == "ran" for fate in self.duplicates.values())


_COLUMNS = (
    "tag, round, client, step, kind, part, attempt, backend, device, fingerprint, request, circuits, executions, "
    "planned_seconds, state, job_id, reported_seconds, duplicates, reason"
)


class Journal:
    """The journal of one run; usable by several threads.

    Args:
        path: The file; None keeps the journal in memory.

    Raises:
        ResultError: The file is no journal, or cannot be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._holder: sqlite3.Connection | None = None
        try:
            self._db = _connected(path)
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise ResultError(f"{path} is not a journal of submissions: {error}.") from error
        self.run_id = self.remember("run", uuid.uuid4().hex)

    def move_to(self, path: Path) -> None:
        """Go on in a file, with all that was written so far.

        Raises:
            ResultError: The file cannot be written.
        """
        with self._lock:
            try:
                target = _connected(path)
                self._db.backup(target)
            except sqlite3.Error as error:
                raise ResultError(f"The journal {path} cannot be written: {error}.") from error
            self._db.close()
            self._db, self.path = target, path

    def hold(self) -> None:
        """Keep other processes from going on with the same run, until this process ends.

        Raises:
            ResultError: Another process holds it.
        """
        if self.path is None:
            return
        holder = sqlite3.connect(self.path.with_name("journal.lock"), timeout=0, check_same_thread=False)
        try:
            holder.execute("BEGIN EXCLUSIVE")  # the system lets go of it when the process ends, however it does
        except sqlite3.Error as error:
            raise ResultError(f"Another process is going on with the run in {self.path.parent}.") from error
        self._holder = holder

    def close(self) -> None:
        """Close the file, and let other processes go on with the run."""
        with self._lock:
            self._db.close()
            if self._holder is not None:
                self._holder.close()
                self._holder = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Let what is written inside be written together or not at all, and nothing by other threads meanwhile.

        Raises:
            ResultError: The journal cannot be written.
        """
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back()
                raise ResultError(f"The journal {self.path} cannot be written: {error}.") from error
            except BaseException:
                self._roll_back()
                raise

    def remember(self, name: str, value: str) -> str:
        """Keep a fact of the run, unless it is kept already; return what is kept."""
        with self.transaction():
            self._db.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, value))
            return str(self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()[0])

    def recall(self, name: str) -> str | None:
        """Return a fact of the run, or None."""
        with self._lock:
            row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def tag(self, key: JobKey, part: str, attempt: int) -> str:
        """Return the tag of a submission: at most 24 characters, unlike that of any other run."""
        return "fq" + sha256(f"{self.run_id}/{key}/{part}/{attempt}".encode()).hexdigest()[:22]

    def latest(self, key: JobKey, part: str) -> Submission | None:
        """Return the last attempt for a key and part, or None."""
        found = self._select("round = ? AND client = ? AND step = ? AND kind = ? AND part = ?", (*_key(key), part))
        return max(found, key=lambda submission: submission.attempt, default=None)

    def all(self) -> list[Submission]:
        """Return all submissions in the order in which they were intended."""
        return self._select("1", ())

    def open(self) -> list[Submission]:
        """Return the submissions whose jobs may be waiting or running."""
        return self._select("state IN (?, ?)", OPEN)

    def spent_seconds(self, backend: str | None = None) -> float:
        """Return the QPU seconds of all submissions, those that are still open included; of one backend or of all."""
        return sum(s.charged_seconds for s in self.all() if backend in (None, s.backend))

    def intend(self, submission: Submission) -> None:
        """Write a submission before its job is sent."""
        key = _key(submission.key)
        values = (
            *(submission.tag, *key, submission.part, submission.attempt, submission.backend, submission.device),
            *(submission.fingerprint, json.dumps(submission.request), submission.circuits, submission.executions),
            *(submission.planned_seconds, "intended", _now()),
        )
        columns = _COLUMNS.split(", ")[:14]
        with self.transaction():
            self._db.execute(
                f"INSERT INTO submissions ({', '.join(columns)}, state, intended_at) VALUES ({', '.join('?' * 16)})",
                values,
            )

    def sent(self, tag: str, job_id: str) -> None:
        """Write the id of the accepted job."""
        self._update(tag, state="sent", job_id=job_id, sent_at=_now())

    def done(self, tag: str, expectations: NDArray[np.float64], reported_seconds: float | None) -> None:
        """Write the answer, expectation values of any shape, and what the job cost."""
        buffer = io.BytesIO()
        np.save(buffer, expectations, allow_pickle=False)
        self._update(tag, state="done", result=buffer.getvalue(), reported_seconds=reported_seconds, ended_at=_now())

    def ended(self, tag: str, state: State, reason: str, charged_seconds: float | None) -> None:
        """Write that the job ended without an answer."""
        self._update(tag, state=state, reason=reason, reported_seconds=charged_seconds, ended_at=_now())

    def reported(self, tag: str, seconds: float) -> None:
        """Write what the job cost, where that became known later."""
        self._update(tag, reported_seconds=seconds)

    def duplicated(self, tag: str, fates: Mapping[str, str]) -> None:
        """Write which other jobs the submission made, and whether each was cancelled or ran."""
        self._update(tag, duplicates=json.dumps(dict(fates)))

    def result(self, tag: str) -> NDArray[np.float64]:
        """Return the answer of a submission that is done."""
        with self._lock:
            (blob,) = self._db.execute("SELECT result FROM submissions WHERE tag = ?", (tag,)).fetchone()
        values: NDArray[np.float64] = np.load(io.BytesIO(blob), allow_pickle=False)
        return values

    def _select(self, condition: str, values: tuple[Any, ...]) -> list[Submission]:
        try:
            with self._lock:
                rows = self._db.execute(
                    f"SELECT {_COLUMNS} FROM submissions WHERE {condition} ORDER BY rowid", values
                ).fetchall()
        except sqlite3.Error as error:
            raise ResultError(f"The journal {self.path} cannot be read: {error}.") from error
        return [_submission(row) for row in rows]

    def _update(self, tag: str, **values: Any) -> None:
        assignments = ", ".join(f"{name} = ?" for name in values)
        with self.transaction():
            self._db.execute(f"UPDATE submissions SET {assignments} WHERE tag = ?", (*values.values(), tag))

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")


def _connected(path: Path | None) -> sqlite3.Connection:
    db = sqlite3.connect(path or ":memory:", timeout=30, check_same_thread=False, isolation_level=None)
    db.execute("PRAGMA synchronous=FULL")  # a row must be on disk before its job is sent
    return db


def _key(key: JobKey) -> tuple[int, int, int, str]:
    return key.round, _CENTRE if key.client is None else key.client, key.step, key.kind


def _submission(row: tuple[Any, ...]) -> Submission:
    tag, round, client, step, kind, *rest = row
    key = JobKey(round, None if client == _CENTRE else client, step, kind)
    names = [column.name for column in fields(Submission)][2:]
    values = dict(zip(names, rest, strict=True))
    values["request"] = json.loads(values["request"])
    values["duplicates"] = json.loads(values["duplicates"])
    return Submission(tag=tag, key=key, **values)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
