"""Where data and weights lie."""

import os
from pathlib import Path

from qiskit_fedqml.data.messages import reason, shown
from qiskit_fedqml.errors import DataError


def find_data(path: str) -> Path:
    """Find a file or folder of data: a relative path is looked for in ``$FEDQML_DATA``, then in the current folder.

    Raises:
        DataError: It is in neither place, or cannot be looked for.
    """
    folders = [Path(folder) for folder in (os.environ.get("FEDQML_DATA"), ".") if folder]
    candidates = [folder / path for folder in folders]
    for candidate in candidates:
        try:
            if candidate.exists():
                return candidate
        except OSError as error:  # a name that is too long, a folder that may not be entered
            raise DataError(f"{shown(candidate)} cannot be looked for: {reason(error)}.") from error
    looked = " and ".join(shown(candidate) for candidate in candidates)
    hint = "" if "FEDQML_DATA" in os.environ else "; the environment variable FEDQML_DATA can name another folder"
    raise DataError(f"There is no {shown(repr(path))}: looked for {looked}{hint}.")
