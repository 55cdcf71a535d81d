"""The records of a run's rounds as a file of lines, ``rounds.jsonl``, of which every finished part can be proved."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, get_type_hints

from qiskit_fedqml.config.text_files import parse_json, reading
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.files import write_bytes, writing
from qiskit_fedqml.results.json_types import check_types
from qiskit_fedqml.results.records import ClientRecord, RoundRecord


@dataclass(frozen=True)
class Proof:
    """What proves the first lines of a file of records.

    Args:
        rounds: Number of lines.
        num_bytes: Their length.
        sha256: Their digest.
    """

    rounds: int
    num_bytes: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


class RecordLog:
    """A file of records that grows by a line a round; the digest grows with it.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rounds, self._num_bytes, self._digest = 0, 0, sha256()

    @property
    def proof(self) -> Proof:
        """Proves what was written through this object."""
        return Proof(self._rounds, self._num_bytes, self._digest.hexdigest())

    def append(self, record: RoundRecord) -> None:
        """Write a round's line.

        Raises:
            ResultError: It cannot be written.
        """
        line = _line(record)
        with writing(self.path), self.path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._rounds += 1
        self._num_bytes += len(line)
        self._digest.update(line)

    def continue_after(self, proof: Proof) -> None:
        """Drop what comes after the proved lines, so that the next line follows them.

        Args:
            proof: From :func:`read_records`.

        Raises:
            ResultError: The file cannot be written.
        """
        with writing(self.path), self.path.open("rb+") as file:
            self._digest = sha256(file.read(proof.num_bytes))
            file.truncate(proof.num_bytes)
            os.fsync(file.fileno())
        self._rounds, self._num_bytes = proof.rounds, proof.num_bytes

    def rewrite(self, records: Sequence[RoundRecord], announce: Callable[[Proof], None]) -> None:
        """Write records in place of what is there, whole or not at all.

        Args:
            records: The records.
            announce: Called with what will prove them, before anything is written.

        Raises:
            ResultError: They cannot be written.
        """
        lines = [_line(record) for record in records]
        content = b"".join(lines)
        announce(Proof(len(lines), len(content), sha256(content).hexdigest()))
        write_bytes(self.path, content)
        self._rounds, self._num_bytes, self._digest = len(lines), len(content), sha256(content)


NOTHING = Proof(0, 0, sha256().hexdigest())
"""Proves no line."""


def read_records(path: Path, accepted: Sequence[Proof] | None) -> tuple[tuple[RoundRecord, ...], Proof]:
    """Read records; lines after those that a proof covers are left out.

    Args:
        path: The file.
        accepted: The lines must fit one of these; None takes all whole lines of a run of version 0.1, which nothing
            proves.

    Returns:
        The records, and the proof that they fit.

    Raises:
        ResultError: They are not what was written, or cannot be read.
    """
    with reading(path, ResultError) as file:
        content = file.read()
    is_proved = accepted is not None
    if accepted is None:
        content = content[: content.rfind(b"\n") + 1]
        accepted = [Proof(content.count(b"\n"), len(content), sha256(content).hexdigest())]
    for proof in accepted:
        proved = content[: proof.num_bytes]
        if sha256(proved).hexdigest() == proof.sha256:
            lines = proved.split(b"\n")[:-1]
            records = (_record(path, n, line, is_proved=is_proved) for n, line in enumerate(lines, start=1))
            return tuple(records), proof
    raise ResultError(f"{path} is damaged: its first {accepted[0].rounds} lines are not those of this run.")


def _record(path: Path, number: int, line: bytes, *, is_proved: bool) -> RoundRecord:
    values = parse_json(line, f"{path}, line {number}", ResultError)
    try:
        if not is_proved:
            check_types(values, get_type_hints(RoundRecord))
            for client in values["clients"]:
                check_types(client, get_type_hints(ClientRecord) | {"status": str})
        record = RoundRecord.from_json(values)
    except (ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{path}, line {number} is damaged: {error}.") from error
    if record.round != number:
        raise ResultError(f"{path}, line {number} must be round {number}, but is {record.round}.")
    return record


def _line(record: RoundRecord) -> bytes:
    return (json.dumps(record.as_json(), allow_nan=False) + "\n").encode()
