"""A round's record as a line of JSON, in which nothing is said once for each client that is the same for all.

A line's ``clients`` are columns. Of a value that differs from client to client the column has ``each``; of one that
comes back, such as a backend's name, ``of`` has the different values and ``at`` says for each client which of them it
has, or null where it has none. Lines that were written before have a mapping for each client, and are read as well.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

from qiskit_fedqml.config.text_files import parse_json
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.results.json_types import check_types
from qiskit_fedqml.results.node_records import NodesRecord
from qiskit_fedqml.results.records import ClientRecord, RoundRecord

_FORMAT = 2
"""Of a line with columns; the lines before had no number."""


def line_of(record: RoundRecord) -> bytes:
    """Return a record as a line."""
    values = record.as_json()
    packed = {**values, "clients": pack_clients(values["clients"]), "format": _FORMAT}
    return (json.dumps(packed, allow_nan=False, separators=(",", ":")) + "\n").encode()


def record_of(line: bytes, number: int, source: str, *, is_proved: bool) -> RoundRecord:
    """Read a record from its line.

    Args:
        line: The line.
        number: Its number in the file, from 1, which is the record's round.
        source: What errors call it.
        is_proved: Whether it is known to be as it was written; the types of values are checked otherwise.

    Raises:
        ResultError: It is no record, or that of another round.
    """
    values = parse_json(line, source, ResultError)
    try:
        if isinstance(values, dict) and (of := values.pop("format", None)) is not None:
            if of != _FORMAT:
                raise ValueError(f"its format {of!r} is not known to this version")
            values["clients"] = unpack_clients(values["clients"])
        if not is_proved:
            check_types(values, get_type_hints(RoundRecord))
            if "nodes" in values:
                check_types(values["nodes"], get_type_hints(NodesRecord))
            for client in values["clients"]:
                check_types(client, get_type_hints(ClientRecord) | {"status": str})
        record = RoundRecord.from_json(values)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ResultError(f"{source} is damaged: {error}.") from error
    if record.round != number:
        raise ResultError(f"{source} must be round {number}, but is {record.round}.")
    return record


def pack_clients(clients: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return mappings as columns.

    Args:
        clients: A mapping for each client; keys may be missing.
    """
    keys = dict.fromkeys(key for client in clients for key in client)
    return {"count": len(clients), "columns": {key: _column(clients, key) for key in keys}}


def unpack_clients(packed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the mappings of which :func:`pack_clients` made columns.

    Raises:
        ValueError: A column is not as long as it must be.
        KeyError: A part is missing.
        TypeError: A part is of another kind.
        IndexError: A column names a value that is not there.
        AttributeError: It has no columns.
    """
    clients: list[dict[str, Any]] = [{} for _ in range(packed["count"])]
    for key, column in packed["columns"].items():
        if "each" in column:
            for client, value in zip(clients, column["each"], strict=True):
                client[key] = value
        elif "all" in column:
            for client in clients:
                client[key] = column["all"]
        else:
            for client, place in zip(clients, column["at"], strict=True):
                if place is not None:
                    client[key] = column["of"][place]
    return clients


def _column(clients: Sequence[Mapping[str, Any]], key: str) -> dict[str, Any]:
    values = [client[key] for client in clients if key in client]
    texts = list(map(repr, values))  # 0, 0.0, -0.0 and False are equal in Python
    different = dict(zip(reversed(texts), reversed(values), strict=True))
    if len(values) == len(clients):
        if len(different) == 1:
            return {"all": values[0]}
        if len(different) > len(values) // 2:
            return {"each": values}
    places = {text: place for place, text in enumerate(different)}
    found = iter(texts)
    at = [places[next(found)] if key in client else None for client in clients]
    return {"of": list(different.values()), "at": at}
