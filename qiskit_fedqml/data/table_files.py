"""CSV and Parquet files, read by Arrow; the one door to pyarrow, opened late."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.config.strict import nearest
from qiskit_fedqml.data.memory import check_memory
from qiskit_fedqml.data.messages import listed, reason, shown
from qiskit_fedqml.errors import DataError

_LARGEST_BLOCK = 2**31 - 2
"""Bytes of a CSV file from which Arrow infers a column's type; further values that do not fit are an error."""
_FEWEST_IDENTIFIERS = 10
"""So many rows must have different whole numbers in a column before they are taken for identifiers."""


class TableFile:
    """A table in a file.

    Args:
        path: A ``.csv`` or ``.parquet`` file. In a CSV file the first line names the columns, which commas separate;
            empty fields and the usual words for it (``NA``, ``null``, ``NaN``) are missing values.

    Raises:
        DataError: It is no such file, cannot be read, has no rows, or two columns of one name; or pyarrow is not
            installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._table = _read(path)
        names = self.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(f"{shown(path)} must have columns of different names, but has several {listed(twice)}.")
        if not self._table.num_rows:
            raise DataError(f"{shown(path)} has no rows.")

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [str(name) for name in self._table.column_names]

    def is_numeric(self, name: str) -> bool:
        """Whether a column holds numbers, or truth values, which are 0 and 1.

        Raises:
            DataError: There is no such column.
        """
        return self._kind(name) in ("integers", "numbers")

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column's numbers, shape (rows,); missing ones are NaN.

        Raises:
            DataError: There is no such column, or it holds something else.
        """
        if not self.is_numeric(name):
            raise DataError(
                f"{shown(self.path)}: column {name!r} must hold numbers to be a feature, but holds {self._kind(name)}; "
                "`data.categories` takes text."
            )
        column = self._table.column(name)
        integers = column.cast("uint8") if str(column.type) == "bool" else column
        values: NDArray[np.float64] = integers.cast("float64", safe=False).to_numpy(zero_copy_only=False)
        return values

    def words(self, name: str) -> list[str | int | None]:
        """Return a column's text or whole numbers; missing ones are None.

        Raises:
            DataError: There is no such column, or it holds something else.
        """
        kind = self._kind(name)
        if kind == "text":
            return [None if text is None else str(text) for text in self._table.column(name).to_pylist()]
        if kind in ("integers", "numbers"):
            values = self.numbers(name)
            known = values[~np.isnan(values)]
            if np.isfinite(known).all() and (known == np.rint(known)).all():
                return [None if np.isnan(value) else int(value) for value in values]
        raise DataError(
            f"{shown(self.path)}: column {name!r} must hold text or whole numbers to be a label or a category, but "
            f"holds {kind if kind != 'numbers' else 'fractions'}."
        )

    def check_column(self, name: str) -> None:
        """Check that there is a column.

        Raises:
            DataError: There is not.
        """
        if name not in self.names:
            raise DataError(f"{shown(self.path)} has no column {shown(repr(name), 60)}{nearest(name, self.names)}")

    def may_be_identifier(self, name: str) -> bool:
        """Whether a column holds whole numbers that are all different, as those of patients or orders are.

        Columns of fewer than ten rows are too short to tell.
        """
        if self._kind(name) != "integers" or len(self) < _FEWEST_IDENTIFIERS:
            return False
        values = self.numbers(name)
        return len(np.unique(values)) == len(values) and not np.isnan(values).any()

    def _kind(self, name: str) -> str:
        from pyarrow import types

        self.check_column(name)
        of = self._table.schema.field(name).type
        of = of.value_type if types.is_dictionary(of) else of
        if types.is_string(of) or types.is_large_string(of) or types.is_string_view(of):
            return "text"
        if types.is_integer(of) or types.is_boolean(of):
            return "integers"
        if types.is_floating(of) or types.is_decimal(of):
            return "numbers"
        return "nothing" if types.is_null(of) else f"values of type {of}"


def _read(path: Path) -> Any:
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise DataError(f"{shown(path)} must be a .csv or a .parquet file.")
    try:
        from pyarrow import csv, parquet
    except ImportError as error:
        raise DataError(f"Tables are read by pyarrow: `pip install 'qiskit-fedqml[tables]'` ({error}).") from error
    try:
        size = path.stat().st_size
        check_memory(size, f"The columns of {shown(path)}")
        if suffix == ".parquet":
            return parquet.ParquetFile(path).read()
        block = csv.ReadOptions(block_size=min(max(size, 1) + 1, _LARGEST_BLOCK))
        return csv.read_csv(path, read_options=block, convert_options=csv.ConvertOptions(strings_can_be_null=True))
    except DataError:
        raise
    except Exception as error:  # Arrow's, Python's for text that is no UTF-8, and the system's
        raise DataError(f"{shown(path)} cannot be read as a table: {reason(error)}.") from error
