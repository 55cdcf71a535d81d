"""The records of a run's rounds as a file of lines, ``rounds.jsonl``, of which every finished part can be proved."""

import os
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from qiskit_fedqml.config.text_files import reading
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.files import replacing, writing
from qiskit_fedqml.results.proof import Proof
from qiskit_fedqml.results.record_lines import line_of
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.stored_records import Kept, Lines, StoredRecords

_MOST_BYTES_KEPT = 1 << 23
"""How many bytes of lines are kept as records by the run that writes them."""

_BYTES_AT_ONCE = 1 << 20
"""Files of up to so many bytes are read whole, so that the result stays what it was if the folder goes."""


class RecordLog:
    """A file of records that grows by a line a round; the digest grows with it.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begin()

    def _begin(self) -> None:
        self._lines, self._digest, self._kept = Lines(), sha256(), Kept(_MOST_BYTES_KEPT)

    @property
    def proof(self) -> Proof:
        """Proves what was written through this object."""
        return Proof(len(self._lines), self._lines.num_bytes, self._digest.hexdigest())

    @property
    def records(self) -> StoredRecords:
        """The records in the file; those that memory has no room for are read when they are asked for."""
        return StoredRecords(self.path, self._lines.first(len(self._lines)), kept=self._kept)

    def append(self, record: RoundRecord) -> None:
        """Write a round's line; :meth:`sync` puts it on disk.

        Raises:
            ResultError: It cannot be written.
        """
        line = line_of(record)
        with writing(self.path), self.path.open("ab") as file:
            file.write(line)
        self._add(record, line)

    def sync(self) -> None:
        """Wait until the lines that were written are on disk.

        Raises:
            ResultError: They cannot be written.
        """
        with writing(self.path), self.path.open("rb+") as file:
            os.fsync(file.fileno())

    def take_up(self, rounds: int) -> None:
        """Take the first lines of the file for what was written so far; those after them stay until :meth:`cut`.

        Args:
            rounds: How many; :func:`open_records` has proved them.

        Raises:
            ResultError: The file cannot be read.
        """
        self._begin()
        with reading(self.path, ResultError) as file:
            for line in file:
                if len(self._lines) == rounds:
                    break
                self._lines.add(line)
                self._digest.update(line)

    def cut(self) -> None:
        """Drop what comes after the lines that were written so far, so that the next line follows them.

        Raises:
            ResultError: The file cannot be written.
        """
        with writing(self.path), self.path.open("rb+") as file:
            file.truncate(self._lines.num_bytes)
            os.fsync(file.fileno())

    def rewrite(self, records: Iterable[RoundRecord], announce: Callable[[Proof], None]) -> None:
        """Write records in place of what is there, whole or not at all.

        Args:
            records: The records; they may be read from this file meanwhile.
            announce: Called with what will prove them, before they take the place of the others.

        Raises:
            ResultError: They cannot be written.
        """
        fresh = RecordLog(self.path)
        with writing(self.path), replacing(self.path) as part:
            with part.open("wb") as file:
                for record in records:
                    line = line_of(record)
                    file.write(line)
                    fresh._add(record, line)
            announce(fresh.proof)
        self._lines, self._digest, self._kept = fresh._lines, fresh._digest, fresh._kept

    def _add(self, record: RoundRecord, line: bytes) -> None:
        self._kept.add(len(self._lines), record, len(line))
        self._lines.add(line)
        self._digest.update(line)


def open_records(path: Path, accepted: Sequence[Proof], rounds: int | None = None) -> StoredRecords:
    """Check the lines of a file of records; if they are many, they are read when they are asked for.

    Args:
        path: The file.
        accepted: The lines must fit one of these; what comes after them is left out.
        rounds: How many records there shall be, at most as many as each proof proves; None takes all that are proved.

    Raises:
        ResultError: They are not what was written, or cannot be read.
    """
    for proof in accepted:
        if (lines := _proved(path, proof)) is not None:
            records = StoredRecords(path, lines if rounds is None else lines.first(rounds))
            if lines.num_bytes <= _BYTES_AT_ONCE:
                records.read_all()
            return records
    raise ResultError(f"{path} is damaged: its first {accepted[0].rounds} lines are not those of this run.")


def num_lines(path: Path) -> int:
    """Return how many records a file has, proved or not.

    Raises:
        ResultError: It cannot be read.
    """
    with reading(path, ResultError) as file:
        return sum(line.endswith(b"\n") for line in file)


def open_unproved(path: Path) -> StoredRecords:
    """Read all whole lines of a run of version 0.1, which nothing proves; each is checked now.

    Raises:
        ResultError: A line is damaged, or the file cannot be read.
    """
    lines = Lines()
    with reading(path, ResultError) as file:
        for line in file:
            if line.endswith(b"\n"):
                lines.add(line)
    records = StoredRecords(path, lines, is_proved=False)
    records.read_all()
    return records


def _proved(path: Path, proof: Proof) -> Lines | None:
    """Return the lines that a proof proves; None if they are others."""
    lines, digest = Lines(), sha256()
    with reading(path, ResultError) as file:
        for line in file:
            if lines.num_bytes + len(line) > proof.num_bytes:
                break
            lines.add(line)
            digest.update(line)
    is_proof = (len(lines), lines.num_bytes, digest.hexdigest()) == (proof.rounds, proof.num_bytes, proof.sha256)
    return lines if is_proof else None
