"""The process that a command runs in, and the codes with which it ends."""

import gc
import sys
from collections.abc import Callable
from io import TextIOWrapper

from qiskit_fedqml.errors import (
    BackendError,
    BudgetError,
    CircuitError,
    ConfigurationError,
    DataError,
    FedQMLError,
    ResultError,
)
from qiskit_fedqml.terminal.stopping import exit_code, stoppable, was_stopped

_CODES: dict[type[FedQMLError], int] = {
    ConfigurationError: 2,
    CircuitError: 2,
    DataError: 3,
    BackendError: 4,
    BudgetError: 5,
    ResultError: 6,
}
"""Exit codes; 1 is whatever is not here."""


def code_of(error: FedQMLError) -> int:
    """Return the exit code of a command that ends with an error."""
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), 1)


def run_program(command: Callable[[], object]) -> None:
    """Run a command in this process; an error of the package ends it with one sentence and a code of its kind.

    Args:
        command: Reads the arguments, and does what they ask for.
    """
    for stream in (sys.stdout, sys.stderr):  # names of files need not be text that a terminal can show
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Modules make a million objects that are never garbage: to look for some among them, again and again while they are
    # imported and once more at the end, would take as long as a short run.
    gc.set_threshold(1_000_000, 10, 50)
    try:
        with stoppable():
            _run(command)
    finally:
        gc.freeze()


def _run(command: Callable[[], object]) -> None:
    try:
        command()
    except FedQMLError as error:
        print(f"fedqml: {error}", file=sys.stderr)
        sys.exit(code_of(error))
    except UnicodeEncodeError as error:  # some versions of typer look for a path without catching it
        print(f"fedqml: {error.object!r} is no name that a file can have.", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(exit_code())
    except SystemExit:
        if was_stopped():  # typer knows of Ctrl-C alone
            sys.exit(exit_code())
        raise
