"""The chain as a file that only grows: a line a link, each on disk before the run goes on."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qiskit_fedqml.config.text_files import reading
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.files import make_folder, sync_folder, writing
from qiskit_fedqml.ledger.keys import SERVER, SimulatedKeys
from qiskit_fedqml.ledger.links import CHAIN, Link, parse_link


class Chain:
    """The chain of a run at work.

    Args:
        path: The ledger's folder.
        keys: Signs the links.
    """

    def __init__(self, path: Path, keys: SimulatedKeys) -> None:
        self.path, self._keys = path / CHAIN, keys
        self.last: Link | None = None

    @property
    def first_digest(self) -> str:
        """The digest of the first link, which is the chain's name."""
        return self._first

    def take_up(self, step: int) -> None:
        """Take up the links of the first server steps; drop those of later steps, which are run again.

        Args:
            step: The last step whose link stays.

        Raises:
            ResultError: The chain is damaged, or its links do not reach so far.
        """
        num_bytes, last_step = 0, 0
        for link, length in self._read():
            if (found := int(link.content.get("step", 0))) > step:
                break
            self._take(link)
            num_bytes, last_step = num_bytes + length, found
        if last_step != step:
            raise ResultError(f"{self.path} has the server steps up to {last_step}, but the run has done {step}.")
        with writing(self.path), self.path.open("ab") as file:
            file.truncate(num_bytes)
            os.fsync(file.fileno())

    def append(self, content: dict[str, Any]) -> None:
        """Sign a link and write it; it is on disk then.

        Raises:
            ResultError: It cannot be written.
        """
        index, previous = (0, "") if self.last is None else (self.last.index + 1, self.last.digest)
        unsigned = Link(index, previous, content)
        link = Link(index, previous, content, self._keys.sign(SERVER, unsigned.signed).signature)
        make_folder(self.path.parent)
        with writing(self.path), self.path.open("ab") as file:
            file.write(link.line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if index == 0:
            sync_folder(self.path.parent)
        self._take(link)

    def _read(self) -> Iterator[tuple[Link, int]]:
        """Give whole links with the lengths of their lines, each of which names the one before it."""
        if not self.path.exists():
            return
        with reading(self.path, ResultError) as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return  # the run was killed while it wrote it
                try:
                    link = parse_link(line)
                except ValueError as error:
                    raise ResultError(f"{self.path} is damaged: {error}.") from error
                expected = (0, "") if self.last is None else (self.last.index + 1, self.last.digest)
                if (link.index, link.previous) != expected:
                    raise ResultError(f"{self.path} is damaged: link {expected[0]} does not follow the one before it.")
                yield link, len(line)

    def _take(self, link: Link) -> None:
        if link.index == 0:
            self._first = link.digest
        self.last = link
