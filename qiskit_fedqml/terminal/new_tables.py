"""What `fedqml init` writes about a table: its label, the columns that are features, and what is missing."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qiskit_fedqml.data.location import find_data
from qiskit_fedqml.data.messages import shown
from qiskit_fedqml.data.table_files import TableFile
from qiskit_fedqml.errors import listed

logger = logging.getLogger(__name__)

_SUFFIXES = (".csv", ".parquet")
_MOST_FEATURES = 200
"""So many columns are written as a list; of more, the file says how many there are."""
_MOST_NAMED = 20
"""So many columns are named in a warning."""


@dataclass(frozen=True)
class NewTable:
    """What an experiment file says of a table.

    Args:
        section: Its section `data`, without the partition.
        notes: Comments above keys of the section, by key.
    """

    section: dict[str, Any]
    notes: dict[str, list[str]] = field(default_factory=dict)


def is_table(data: str) -> bool:
    """Return whether the data are a CSV or Parquet file, by its name."""
    return Path(data).suffix.lower() in _SUFFIXES


def columns_of(data: str) -> list[str]:
    """Return the names of a table's columns.

    Raises:
        DataError: There is no such file, or it cannot be read.
    """
    return TableFile(find_data(data)).names


def new_table(path: Path, label: str | None, missing: str | None) -> NewTable:
    """Return what an experiment file says of a table; a warning names columns that may be identifiers.

    Args:
        path: The file.
        label: The column of the classes; None is the last one.
        missing: What is done about missing values; None is the mean, or leaves out rows that lack their label.

    Raises:
        DataError: It cannot be read, or has no such column.
    """
    file = TableFile(path)
    label = file.names[-1] if label is None else label
    file.check_column(label)
    others = [name for name in file.names if name != label]
    numbers = {name: file.numbers(name) for name in others if file.is_numeric(name)}
    gone = {name: int(np.isnan(values).sum()) for name, values in numbers.items()}
    features = [name for name in numbers if name and gone[name] < len(file)]
    gone = {name: gone[name] for name in features if gone[name]}
    if unlabelled := sum(value is None for value in file.words(label)):
        gone[label] = unlabelled
    table = NewTable({"dataset": "table", "path": str(path), "label": label, "test_fraction": 0.2})
    _add_features(table, features, [name for name in others if name not in features])
    if gone:
        table.notes["missing"] = _missing(gone, len(file))
    if gone or missing:
        table.section["missing"] = missing or ("drop" if unlabelled else "mean")
    if ids := [name for name in features if file.may_be_identifier(name)]:
        said = f"{listed((shown(name, 60) for name in ids), _MOST_NAMED)}: whole numbers that are all different"
        table.notes.setdefault("features", []).append(f"{said}; take out what is an identifier.")
        logger.warning("%s: %s, as those of an identifier; if it is one, take it out of `features`.", path.name, said)
    return table


def _add_features(table: NewTable, features: Sequence[str], left_out: Sequence[str]) -> None:
    notes = []
    if left_out:
        names = listed((shown(name or "(no name)", 60) for name in left_out), _MOST_NAMED)
        notes.append(f"Left out, as not numeric, empty or without a name: {names}. `categories: [COLUMN]` takes text.")
    if len(features) > _MOST_FEATURES:
        notes.append(f"Features are all {len(features):,} other columns of numbers; `features` can name some of them.")
    elif features:
        table.section["features"] = list(features)
    table.notes["features" if "features" in table.section else "test_fraction"] = notes


def _missing(gone: Mapping[str, int], rows: int) -> list[str]:
    """Return which columns lack how many values: all of them, however many."""
    total = sum(gone.values())
    head = f"{total:,} {'value is' if total == 1 else 'values are'} missing in {rows:,} rows:"
    counts = wrapped([head, *(f"{count:,} in {shown(name, 60)}," for name, count in gone.items())])
    return [*counts, "mean: the training data's mean takes their place; drop: such rows are left out."]


def wrapped(words: Sequence[str], width: int = 100) -> list[str]:
    """Return words in lines that are as long as the width allows, without the last word's comma; none is cut."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [*lines[:-1], lines[-1].removesuffix(",")] if lines else []
