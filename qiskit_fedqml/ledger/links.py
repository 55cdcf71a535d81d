"""The links of the chain: lines of canonical JSON, each signed by the server and naming the one before it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from qiskit_fedqml.config.text_files import reading
from qiskit_fedqml.errors import ResultError

FOLDER = "ledger"
"""The ledger's folder in a result folder."""
CHAIN = "chain.jsonl"
"""The chain's file in it."""
START = "start.safetensors"
"""The file of the model with which the run began."""


@dataclass(frozen=True)
class Link:
    """A link.

    Args:
        index: Its number, from 0.
        previous: The digest of the link before it; empty in the first one.
        content: What it says, JSON's values.
        signature: The server's, of all that, in hexadecimal digits.
    """

    index: int
    previous: str
    content: dict[str, Any]
    signature: str = ""

    @property
    def signed(self) -> bytes:
        """What the server signs."""
        return encoded({"content": self.content, "index": self.index, "previous": self.previous})

    @property
    def line(self) -> bytes:
        """The link as a line of the chain's file, without its end."""
        values = {"content": self.content, "index": self.index, "previous": self.previous}
        return encoded({**values, "signature": self.signature})

    @property
    def digest(self) -> str:
        """The SHA-256 of the line, by which the next link names this one."""
        return sha256(self.line).hexdigest()


def encoded(value: Any) -> bytes:
    """Return a value as canonical JSON: one way to write it, so that it can be signed.

    Raises:
        ValueError: It holds NaN or infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest_of_value(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON."""
    return sha256(encoded(value)).hexdigest()


def parse_link(line: bytes) -> Link:
    """Read a line of the chain's file, with its end.

    Raises:
        ValueError: It is cut short, or is no link as one is written.
    """
    if not line.endswith(b"\n"):
        raise ValueError("its line is cut short")
    try:
        values = json.loads(line)
        link = Link(values["index"], values["previous"], values["content"], values["signature"])
        is_one = isinstance(link.content, dict) and link.line == line[:-1]
    except (ValueError, KeyError, TypeError, RecursionError):
        is_one = False
    if not is_one:
        raise ValueError("its line is not what a run writes")
    return link


def read_links(folder: Path) -> Iterator[bytes]:
    """Give the lines of a result folder's chain.

    Raises:
        ResultError: There is none, or it cannot be read.
    """
    path = folder / FOLDER / CHAIN
    if not path.exists():
        raise ResultError(f"{folder} has no ledger: its run was not asked to keep one (`ledger: true`), or it is gone.")
    with reading(path, ResultError) as file:
        yield from file
