"""Edges of graphs in CSV files, which are put into an experiment in the place of their paths."""

import csv
from pathlib import Path
from typing import Any

from qiskit_fedqml.config.sources import Key
from qiskit_fedqml.config.text_files import read_text
from qiskit_fedqml.errors import ConfigurationError, shown

_KEY: Key = ("federation", "algorithm", "gossip", "graph", "edges")
_COLUMNS = ["node", "neighbour"]
_MOST_BYTES = 20_000_000
"""Of a file; as many edges as a graph may have take less."""


def place_edges(data: dict[str, Any], folder: Path) -> dict[Key, str]:
    """Put the edges of a CSV file in the place of its path, so that a run keeps its graph.

    Args:
        data: An experiment's content; its graph is changed where its edges are a path.
        folder: Where a relative path starts.

    Returns:
        The file that was read, by the key that has its edges; nothing where there is none.

    Raises:
        ConfigurationError: The file cannot be read, or is no such table.
    """
    section: Any = data
    for part in _KEY[:-1]:
        section = section.get(part) if isinstance(section, dict) else None
    if not isinstance(section, dict) or not isinstance(section.get("edges"), str):
        return {}
    path = folder / section["edges"]
    section["edges"] = _pairs(path)
    return {_KEY: str(path)}


def _pairs(path: Path) -> list[list[int]]:
    text = read_text(path, ConfigurationError, _MOST_BYTES)
    try:
        header, *lines = [*csv.reader(text.splitlines())] or [[]]
    except csv.Error as error:
        raise ConfigurationError(f"{path}: this is not CSV: {error}.") from error
    if header != _COLUMNS:
        raise ConfigurationError(
            f"{path}: the first line must be {','.join(_COLUMNS)}, but is {shown(','.join(header))}."
        )
    pairs = []
    for number, line in enumerate(lines, start=2):
        if len(line) != len(_COLUMNS) or not all(one.strip().isascii() and one.strip().isdigit() for one in line):
            raise ConfigurationError(
                f"{path}, line {number}: must be two nodes, such as 0,1, but is {shown(','.join(line))}."
            )
        if max(map(len, line)) > 20:
            raise ConfigurationError(f"{path}, line {number}: {shown(','.join(line))} is no pair of nodes.")
        pairs.append([int(one) for one in line])
    return pairs
