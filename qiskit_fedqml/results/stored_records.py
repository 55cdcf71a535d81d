"""The records of a run as a sequence that reads a line of their file when it is asked for."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import overload
from zlib import crc32

from qiskit_fedqml.config.text_files import reading
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.results.record_lines import record_of
from qiskit_fedqml.results.records import RoundRecord

MOST_BYTES_KEPT = 1 << 27
"""How many bytes of lines are kept as records once they have been read; others are read each time."""


@dataclass
class Lines:
    """Where the lines of a file of records end, and a checksum of each; 12 bytes a line.

    Args:
        ends: Bytes from the file's start to each line's end.
        checks: Their CRC-32: a line that was proved once is still the same when it is read.
    """

    ends: "array[int]" = field(default_factory=lambda: array("q"))
    checks: "array[int]" = field(default_factory=lambda: array("I"))

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def num_bytes(self) -> int:
        """Bytes of all lines."""
        return self.ends[-1] if self.ends else 0

    def add(self, line: bytes) -> None:
        """Take another line."""
        self.ends.append(self.num_bytes + len(line))
        self.checks.append(crc32(line))

    def first(self, count: int) -> "Lines":
        """Return the first lines."""
        return Lines(self.ends[:count], self.checks[:count])


@dataclass
class Kept:
    """Records that have been read already, up to a number of bytes of their lines.

    Args:
        bytes_left: How many bytes more are kept.
        records: By the line's place, from 0.
    """

    bytes_left: int = MOST_BYTES_KEPT
    records: dict[int, RoundRecord] = field(default_factory=dict)

    def add(self, place: int, record: RoundRecord, num_bytes: int) -> None:
        """Keep a record if there is room."""
        if num_bytes <= self.bytes_left:
            self.records[place] = record
            self.bytes_left -= num_bytes


class StoredRecords(Sequence[RoundRecord]):
    """Records in a file, each read when it is asked for; parts of it are such sequences too.

    Args:
        path: The file.
        lines: Its lines.
        is_proved: Whether they are known to be what a run wrote.
        kept: Records that are in memory already.
    """

    def __init__(self, path: Path, lines: Lines, *, is_proved: bool = True, kept: Kept | None = None) -> None:
        self._path, self._lines, self._is_proved = path, lines, is_proved
        self._kept = Kept() if kept is None else kept
        self._places = range(len(lines))

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> RoundRecord: ...
    @overload
    def __getitem__(self, index: slice) -> "StoredRecords": ...
    def __getitem__(self, index: int | slice) -> "RoundRecord | StoredRecords":
        if isinstance(index, slice):
            part = StoredRecords(self._path, self._lines, is_proved=self._is_proved, kept=self._kept)
            part._places = self._places[index]
            return part
        place = self._places[index]
        if (known := self._kept.records.get(place)) is not None:
            return known
        with reading(self._path, ResultError) as file:
            return self._read(file, place)

    def __iter__(self) -> Iterator[RoundRecord]:
        at = 0
        while at < len(self._places) and (known := self._kept.records.get(self._places[at])) is not None:
            yield known
            at += 1
        if at == len(self._places):
            return
        with reading(self._path, ResultError) as file:
            for place in self._places[at:]:
                yield self._kept.records.get(place) or self._read(file, place)

    def read_all(self) -> None:
        """Read the records, of which those that are kept do not need the file any more.

        Raises:
            ResultError: One is damaged, or the file cannot be read.
        """
        for _ in self:
            pass

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # equal to a tuple of the same records

    def __repr__(self) -> str:
        return f"<{len(self)} records in {self._path}>"

    def _read(self, file: BufferedReader, place: int) -> RoundRecord:
        start = self._lines.ends[place - 1] if place else 0
        if file.tell() != start:
            file.seek(start)
        line = file.read(self._lines.ends[place] - start)
        if crc32(line) != self._lines.checks[place]:
            raise ResultError(f"{self._path}, line {place + 1} has changed since the run was loaded; load it again.")
        record = record_of(line, place + 1, f"{self._path}, line {place + 1}", is_proved=self._is_proved)
        self._kept.add(place, record, len(line))
        return record
