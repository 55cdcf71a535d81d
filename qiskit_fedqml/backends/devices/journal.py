"""The journal of submissions: what was sent to devices, what it cost, and what came back.

Each submission is a row, keyed by what it is for (round, client, step, kind) and by its part where an evaluation was
split. A row is written before its job is sent (*intended*), gets the job's id when the service has accepted it
(*sent*), and its expectation values when they are read (*done*). So after a crash at any point the journal says which
jobs may exist; the tag, which the job carries too, finds them.
"""

import io
import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.backends.devices.database import connected, mapped
from qiskit_fedqml.backends.devices.submission import CANCELLED, OPEN, UNKNOWN, State, Submission
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.errors import ResultError

_SERVER = -1
_VERSION = 1
_SCHEMA = f"""
PRAGMA user_version = {_VERSION};
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS submissions (
    tag TEXT PRIMARY KEY,
    round INTEGER NOT NULL, client INTEGER NOT NULL, step INTEGER NOT NULL, kind TEXT NOT NULL, part TEXT NOT NULL,
    attempt INTEGER NOT NULL, backend TEXT NOT NULL, device TEXT NOT NULL, account TEXT, fingerprint TEXT NOT NULL,
    request TEXT NOT NULL, circuits INTEGER NOT NULL, executions INTEGER NOT NULL, planned_seconds REAL,
    state TEXT NOT NULL, job_id TEXT, reported_seconds REAL, reason TEXT,
    duplicates TEXT NOT NULL DEFAULT '{{}}', duplicates_ran INTEGER NOT NULL DEFAULT 0,
    doubtful INTEGER NOT NULL DEFAULT 0,
    intended_at TEXT NOT NULL, sent_at TEXT, ended_at TEXT, angles BLOB NOT NULL, result BLOB,
    UNIQUE (backend, round, client, step, kind, part, attempt)
);
"""


_COLUMNS = (
    "tag, round, client, step, kind, part, attempt, backend, device, account, fingerprint, request, circuits, "
    "executions, planned_seconds, state, job_id, reported_seconds, reason, duplicates, doubtful"
)
_CHARGED = "COALESCE(reported_seconds, planned_seconds) + duplicates_ran * planned_seconds"


class Journal:
    """The journal of one run; usable by several threads.

    Args:
        path: The file; None keeps the journal in memory.
        read_only: Whether the file is only looked at.

    Raises:
        ResultError: The file is no journal, or one of another version, or cannot be read or written.
    """

    def __init__(self, path: Path | None = None, *, read_only: bool = False) -> None:
        self.path = path
        self._lock = threading.RLock()
        with mapped(f"The journal {self.name} cannot be opened"):
            self._db = connected(path, read_only=read_only)
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            (num_tables,) = self._db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
            if num_tables and version != _VERSION:
                raise ResultError(
                    f"{path} is a journal of another version of this package ({version}, not {_VERSION})."
                )
            if not num_tables:
                self._db.executescript(_SCHEMA)
        self.run_id = self.recall("run") or self.remember("run", uuid.uuid4().hex)

    @property
    def name(self) -> str:
        """What errors call it."""
        return "in memory" if self.path is None else str(self.path)

    def move_to(self, path: Path) -> None:
        """Continue in a file, with all that was written so far.

        Raises:
            ResultError: The file cannot be written.
        """
        with self._lock, mapped(f"The journal {path} cannot be written"):
            target = connected(path)
            self._db.backup(target)
            self._db.close()
            self._db, self.path = target, path

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Let what is written inside be written together or not at all, and nothing by other threads meanwhile.

        Raises:
            ResultError: The journal cannot be written.
        """
        with self._lock:
            try:
                with mapped(f"The journal {self.name} cannot be written"):
                    if self._db.in_transaction:
                        yield
                        return
                    self._db.execute("BEGIN IMMEDIATE")
                    yield
                    self._db.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def remember(self, name: str, value: str) -> str:
        """Keep a fact of the run, unless it is kept already; return what is kept."""
        with self.transaction():
            self._db.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, value))
            return str(self.recall(name))

    def replace(self, name: str, value: str) -> None:
        """Keep a fact of the run in the place of what was kept under its name."""
        with self.transaction():
            self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def recall(self, name: str) -> str | None:
        """Return a fact of the run, or None."""
        rows = self._fetch("SELECT value FROM facts WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def tag(self, backend: str, key: JobKey, part: str, attempt: int) -> str:
        """Return the tag of a submission: at most 24 characters, unlike that of any other run."""
        return "fq" + sha256(f"{self.run_id}/{backend}/{key}/{part}/{attempt}".encode()).hexdigest()[:22]

    def latest(self, backend: str, key: JobKey, part: str) -> Submission | None:
        """Return the last attempt for a backend's key and part, or None."""
        where = "backend = ? AND round = ? AND client = ? AND step = ? AND kind = ? AND part = ?"
        found = self._select(where, (backend, *_key(key), part))
        return max(found, key=lambda submission: submission.attempt, default=None)

    def all(self) -> list[Submission]:
        """Return all submissions in the order in which they were intended."""
        return self._select("1", ())

    def open(self, backend: str | None = None) -> list[Submission]:
        """Return the submissions whose jobs may be waiting or running; of one backend or of all."""
        return self._select("state IN (?, ?) AND backend = COALESCE(?, backend)", (*OPEN, backend))

    def unsettled(self, backend: str) -> list[Submission]:
        """Return a backend's submissions that have ended, but whose charge or whose duplicates are not known."""
        return self._select(
            "backend = ? AND account IS NOT NULL AND job_id IS NOT NULL AND state NOT IN ('intended', 'sent') "
            f"AND (reported_seconds IS NULL OR doubtful OR duplicates LIKE '%{UNKNOWN}%')",
            (backend,),
        )

    def spent_seconds(self, backend: str | None = None, *, without: str = "") -> float:
        """Return the QPU seconds of all submissions, those that are still open included.

        Args:
            backend: Of one backend, or of all.
            without: The tag of a submission that is left out.
        """
        return self._sum(_CHARGED, "backend = COALESCE(?, backend) AND tag != ?", (backend, without))

    def spent_executions(self, backend: str, *, without: str = "") -> int:
        """Return the executions of a backend's submissions, those that are still open included.

        Args:
            backend: The backend.
            without: The tag of a submission that is left out.
        """
        ended_free = "state IN ('failed', 'cancelled') AND COALESCE(reported_seconds, 1) = 0"
        where = f"backend = ? AND tag != ? AND NOT ({ended_free})"
        return int(self._sum("executions * (1 + duplicates_ran)", where, (backend, without)))

    def uncharged_seconds(self, account: str | None, *, without: str = "") -> float:
        """Return the planned QPU seconds that the service has not charged to an account yet."""
        where = "account = ? AND reported_seconds IS NULL AND state IN ('intended', 'sent', 'done') AND tag != ?"
        return self._sum("planned_seconds", where, (account, without))

    def intend(self, submission: Submission, angles: NDArray[np.float64]) -> None:
        """Write a submission before its job is sent.

        Args:
            submission: The submission.
            angles: What is asked for, shape (samples, angles).
        """
        key = _key(submission.key)
        values = (
            *(submission.tag, *key, submission.part, submission.attempt, submission.backend, submission.device),
            *(
                submission.account,
                submission.fingerprint,
                json.dumps(submission.request),
                submission.circuits,
                submission.executions,
            ),
            *(submission.planned_seconds, "intended", _now(), _blob(angles)),
        )
        columns = [*_COLUMNS.split(", ")[:15], "state", "intended_at", "angles"]
        with self.transaction():
            self._db.execute(
                f"INSERT INTO submissions ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", values
            )

    def revise(self, submission: Submission) -> None:
        """Write how an intended submission is sent now, where device, layout and cost may be others."""
        self._update(
            submission.tag,
            device=submission.device,
            request=json.dumps(submission.request),
            circuits=submission.circuits,
            executions=submission.executions,
            planned_seconds=submission.planned_seconds,
        )

    def doubt(self, tag: str) -> None:
        """Write that nobody knows whether the service took a submission."""
        self._update(tag, doubtful=1)

    def sent(self, tag: str, job_id: str) -> None:
        """Write the id of the accepted job."""
        self._update(tag, state="sent", job_id=job_id, sent_at=_now())

    def done(self, tag: str, expectations: NDArray[np.float64]) -> None:
        """Write the answer, expectation values of any shape."""
        self._update(tag, state="done", result=_blob(expectations), ended_at=_now())

    def ended(self, tag: str, state: State, reason: str, charged_seconds: float | None) -> None:
        """Write that the job ended without an answer."""
        self._update(tag, state=state, reason=reason, reported_seconds=charged_seconds, ended_at=_now())

    def reported(self, tag: str, seconds: float) -> None:
        """Write what the job was charged."""
        self._update(tag, reported_seconds=seconds)

    def duplicated(self, tag: str, fates: Mapping[str, str]) -> None:
        """Write which other jobs the submission made, and what became of each."""
        ran = sum(fate != CANCELLED for fate in fates.values())
        self._update(tag, duplicates=json.dumps(dict(fates)), duplicates_ran=ran)

    def result(self, tag: str) -> NDArray[np.float64]:
        """Return the answer of a submission that is done.

        Raises:
            ResultError: The journal cannot be read, or is damaged there.
        """
        return self._array("result", tag)

    def angles(self, tag: str) -> NDArray[np.float64]:
        """Return what was asked for, shape (samples, angles).

        Raises:
            ResultError: The journal cannot be read, or is damaged there.
        """
        return self._array("angles", tag)

    def _array(self, column: str, tag: str) -> NDArray[np.float64]:
        rows = self._fetch(f"SELECT {column} FROM submissions WHERE tag = ?", (tag,))
        try:
            values: NDArray[np.float64] = np.load(io.BytesIO(rows[0][0]), allow_pickle=False)
            if values.dtype != np.float64:
                raise TypeError(values.dtype)
        except Exception as error:  # whatever NumPy raises at bytes that are no array
            raise ResultError(
                f"The journal {self.name} is damaged: the {column} of submission {tag} cannot be read."
            ) from error
        return values

    def _sum(self, what: str, condition: str, values: tuple[Any, ...]) -> float:
        ((total,),) = self._fetch(f"SELECT TOTAL({what}) FROM submissions WHERE {condition}", values)
        return float(total)

    def _select(self, condition: str, values: tuple[Any, ...]) -> list[Submission]:
        rows = self._fetch(f"SELECT {_COLUMNS} FROM submissions WHERE {condition} ORDER BY rowid", values)
        try:
            return [_submission(row) for row in rows]
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ResultError(f"The journal {self.name} is damaged: a submission cannot be read.") from error

    def _fetch(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._lock, mapped(f"The journal {self.name} cannot be read"):
            return self._db.execute(query, values).fetchall()

    def _update(self, tag: str, **values: Any) -> None:
        assignments = ", ".join(f"{name} = ?" for name in values)
        with self.transaction():
            self._db.execute(f"UPDATE submissions SET {assignments} WHERE tag = ?", (*values.values(), tag))

    def _roll_back(self) -> None:
        with suppress(ResultError), mapped("closed"):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _key(key: JobKey) -> tuple[int, int, int, str]:
    together = f"/{'+'.join(map(str, key.clients))}" if key.clients else ""
    return key.server_step, _SERVER if key.client is None else key.client, key.step, key.kind + together


def _submission(row: tuple[Any, ...]) -> Submission:
    tag, round, client, step, kind, *rest = row
    kind, _, together = kind.partition("/")
    clients = tuple(map(int, together.split("+"))) if together else ()
    key = JobKey(round, None if client == _SERVER else client, step, kind, clients)
    names = [column.name for column in fields(Submission)][2:]
    values = dict(zip(names, rest, strict=True))
    for name in ("request", "duplicates"):
        values[name] = json.loads(values[name])
        if not isinstance(values[name], dict):
            raise TypeError(name)
    if values["state"] not in get_args(State):
        raise ValueError(values["state"])
    values["doubtful"] = bool(values["doubtful"])
    return Submission(tag=tag, key=key, **values)


def _blob(values: NDArray[np.float64]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
