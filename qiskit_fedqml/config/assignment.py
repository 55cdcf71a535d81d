"""Which backend each client has: the section `assignment` of a backends file."""

import re
from itertools import pairwise
from typing import Annotated

from pydantic import Field, Tag, field_validator

from qiskit_fedqml.config.alternatives import NAME, one_of, tag_of
from qiskit_fedqml.config.strict import (
    Integer,
    StrictModel,
)
from qiskit_fedqml.errors import shown

_CLIENTS = "[0-9]{1,18}(-[0-9]{1,18})?"
_IDS = re.compile(r"(?P<first>[0-9]{1,18})(-(?P<last>[0-9]{1,18}))?")
"""A client's id, or two; no computer has clients of more digits."""


class Cycle(StrictModel):
    """Client i has the backend i modulo the length."""

    cycle: Annotated[tuple[str, ...], Field(min_length=1)]
    """Client i has the backend i modulo the length of this list."""


class Random(StrictModel):
    """Each client has one of the backends, drawn with equal chances from ``seed`` and the client's id."""

    random: Annotated[tuple[str, ...], Field(min_length=1)]
    """Each client has one of these backends, drawn with equal chances."""
    seed: Integer = 0
    """From which these draws derive."""


class Assignment(StrictModel):
    """Which backend each client has.

    ``server`` evaluates the aggregate, ``clients`` names ids (from 0) or inclusive ranges such as ``"1-49"``, and
    ``default`` serves all other clients.
    """

    server: str = "ideal"
    """The backend on which the server tests the global model."""
    default: Annotated[
        Annotated[str, Field(min_length=1), Tag(NAME)]
        | Annotated[Cycle, Tag(tag_of("cycle"))]
        | Annotated[Random, Tag(tag_of("random"))],
        one_of(
            "must be a backend's name, {cycle: [NAME, …]} or {random: [NAME, …], seed: N}",
            {"cycle": Cycle, "random": Random},
            names=None,
        ),
    ] = "ideal"
    """The backend of all clients that are not named: one name, `{cycle: [NAME, …]}` or `{random: [NAME, …]}`."""
    clients: dict[int | str, str] = Field(
        default_factory=dict, json_schema_extra={"propertyNames": {"pattern": f"^{_CLIENTS}$"}}
    )
    """Backends by client: ids from 0, or inclusive ranges such as "1-49"."""

    @field_validator("clients")
    @classmethod
    def _ranges_are_disjoint(cls, value: dict[int | str, str]) -> dict[int | str, str]:
        by_first = sorted(value, key=lambda key: clients_of(key).start)
        for key, following in pairwise(by_first):
            first = clients_of(following).start
            if first in clients_of(key):
                raise ValueError(f"client {first} is named by both {shown(key)} and {shown(following)}")
        # JSON has no numbers as keys: "0" is client 0 again.
        return {clients_of(key).start if "-" not in str(key) else key: name for key, name in value.items()}

    @property
    def machines(self) -> set[str]:
        """The backends that clients may have."""
        return {name for key, name in self.names() if key != "server"}

    def names(self) -> list[tuple[str, str]]:
        """Return each backend name that is used, with the key that uses it."""
        default = self.default
        several = default.cycle if isinstance(default, Cycle) else default.random if isinstance(default, Random) else ()
        defaults = (default,) if isinstance(default, str) else several
        named = [("server", self.server), *(("default", n) for n in defaults)]
        return [*named, *((f"clients.{key}", name) for key, name in self.clients.items())]


def clients_of(key: int | str) -> range:
    """Return the client ids that a key of ``assignment.clients`` names.

    Raises:
        ValueError: The key is neither an id from 0 nor an inclusive range "FIRST-LAST".
    """
    found = _IDS.fullmatch(str(key)) if isinstance(key, str) or key.bit_length() <= 64 else None
    if not found:
        raise ValueError(f"{shown(key)} must be a client's id from 0 or an inclusive range such as '1-49'")
    ids = range(int(found["first"]), int(found["last"] or found["first"]) + 1)
    if not ids:
        raise ValueError(f"range {key!r} is empty")
    return ids
