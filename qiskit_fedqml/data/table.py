"""Tabular data: columns of a table as features, and one as the label."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.config.own_data import TableData
from qiskit_fedqml.data.columns import Columns
from qiskit_fedqml.data.datasets import Dataset, Split
from qiskit_fedqml.data.location import find_data
from qiskit_fedqml.data.messages import listed, shown
from qiskit_fedqml.data.missing import check_missing, filled
from qiskit_fedqml.data.splitting import stratified_split
from qiskit_fedqml.data.table_files import TableFile
from qiskit_fedqml.errors import DataError
from qiskit_fedqml.errors import listed as in_words

logger = logging.getLogger(__name__)

_MOST_CATEGORIES = 1000
"""Values of a column of categories; more are names or numbers of the rows themselves."""
_MOST_NAMED = 20
"""So many columns are named."""


@dataclass(frozen=True)
class _Rows:
    """Rows of a table.

    Args:
        numbers: Shape (rows, numeric columns); NaN where they are missing.
        categories: For each column of categories its values, shape (rows,).
        labels: Shape (rows,).
    """

    numbers: NDArray[np.float64]
    categories: Sequence[NDArray[np.object_]]
    labels: NDArray[np.object_]

    def take(self, rows: NDArray[np.intp]) -> "_Rows":
        return _Rows(self.numbers[rows], [column[rows] for column in self.categories], self.labels[rows])


def table(config: TableData, rng: np.random.Generator) -> Dataset:
    """Load tabular data.

    Features are the numeric columns, in the order in which they are named, then for each column of categories a column
    of 0 and 1 for each value that training data have, in alphabetical order. A value that only test data have is 0 in
    all of them. Where ``missing`` is ``mean``, it is the mean of the training data.

    Args:
        config: The `data` section.
        rng: Draws the split, class by class, where ``test_fraction`` says how much becomes test data.

    Raises:
        DataError: A file cannot be read, a column is missing or of a wrong type, values are missing or not finite, or
            there are too few classes or examples.
    """
    file = TableFile(find_data(config.path))
    for name in (config.label, *config.categories):
        file.check_column(name)
    names = _features(config, file)
    train, columns = _rows(config, file, names)
    if config.test_path is not None:
        test_file = TableFile(find_data(config.test_path))
        test, of_tests = _rows(config, test_file, names)
        columns = _together(columns, of_tests)
        classes = _classes(file, train)
    else:
        classes = _classes(file, train)
        halves = stratified_split(_indices(train, classes), classes, config.test_fraction or 0.0, rng)
        train, test = (train.take(half) for half in halves)
        test_file = file
    means = np.array([_mean(column) for column in train.numbers.T])
    levels = [_levels(name, column) for name, column in zip(config.categories, train.categories, strict=True)]
    splits = []
    for source, rows in ((file, train), (test_file, test)):
        if unknown := sorted({shown(label, 60) for label in rows.labels} - set(classes)):
            raise DataError(
                f"{shown(source.path)}: the training data have no examples of the classes {listed(unknown)}."
            )
        parts = [filled(rows.numbers, means, names), *_one_hot(config.categories, rows, levels)]
        with np.errstate(over="ignore"):
            features = np.concatenate(parts, axis=1).astype(np.float32)
        _check_finite(source, features, names)
        splits.append(Split(features, _indices(rows, classes)))
    return Dataset(classes, *splits, columns=columns)


def _features(config: TableData, file: TableFile) -> tuple[str, ...]:
    """Return the names of the numeric columns that are features."""
    if config.features is not None:
        return config.features
    others = [name for name in file.names if name not in (config.label, *config.categories)]
    chosen = tuple(name for name in others if file.is_numeric(name))
    if not chosen and not config.categories:
        raise DataError(f"{shown(file.path)} has no numeric column that could be a feature: {listed(others)}.")
    logger.warning("%s", _chosen_in_words(file, chosen, [name for name in others if name not in chosen]))
    return chosen


def _chosen_in_words(file: TableFile, chosen: Sequence[str], left: Sequence[str]) -> str:
    """Return which columns are features where the configuration does not say it."""
    names = [name or "(no name)" for name in chosen]
    columns = "1 numeric column" if len(chosen) == 1 else f"{len(chosen):,} numeric columns"
    text = f"{shown(file.path)}: features are the {columns} {in_words(names, _MOST_NAMED)}." if chosen else ""
    if left:
        text += f" Left out, as not numeric: {in_words(left, _MOST_NAMED)}; `data.categories` takes text."
    if ids := [said for name, said in zip(chosen, names, strict=True) if file.may_be_identifier(name)]:
        text += (
            f" Whole numbers that are all different, as those of an identifier: {in_words(ids, _MOST_NAMED)}; if it is "
            "one, name the `data.features` without it."
        )
    return text.strip()


def _rows(config: TableData, file: TableFile, names: tuple[str, ...]) -> tuple[_Rows, Columns]:
    """Return the rows that have all values, or as many as ``missing`` asks for, and what became of the columns."""
    numbers = [file.numbers(name) for name in names]
    words = {name: np.array(file.words(name), dtype=object) for name in (*config.categories, config.label)}
    rows = _Rows(
        np.stack(numbers, axis=1) if numbers else np.empty((len(file), 0)),
        [words[name] for name in config.categories],
        words[config.label],
    )
    gone = {name: np.isnan(values) for name, values in zip(names, numbers, strict=True)}
    gone_words = {name: np.array([value is None for value in values]) for name, values in words.items()}
    kept = check_missing(file.path, gone, gone_words, config.missing)
    used = (*names, *config.categories, config.label)
    columns = Columns(
        names,
        config.categories,
        tuple(name for name in file.names if name not in used),
        {name: int(mask.sum()) for name, mask in {**gone, **gone_words}.items() if mask.any()},
        0 if kept is None else len(file) - len(kept),
    )
    return (rows if kept is None else rows.take(kept)), columns


def _together(train: Columns, test: Columns) -> Columns:
    """Return the columns of the training file with what both files lack."""
    missing = Counter(train.missing) + Counter(test.missing)
    return replace(train, missing=dict(missing), dropped_rows=train.dropped_rows + test.dropped_rows)


def _classes(file: TableFile, rows: _Rows) -> tuple[str, ...]:
    classes = sorted({*rows.labels.tolist()}, key=lambda label: (isinstance(label, str), label))
    if len(classes) < 2:
        raise DataError(f"{shown(file.path)} must have rows of at least two classes, but has only {listed(classes)}.")
    return tuple(shown(label, 60) for label in classes)


def _indices(rows: _Rows, classes: Sequence[str]) -> NDArray[np.int64]:
    index = {name: k for k, name in enumerate(classes)}
    return np.array([index[shown(label, 60)] for label in rows.labels], dtype=np.int64)


def _mean(column: NDArray[np.float64]) -> float:
    known = column[~np.isnan(column)]
    return float(known.mean()) if len(known) else np.nan


def _levels(name: str, column: NDArray[np.object_]) -> list[str]:
    levels = sorted({str(value) for value in column})
    if len(levels) > _MOST_CATEGORIES:
        raise DataError(
            f"`data.categories`: column {name!r} has {len(levels):,} values; at most {_MOST_CATEGORIES:,} are taken."
        )
    return levels


def _one_hot(names: Sequence[str], rows: _Rows, levels: Sequence[Sequence[str]]) -> list[NDArray[np.float64]]:
    parts = []
    for name, column, known in zip(names, rows.categories, levels, strict=True):
        words = np.array([str(value) for value in column], dtype=object)
        if unknown := sorted({*words} - {*known}):
            logger.warning(
                "Column %r: the training data have no %s; such test data are 0 there.", name, listed(unknown)
            )
        parts.append(np.stack([words == level for level in known], axis=1).astype(np.float64))
    return parts


def _check_finite(file: TableFile, features: NDArray[np.float32], names: Sequence[str]) -> None:
    wrong = ~np.isfinite(features[:, : len(names)])
    if wrong.any():
        column = int(np.flatnonzero(wrong.any(axis=0))[0])
        raise DataError(
            f"{shown(file.path)}: column {names[column]!r} must be finite as float32, but "
            f"{int(wrong[:, column].sum())} of its values are infinite or huge."
        )
