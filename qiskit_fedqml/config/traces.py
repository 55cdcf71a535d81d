"""Recorded queue times in CSV files, which are put into an experiment in the place of their paths."""

import csv
import math
from pathlib import Path
from typing import Any

from qiskit_fedqml.config.sources import Key
from qiskit_fedqml.config.strict import MOST_SECONDS
from qiskit_fedqml.config.text_files import read_text
from qiskit_fedqml.errors import ConfigurationError, shown

_COLUMNS = ["seconds", "queue_seconds"]
_MOST_BYTES = 1_000_000
"""Of a file; a hundred bytes a row, if it has as many rows as an experiment may have."""


def place_traces(data: dict[str, Any], folder: Path) -> dict[Key, str]:
    """Put the rows of CSV files in the place of their paths, so that a run keeps what it was scheduled by.

    Args:
        data: An experiment's content; its traces are changed where they are paths.
        folder: Where relative paths start.

    Returns:
        The files that were read, by the keys that have their rows.

    Raises:
        ConfigurationError: A file cannot be read, or is no such table.
    """
    section = data.get("scheduling")
    if not isinstance(section, dict):
        return {}
    several = section.get("queues")
    queues: dict[Key, Any] = {("queue",): section.get("queue")}
    if isinstance(several, dict):
        queues |= {("queues", str(name)): queue for name, queue in several.items()}
    read: dict[Key, str] = {}
    for key, queue in queues.items():
        if isinstance(queue, dict) and isinstance(queue.get("trace"), str):
            path = folder / queue["trace"]
            queue["trace"] = _rows(path)
            read["scheduling", *key, "trace"] = str(path)
    return read


def _rows(path: Path) -> list[list[float]]:
    text = read_text(path, ConfigurationError, _MOST_BYTES)
    try:
        header, *lines = [*csv.reader(text.splitlines())] or [[]]
    except csv.Error as error:
        raise ConfigurationError(f"{path}: this is not CSV: {error}.") from error
    if header != _COLUMNS:
        found = shown(",".join(header))
        raise ConfigurationError(f"{path}: the first line must be {','.join(_COLUMNS)}, but is {found}.")
    rows = []
    for number, line in enumerate(lines, start=2):
        try:
            time, seconds = map(float, line)
        except ValueError:
            time = seconds = math.nan
        if not (0 <= time <= MOST_SECONDS and 0 <= seconds <= MOST_SECONDS):
            raise ConfigurationError(
                f"{path}, line {number}: must be two numbers from 0 to {MOST_SECONDS:,.0f}, but is "
                f"{shown(','.join(line))}."
            )
        rows.append([time, seconds])
    return rows
