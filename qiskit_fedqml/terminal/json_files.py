"""Results as JSON, to a file or to the standard output."""

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from qiskit_fedqml.config.text_files import parse_json, read_text
from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.files import check_replaceable, write_new

STDOUT = Path("-")


def check_overwrite(overwrite: bool, json_: Path | None, others: str = "", has_other: bool = False) -> None:
    """Refuse ``--overwrite`` where nothing is written that it could replace.

    Args:
        overwrite: Whether it is given.
        json_: The file of ``--json``, if there is one.
        others: Other options that write files, for the error.
        has_other: Whether one of these is given.

    Raises:
        ConfigurationError: It would have no effect.
    """
    if overwrite and not has_other and json_ in (None, STDOUT):
        raise ConfigurationError(f"--overwrite has no effect without {others}--json FILE.")


def check_target(json_: Path | None, about: str, *, overwrite: bool) -> None:
    """Check before long work that its result can be written as JSON: there is no file, or an earlier one about it.

    Args:
        json_: The file, ``-``, or None.
        about: The folder that the result is about.
        overwrite: Whether any file may be replaced.

    Raises:
        ResultError: The file holds something else.
    """
    if json_ not in (None, STDOUT) and not overwrite and not _is_about(json_, about):
        check_replaceable(json_)


def write_json(values: object, json_: Path | None, *, overwrite: bool = True) -> bool:
    """Write values as JSON where that is wanted; return whether they are still to be shown in another way.

    Args:
        values: JSON's, with NaN and infinity as null.
        json_: The file; ``-`` is the standard output; None is nowhere.
        overwrite: Whether a file that holds something else may be replaced.

    Raises:
        ResultError: It may not, or cannot be written.
    """
    if json_ is None:
        return True
    text = json.dumps(_finite(values), indent=1, ensure_ascii=False, allow_nan=False)
    if json_ == STDOUT:
        print(text)
        return False
    write_new({json_: f"{text}\n".encode(errors="backslashreplace")}, overwrite=overwrite)
    return True


def _finite(values: Any) -> Any:
    if isinstance(values, dict):
        return {str(key): _finite(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def earlier_json(path: Path) -> Any:
    """Return the values of a JSON file; None where there is no file, or something else in it."""
    if not path.is_file():
        return None
    with suppress(ResultError):
        return parse_json(read_text(path, ResultError), str(path), ResultError)
    return None


def _is_about(path: Path, about: str) -> bool:
    earlier = earlier_json(path)
    return isinstance(earlier, dict) and earlier.get("folder") == about
